"""A benchmark as a page for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from harness.benchmarks.contest import Placing
from harness.benchmarks.images import ImagesResult
from harness.benchmarks.training import TrainingResult
from harness.text import markdown

_SCHEMA_VERSION = 1
_CACHED = "frozen prefix cached"


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


def training_report(results: Sequence[TrainingResult], setting: dict[str, Any]) -> Report:
    """Return the page of ``harness bench train``."""
    parts = [
        f"## {result.model}\n\n{_table(result.placings, result.bandwidth_limit)}\n\n"
        f"Batching, augmentation and normalisation take {100 * result.augmentation_share:.1f} % of the shared loop's "
        "step. "
        f"The modules of one forward pass read and write {result.megabytes_per_image:,.0f} MB an image: at the "
        f"measured speed of copying, {result.bandwidth_limit:,.0f} images/s would be the limit.\n"
        for result in results
    ]
    return Report("Training, several ways", setting, [result.to_json() for result in results], "\n".join(parts))


def images_report(results: Sequence[ImagesResult], setting: dict[str, Any]) -> Report:
    """Return the page of ``harness bench data``."""
    parts = [f"## {result.work}\n\n{_table(result.placings, None)}\n" for result in results]
    return Report("Preparing images, two ways", setting, [result.to_json() for result in results], "\n".join(parts))


def _table(placings: Sequence[Placing], limit: float | None) -> str:
    heads = ["", "images/s", "ratio"] + (["of the limit", "start-up (s)", "how"] if limit else [])
    rows = [[one.name, f"{one.images_per_second:,.1f}", f"{one.ratio:.2f}"] for one in placings]
    if limit:
        for row, one in zip(rows, placings, strict=True):
            whole = _CACHED not in one.message  # behind a cached prefix there is less to read and write
            share = f"{100 * one.images_per_second / limit:.1f} %" if whole else "-"
            row += [share, f"{one.start_up_seconds:.1f}" if one.message else "", markdown(one.message)]
    align = ("left", "right", "right", "right", "right", "left")[: len(heads)]
    return tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True, colalign=align)
