"""A benchmark as a page for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from harness.benchmarks.contest import Placing, Spread
from harness.benchmarks.images import ImagesResult
from harness.benchmarks.losses import LossCurve
from harness.benchmarks.training import SHARED_LOOP, TrainingResult
from harness.text import markdown
from harness.threads import usable_cores
from harness.training.devices import describe_device, versions

_SCHEMA_VERSION = 2
_LIBRARIES = ("torch", "torchvision", "numpy", "scikit-image")
_PER_CORE = (
    "*per core* is images a second of processor time, all processes of a way counted; *cores* is processor time over "
    "wall time; *ratio* is to the first row, by processor time, the median of rounds with the range; *by wall* by wall "
    "time. Others' work on the machine moves wall time more than processor time."
)
_BY_WALL = "*ratio* is to the first row, the median of rounds with the range."


@dataclass(frozen=True)
class Report:
    """A benchmark's page.

    Attributes:
        title: Its heading.
        setting: What was measured, on what, key by key.
        results: What was found, for programs.
        body: The tables, in Markdown.
    """

    title: str
    setting: dict[str, Any]
    results: list[dict[str, Any]]
    body: str

    def to_markdown(self) -> str:
        """Return the page."""
        setting = "\n".join(f"- {name}: {markdown(str(value))}" for name, value in self.setting.items())
        return f"# {self.title}\n\n{setting}\n\n{self.body}"

    def to_json(self) -> str:
        """Return it for programs."""
        content = {"schema_version": _SCHEMA_VERSION, "setting": self.setting, "results": self.results}
        return json.dumps(content, indent=1) + "\n"

    def write(self, folder: Path, name: str) -> None:
        """Write ``<name>.md`` and ``<name>.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(self.to_json(), encoding="utf-8")
        (folder / f"{name}.md").write_text(self.to_markdown(), encoding="utf-8")


def turns(rounds: int, seconds: float, device: torch.device | None = None) -> dict[str, Any]:
    """Return how long everybody worked and on what, for a report's setting."""
    device = device or torch.device("cpu")
    pinned = "one a contestant, to which it is bound, or as many as its name says"
    return {
        "rounds": f"{rounds} in turns, {seconds:g} s a turn, after one that does not count",
        **({"cores": pinned} if device.type == "cpu" else {}),
        "device": machine(device),
        "versions": ", ".join(f"{name} {versions()[name]}" for name in _LIBRARIES),
    }


def machine(device: torch.device) -> str:
    """Name a device, how many cores may be used, and the widest vectors of a CPU that torch's kernels use."""
    cores = f"{describe_device(device)['name']}, {usable_cores()} cores"
    return f"{cores}, {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else cores


def training_report(results: Sequence[TrainingResult], setting: dict[str, Any], *, on_cpu: bool) -> Report:
    """Return the page of ``harness bench train``."""
    parts = [_PER_CORE if on_cpu else _BY_WALL, *(_training(result, on_cpu=on_cpu) for result in results)]
    return Report("Training, several ways", setting, [result.to_json() for result in results], _joined(parts))


def images_report(title: str, results: Sequence[ImagesResult], setting: dict[str, Any]) -> Report:
    """Return the page of ``harness bench data``, or of another benchmark on the CPU."""
    parts = [_PER_CORE, *(f"## {result.work}\n\n{placings_table(result.placings)}" for result in results)]
    return Report(title, setting, [result.to_json() for result in results], _joined(parts))


def placings_table(placings: Sequence[Placing], *, on_cpu: bool = True) -> str:
    """Return a table of contestants in Markdown: by processor and wall time on the CPU, by wall time elsewhere."""
    columns = _by_processor if on_cpu else _by_wall
    rows = [{"": one.name, **columns(one)} for one in placings]
    if any(one.start_up_seconds is not None for one in placings):
        for row, one in zip(rows, placings, strict=True):
            row["start-up (s)"] = "" if one.start_up_seconds is None else f"{one.start_up_seconds:.1f}"
    for row, one in zip(rows, placings, strict=True):
        row["how"] = markdown(one.message)
    align = ["left", *["right"] * (len(rows[0]) - 2), "left"]
    return tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=align)


def _by_processor(one: Placing) -> dict[str, str]:
    return {
        "images/s": f"{one.images_per_second:,.1f}",
        "per core": f"{one.images_per_processor_second:,.1f}",
        "cores": f"{one.cores:.2f}",
        "ratio": _spread(one.processor_ratio),
        "by wall": f"{one.ratio.median:.2f}",
    }


def _by_wall(one: Placing) -> dict[str, str]:
    return {"images/s": f"{one.images_per_second:,.1f}", "ratio": _spread(one.ratio)}


def _spread(ratio: Spread) -> str:
    return f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})"


def _training(result: TrainingResult, *, on_cpu: bool) -> str:
    rounds = next(one for one in result.placings if one.name == SHARED_LOOP)
    spread = rounds.processor_ratio if on_cpu else rounds.ratio
    limit = (
        f"Batching, augmentation and normalisation take {100 * result.augmentation_share:.1f} % of the shared loop's "
        f"step; between rounds its ratio differs by {100 * (spread.highest / spread.lowest - 1):.0f} %. The modules of "
        f"one forward pass read and write {result.megabytes_per_image:,.0f} MB an image: at the measured speed of "
        f"copying, {result.bandwidth_limit:,.0f} images/s would be the limit; the plain loop reaches "
        f"{100 * result.placings[0].images_per_second / result.bandwidth_limit:.1f} % of it."
    )
    head = f"## {result.model}, {result.size} x {result.size} pixels"
    return _joined([head, placings_table(result.placings, on_cpu=on_cpu), limit, *_losses(result.losses)])


def _losses(curves: Sequence[LossCurve]) -> list[str]:
    if not curves:
        return []
    rows = [[curve.name, *(f"{loss:.6f}" for loss in curve.losses)] for curve in curves]
    heads = ["training loss", *(f"epoch {number}" for number in range(1, len(rows[0])))]
    table = tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True)
    start = "Losses from the same weights, on the same batches of random images, in the same views, dropout alike:"
    return [start, table]


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip() for part in parts) + "\n"
