"""Writing of an export: every format in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.durable import cannot_write, replacing
from harness.reporting.export.croissant import croissant_files
from harness.reporting.export.every_eval_ever import every_eval_ever_files
from harness.reporting.export.facts import Format, check_facts
from harness.reporting.export.hugging_face import hugging_face_files
from harness.reporting.export.shared_run import Files, SharedRun

_FILES: Mapping[Format, Callable[[SharedRun], Files]] = {
    "hugging-face": hugging_face_files,
    "every-eval-ever": every_eval_ever_files,
    "croissant": croissant_files,
}


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        files: What was written.
        notes: What everybody who reads it is told, and which scores are not in it.
    """

    files: list[Path]
    notes: list[str]


def write_export(shared: SharedRun, out: Path, formats: Iterable[Format]) -> Export:
    """Write a run in some formats; nothing is written where one of them cannot be.

    Raises:
        UsageError: A fact that a format needs is not given, or cannot be right.
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    wanted = list(dict.fromkeys(formats))
    check_facts(shared.facts, wanted, generated=shared.results.generated)
    contents = {out / how / path: content for how in wanted for path, content in _FILES[how](shared)}
    for path, content in contents.items():
        _write(path, content)
    scored = {"hugging-face", "every-eval-ever"} & set(wanted)
    undefined = (
        [f"Not exported, as the images do not give it: {score}." for score in shared.undefined] if scored else []
    )
    return Export(list(contents), [*shared.notes, *undefined])


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with replacing(path) as beside:
        beside.write_bytes(content)
