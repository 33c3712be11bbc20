"""The parts of a config that choose images, pixels and source sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.data.options import DuplicatePolicy, Resize, StainMethod
from harness.settings import Settings
from harness.synthetic.settings import SyntheticSettings


class DataSettings(Settings):
    """Which images.

    Attributes:
        folder: Where they lie; ``--data`` sets it, ``$HARNESS_DATA/breakhis`` is the default.
        phantom: Generate images instead of reading a folder.
        slide_13412: The slide published under both DC and LC: which copy to drop, or ``keep`` both.
        on_damaged: ``stop`` before any training at an image that cannot be decoded, or ``skip`` it.
    """

    folder: Path | None = None
    phantom: SyntheticSettings | None = None
    slide_13412: DuplicatePolicy = "drop-dc"
    on_damaged: Literal["stop", "skip"] = "stop"


class PixelSettings(Settings):
    """How files become pixels.

    Attributes:
        size: Side of the square that every model sees, in pixels.
        resize: ``squash`` to the square, or scale the short side and ``crop`` the centre.
        stain: How colours are normalised. From the image alone: ``macenko`` takes the light from the image's own white
            and matches its stains to the published reference's by angle; ``published`` is Macenko's code as it was
            published, with a fixed white, which paints tinted backgrounds dark; ``reinhard`` matches mean and deviation
            of colours; ``white-balance`` takes out the light and leaves the stains; ``none``. From other images as
            well: ``slide`` is ``macenko`` with the median white and stains of all pictures of a slide at a
            magnification, as far as they stand on the same side; ``fitted`` is ``macenko`` with the median stains of
            the training side for a reference. A new image is a slide of its own; a fitted reference stays what it was.
    """

    size: int = Field(224, ge=16, le=1024)
    resize: Resize = "squash"
    stain: StainMethod = "white-balance"


class SourceSettings(Settings):
    """A set of images that models may be pre-trained on.

    Attributes:
        kind: ``image-folder`` (a folder a class) or ``lc25000`` (lung classes, split by tile).
        folder: Where it lies, or several folders whose classes are merged by name; ``$HARNESS_DATA/<source name>`` is
            the default.
        phantom: Generate it instead.
    """

    kind: Literal["image-folder", "lc25000"]
    folder: Path | Annotated[tuple[Path, ...], Field(min_length=1)] | None = None
    phantom: bool = False
