"""The parts of a config that choose images, pixels and source sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.data.cohort import CohortColumns
from harness.data.options import Resize, StainMethod
from harness.settings import Settings
from harness.synthetic.settings import SyntheticSettings

DEFAULT_DATA_SET = "breakhis"
_ClassName = Annotated[str, Field(min_length=1)]
_AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]


class DataSettings(Settings):
    """Which images.

    Attributes:
        set: The data set: a name that a plugin registers.
        plugin: The plugin file that registers it; an installed plugin by default.
        options: Of the data set, such as ``slide_13412`` of BreakHis: which copy of the slide published under two
            diagnoses to drop (``drop-dc``, ``drop-lc``), or ``keep`` both.
        table: Instead of a data set of a plugin, a CSV file with a row an image.
        columns: What its columns are called.
        classes: The classes of the table in the order of their labels, of two the positive one last; the order of the
            alphabet by default.
        folder: Where the images lie; ``--data`` sets it. ``$HARNESS_DATA/<set>``, or the table's folder, by default.
        phantom: Generate images instead of reading a folder.
        on_damaged: ``stop`` before any training at an image that cannot be decoded, or ``skip`` it.
    """

    set: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = DEFAULT_DATA_SET
    plugin: _AbsolutePath | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    table: _AbsolutePath | None = None
    columns: CohortColumns = CohortColumns()
    classes: Annotated[tuple[_ClassName, ...], Field(min_length=2)] | None = None
    folder: Path | None = None
    phantom: SyntheticSettings | None = None
    on_damaged: Literal["stop", "skip"] = "stop"

    @model_validator(mode="after")
    def _check(self) -> DataSettings:
        others = any((self.plugin, self.options, self.phantom, self.set != DEFAULT_DATA_SET))
        if self.table is not None and others:
            raise ValueError("a table describes its own images: it goes with no set, plugin, options or phantom")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("a class stands twice")
        if self.table is None and (self.classes is not None or self.columns != CohortColumns()):
            raise ValueError("columns and classes are those of a table, and there is no table")
        return self


def is_generated(data: DataSettings) -> bool:
    """True where images are generated."""
    return data.folder is None and data.phantom is not None


class PixelSettings(Settings):
    """How files become pixels.

    Attributes:
        size: Side of the square that every model sees, in pixels.
        resize: ``squash`` to the square, or scale the short side and ``crop`` the centre.
        stain: How colours are normalised. From the image alone: ``macenko`` takes the light from the image's own white
            and matches its stains to the published reference's by angle; ``published`` is Macenko's code as it was
            published, with a fixed white, which paints tinted backgrounds dark; ``reinhard`` matches mean and deviation
            of colours; ``white-balance`` takes out the light and leaves the stains; ``none``. From other images as
            well: ``slide`` is ``macenko`` with the median white and stains of all pictures of a slide (the data set's
            smallest group) in a stratum, as far as they stand on the same side; ``fitted`` is ``macenko`` with the
            median stains of the training side for a reference. A new image is a slide of its own; a fitted reference
            stays what it was.
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
