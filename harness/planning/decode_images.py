"""Decoded images of a run, damaged ones marked."""

from __future__ import annotations

from dataclasses import replace

from harness.cache import Cache
from harness.data.decode import PixelRecipe
from harness.data.pixels import PixelStore, pixel_store
from harness.data.stain import PER_IMAGE
from harness.errors import DataError
from harness.planning.image_set import ImageSet, Progress, mark_damaged, named_progress

_NAMED = 5


def decode_images(images: ImageSet, cache: Cache, on_progress: Progress | None = None) -> ImageSet:
    """Decode the images, and mark those that are damaged.

    Raises:
        DataError: An image is damaged, and the config says to stop there.
    """
    settings, used = images.config.pixels, images.used
    recipe = PixelRecipe(settings.size, settings.resize, PER_IMAGE.get(settings.stain))
    files = used["file"].map(lambda file: str(images.folder / file))
    pixels = pixel_store(files, used["sha256"], recipe, cache, named_progress(on_progress, "decoding images"))
    return _mark_damaged(replace(images, pixels=pixels), pixels)


def _mark_damaged(images: ImageSet, pixels: PixelStore) -> ImageSet:
    errors, used = pixels.index.set_index("sha256")["error"], images.used
    damaged = used[used["sha256"].map(errors) != ""]
    if images.config.data.on_damaged == "stop" and len(damaged):
        named = "; ".join(f"{images.folder / row.file}: {errors[row.sha256]}" for row in damaged[:_NAMED].itertuples())
        more = f"; and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise DataError(
            f"{len(damaged)} damaged image{'s' * (len(damaged) > 1)}: {named}{more} - replace them, or leave them out "
            "with -o data.on_damaged=skip"
        )
    return mark_damaged(images, damaged["sha256"])
