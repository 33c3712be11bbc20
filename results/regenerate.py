"""Compute every result on real images anew, and put its tables and figures in place.

python results/regenerate.py --data DIR --lung DIR --weights FILE [--only NAME]... [--dry-run]

Each run is told first what it will take (``harness run --dry-run``). What is finished is kept in ``.real``, so the command
goes on where it was stopped. The weights are of DenseNet-121 in timm's names.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "real"
RUNS = Path(".real")
_TRANSFER = ("deep-transfer", "probe")
_PRETRAINED = ("natural", "both", "natural-se", "both-se", *(f"both-se-frozen-{part}" for part in
               ("stem", "denseblock1", "denseblock2", "denseblock3", "denseblock4")))


@dataclass(frozen=True)
class RealRun:
    """One run on real images: its config, its overrides, and the models that start from the weights."""

    config: str
    overrides: tuple[str, ...]
    started: tuple[str, ...]
    models: tuple[str, ...] = ()

    def arguments(self, given: argparse.Namespace) -> list[str]:
        """Return what ``harness run`` is called with, but for where the results go."""
        weights = [f"models.{model}.options.weights={given.weights}" for model in self.started]
        lung = [f"sources.lung.folder={given.lung}"] if self.config != "stain" else []
        overrides = [part for override in (*self.overrides, *lung, *weights) for part in ("-o", override)]
        chosen = ["--models", ",".join(self.models)] if self.models else []
        return [self.config, "--data", str(given.data), *overrides, *chosen, "--jobs", "2"]


REAL = {
    "stain": RealRun("stain", (), ("probe",)),
    "matrix": RealRun("cpu", ("strata=[100x,200x]",), _TRANSFER),
    "frozen": RealRun("cpu", ("schedule.epochs=30",), ("probe",), ("majority", "white-point", "probe")),
    "leak": RealRun("leak", (), _TRANSFER),
    "ablation": RealRun("ablation", ("pixels.size=48", "schedule.epochs=4"), _PRETRAINED),
}

REPORTED = ("matrix",)
"""Runs whose report is committed."""


def harness(*arguments: str) -> None:
    """Call the command line of this very environment."""
    subprocess.run([sys.executable, "-m", "harness", *arguments], check=True)


def put_in_place(name: str) -> None:
    """Copy what a run has made of its folder into the results: tables and figures, no images and no cells."""
    for made in sorted(RUNS.joinpath(name).rglob("*")):
        if made.is_dir() and made.name in {"tables", "figures"}:
            target = RESULTS / name / made.relative_to(RUNS / name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(made, target, ignore=shutil.ignore_patterns("*.html", "*.json"))


def report(name: str) -> None:
    """Write the page of a run, without its images: the terms of the data do not let them be passed on."""
    file = RESULTS.parent / "reports" / f"{name}.html"
    harness("report", str(RUNS / name), "--images", "none", "--out", str(file))


def audit(given: argparse.Namespace) -> None:
    """Audit the images, and draw their whites; the sheet of real pictures stays in ``.real``."""
    folder = RESULTS / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "harness", "data", "audit", str(given.data), "--figures", str(RUNS / "audit")]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    folder.joinpath("breakhis.md").write_text(report.replace(str(given.data), "DIR"))
    shutil.copy(RUNS / "audit" / "whites.png", folder / "whites.png")


def main() -> None:
    """Run what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="BreakHis.")
    parser.add_argument("--lung", type=Path, required=True, help="LC25000 with groups.csv.")
    parser.add_argument("--weights", type=Path, required=True, help="Weights of DenseNet-121.")
    parser.add_argument("--only", action="append", choices=[*REAL, "audit"], help="These alone.")
    parser.add_argument("--dry-run", action="store_true", help="Tell what it will take, and stop.")
    given = parser.parse_args()
    wanted = given.only or [*REAL, "audit"]
    for name in wanted:
        if name in REAL:
            harness("run", *REAL[name].arguments(given), "--out", str(RUNS / name), "--dry-run")
    if given.dry_run:
        return
    for name in wanted:
        if name == "audit":
            audit(given)
        else:
            harness("run", *REAL[name].arguments(given), "--out", str(RUNS / name))
            put_in_place(name)
            if name in REPORTED:
                report(name)


if __name__ == "__main__":
    main()
