"""Judge a benchmark run: times in multiples of the calibration's, against those that were saved.

Seconds of two machines cannot be compared; how many times longer a piece of work takes than a fixed one nearly can.
Minima are taken, since whatever else a machine does can only make a round slower.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

BASELINE = Path(__file__).with_name("baseline.json")
SLOWER, MISSING = "SLOWER", "MISSING"
FAULTS = frozenset({SLOWER, MISSING})


@dataclass(frozen=True)
class Timing:
    """What a run found of one benchmark.

    Attributes:
        seconds: The fastest round.
        calibration_seconds: The fastest of the calibration's rounds between them.
    """

    seconds: float
    calibration_seconds: float

    @property
    def ratio(self) -> float:
        """How many times longer than the calibration."""
        return self.seconds / self.calibration_seconds


@dataclass(frozen=True)
class Judgement:
    """One benchmark, now and as it was saved.

    Attributes:
        name: Of the test function.
        timing: None where the benchmark was not run.
        saved: The ratio of the baseline; None for a new benchmark.
        verdict: ``ok``, ``faster``, ``new``, or one of :data:`FAULTS`.
    """

    name: str
    timing: Timing | None
    saved: float | None
    verdict: str


def read_timings(report: Mapping[str, Any]) -> dict[str, Timing]:
    """Return each benchmark's timing from pytest-benchmark's report.

    Raises:
        click.ClickException: A benchmark was run without the calibration.
    """
    timings = {}
    for found in report["benchmarks"]:
        if "calibration_seconds" not in found["extra_info"]:
            raise click.ClickException(f"{found['name']} was timed without calibration - use the fixture 'timed'")
        timings[str(found["name"])] = Timing(found["stats"]["min"], found["extra_info"]["calibration_seconds"])
    return timings


def judge(timings: Mapping[str, Timing], saved: Mapping[str, float], tolerance: float) -> list[Judgement]:
    """Compare a run with the saved ratios, sorted by name.

    Args:
        timings: From :func:`read_timings`.
        saved: Ratios of the baseline by name.
        tolerance: By what share a ratio may grow before it counts as slower.
    """
    return [
        Judgement(name, timings.get(name), saved.get(name), _verdict(timings.get(name), saved.get(name), tolerance))
        for name in sorted({*timings, *saved})
    ]


def render(judgements: list[Judgement]) -> str:
    """Return a Markdown table."""
    head = ["| benchmark | ms | ratio | baseline | change | verdict |", "|---|---:|---:|---:|---:|---|"]
    rows = [f"| {found.name} | {' | '.join(_figures(found))} | {found.verdict} |" for found in judgements]
    return "\n".join([*head, *rows])


def _verdict(timing: Timing | None, saved: float | None, tolerance: float) -> str:
    if timing is None:
        return MISSING
    if saved is None:
        return "new"
    if timing.ratio > saved * (1 + tolerance):
        return SLOWER
    return "faster" if timing.ratio * (1 + tolerance) < saved else "ok"


def _figures(found: Judgement) -> list[str]:
    saved = "-" if found.saved is None else f"{found.saved:.3f}"
    if found.timing is None:
        return ["-", "-", saved, "-"]
    change = "-" if found.saved is None else f"{found.timing.ratio / found.saved - 1:+.0%}"
    return [f"{1000 * found.timing.seconds:,.2f}", f"{found.timing.ratio:.3f}", saved, change]


def _save(baseline: Mapping[str, Any], judgements: list[Judgement]) -> None:
    ratios = {found.name: round(found.timing.ratio, 4) for found in judgements if found.timing is not None}
    BASELINE.write_text(json.dumps({**baseline, "ratios": ratios}, indent=2) + "\n", encoding="utf-8")


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--save", is_flag=True, help="Make this run the baseline.")
@click.pass_context
def main(context: click.Context, report: Path, *, save: bool) -> None:
    """Judge REPORT, the file that pytest wrote with --benchmark-json; exit with 1 at a regression."""
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    timings = read_timings(json.loads(report.read_text(encoding="utf-8")))
    judgements = judge(timings, baseline["ratios"], baseline["tolerance"])
    click.echo(render(judgements))
    if save:
        _save(baseline, judgements)
    elif any(found.verdict in FAULTS for found in judgements):
        context.exit(1)


if __name__ == "__main__":
    main()
