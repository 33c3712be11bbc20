"""Divisions of the images of a config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.cache import Cache, Note
from harness.config.config_files import load_config
from harness.config.run_config import parse_config
from harness.locations import cache_folder
from harness.planning.image_set import scan_images
from harness.planning.observer import Observer
from harness.planning.splits import Division, divide


def splits(
    config: str | Path,
    data: Path | str | None = None,
    overrides: Sequence[str] = (),
    note: Note | None = None,
) -> list[Division]:
    """Divide the images of a config, without decoding any; leaks are named, not refused.

    Args:
        config: A path, or the name of a shipped config.
        data: Folder of the images.
        overrides: ``key=value`` each, as ``-o`` takes them.
        note: Is told what a person should know.

    Returns:
        A division for each run of the config; its ``splits`` have the columns ``image fold seed side``.
    """
    tell = note or Observer().note
    name, settings = load_config(str(config), tuple(overrides), tell)
    divisions = []
    for run in settings.runs().values() or (settings,):
        values = run.model_dump(mode="json") | {"allow_leak": True}
        values["data"]["folder"] = str(data) if data else values["data"]["folder"]
        wanted = parse_config(values, f"config '{name}'")
        divisions.append(divide(scan_images(wanted, Cache(cache_folder(), tell))))
    return divisions
