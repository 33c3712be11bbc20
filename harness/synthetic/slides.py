"""Generated breast slides.

They carry what matters about slides: groups that are easy to recognise by their stain, and a difference between tissues
that groups partly hide. A random split therefore flatters a model here as it does on real slides. The pictures stand in
for data, never for evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.errors import PluginError, did_you_mean
from harness.plugin_api.data_set import GeneratedSlide
from harness.processes import map_in_order
from harness.synthetic import painting as paint
from harness.synthetic.files import keyed_rng, new_folder, write_png
from harness.synthetic.painting import PictureArray, Tissue

_ASPECT = 700 / 460  # of BreakHis' files
_POOL_PAYS_FROM = 500

_BETWEEN_GROUPS = 0.27
_WITHIN_GROUP = 0.15
# Between groups the tissue varies so much that texture features with an SVM get 75 to 90 % of the pictures right on
# unseen groups, and well above 90 % where a group stands on both sides.

# Each row: glands, lumen, wall, solid, crowding, nucleus, variety, roughness, spindles, mucin.
BREAST_TISSUES = {
    "adenosis": Tissue(0.80, 2.2, 2.4, 0.05, 1.00, 1.00, 0.15, 0.07, 0.9),
    "fibroadenoma": Tissue(0.55, 2.8, 2.4, 0.04, 1.00, 1.00, 0.15, 0.07, 1.2),
    "phyllodes tumor": Tissue(0.45, 3.8, 2.6, 0.08, 1.00, 1.10, 0.20, 0.10, 1.6),
    "tubular adenoma": Tissue(0.90, 1.8, 2.2, 0.05, 1.10, 0.95, 0.14, 0.06, 0.7),
    "ductal carcinoma": Tissue(0.20, 2.2, 2.8, 0.55, 1.20, 1.35, 0.32, 0.20, 1.0),
    "lobular carcinoma": Tissue(0.15, 2.0, 2.4, 0.48, 1.10, 1.20, 0.24, 0.16, 1.4),
    "mucinous carcinoma": Tissue(0.20, 2.0, 2.6, 0.50, 1.15, 1.30, 0.28, 0.17, 0.8, 0.3),
    "papillary carcinoma": Tissue(0.40, 3.4, 3.8, 0.45, 1.20, 1.30, 0.28, 0.18, 0.9),
}
"""What can be painted, by name."""


def write_slides(
    folder: Path,
    slides: Sequence[GeneratedSlide],
    size: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated slides as PNG files below ``folder``.

    Each picture follows from the seed, its name and the size alone. Above 500 pictures a pool of processes paints them,
    so a script that calls this needs the usual ``__main__`` guard.

    Args:
        folder: Where to; a new or empty folder.
        slides: What to paint.
        size: Height in pixels; the width follows from BreakHis' 700x460.
        seed: Another seed gives other pictures under the same names.
        on_progress: Called with the number of pictures done and the number of all, after each.

    Raises:
        UsageError: ``folder`` exists and is not empty; it is left as it is.
        PluginError: A slide is of a tissue that cannot be painted.
        EnvironmentMissingError: ``folder`` cannot be written; nothing is left behind.
    """
    for slide in slides:
        if slide.tissue not in BREAST_TISSUES:
            near = did_you_mean(slide.tissue, BREAST_TISSUES)
            raise PluginError(f"no tissue '{slide.tissue}' can be painted{near} (known: {', '.join(BREAST_TISSUES)})")
    with new_folder(folder) as new:
        for place in {Path(slide.file).parent for slide in slides}:
            (new / place).mkdir(parents=True, exist_ok=True)
        for done, _ in enumerate(
            map_in_order(partial(write_slide, new, size, seed), slides, _POOL_PAYS_FROM, chunksize=32), 1
        ):
            if on_progress is not None:
                on_progress(done, len(slides))


def write_slide(root: Path, size: int, seed: int, slide: GeneratedSlide) -> None:
    """Paint a slide and write it below a folder."""
    write_png(root / slide.file, _paint(slide, size, seed))


def _paint(slide: GeneratedSlide, size: int, seed: int) -> PictureArray:
    """Paint a slide: uint8 (3, size, W)."""
    rng = keyed_rng(seed, "image", slide.painted_as, size)
    look = paint.draw_look(keyed_rng(seed, "look", slide.group))
    look = paint.vary_look(paint.vary_look(look, keyed_rng(seed, "slide", slide.subgroup), 0.05), rng, 0.04)
    tissue = paint.vary_tissue(BREAST_TISSUES[slide.tissue], keyed_rng(seed, "tissue", slide.group), _BETWEEN_GROUPS)
    tissue = paint.vary_tissue(tissue, rng, _WITHIN_GROUP)
    return paint.paint_tissue(tissue, look, paint.frame_at(slide.magnification, size, round(size * _ASPECT)), rng)
