"""Source sets of a config: where they lie, and their fingerprints."""

from __future__ import annotations

from pathlib import Path

from harness.cache import Cache
from harness.config.data_settings import SourceSettings
from harness.config.run_config import RunConfig
from harness.data.sources import SourceManifest, scan_source
from harness.errors import DataError
from harness.locations import data_folder
from harness.planning.image_set import Progress


def scan_source_set(
    name: str, label: str, config: RunConfig, cache: Cache, on_progress: Progress | None = None
) -> SourceManifest:
    """Find and list the images of a source set, generating them first if the config asks for that.

    Args:
        name: In the config.
        label: The model that asks for it.
        config: The run's.
        cache: For generated images.
        on_progress: Is told how far it is.

    Raises:
        DataError: The config does not have it, its folder is missing, or it cannot be trained on.
    """
    if name not in config.sources:
        raise DataError(f"model '{label}' is pre-trained on source '{name}', which the config does not have")
    folders = _locate(name, label, config, cache, on_progress)
    return scan_source(config.sources[name].kind, folders).require_training()


def _locate(name: str, label: str, config: RunConfig, cache: Cache, on_progress: Progress | None) -> tuple[Path, ...]:
    settings = config.sources[name]
    if settings.folder is None and settings.phantom:
        return (_generated(settings, cache, on_progress),)
    given = settings.folder or data_folder() / name
    folders = (given,) if isinstance(given, Path) else given
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"model '{label}' is pre-trained on source '{name}', but {folder} is not there - set it with "
                f"-o sources.{name}.folder=DIR, or leave the model out with --models"
            )
    return folders


def _generated(settings: SourceSettings, cache: Cache, on_progress: Progress | None) -> Path:
    def make(folder: Path) -> None:
        from harness.synthetic import sources  # noqa: PLC0415 - torch, for whoever generates

        if on_progress:
            on_progress(f"generating {settings.kind} images", 0, 1)
        write = sources.write_synthetic_lung if settings.kind == "lc25000" else sources.write_synthetic_natural
        write(folder)

    return cache.get("phantom", settings.kind, make)
