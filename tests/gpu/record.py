"""Measure everything that needs a CUDA device, and write it down: ``python tests/gpu/record.py --help``.

Each part runs in a process of its own with a limit of time, so that a crash or a hang costs that part alone. What is
finished is not measured again, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from apart import Outcome, run_apart
from command_parts import NotReachedError
from kept_record import Record, Sources, fill
from machine_parts import ROOT, describe, hash_of_sources
from parts import PARTS
from setting import Setting

from harness.processes import die_with_parent
from harness.training.devices import git_commit
from harness.training.execution_modes import keep_kernels_in, set_up_process

_MACHINE = "machine"
_MACHINE_SECONDS = 120


def main() -> int:
    """Read the command line and measure; 1 if a part failed, 3 if there is no such device."""
    given = _arguments()
    setting = Setting(given.device, given.scratch.resolve(), given.data.resolve() if given.data else None)
    if given.only:
        _measure(given.only, setting, given.rows)
        return 0
    deadline = time.monotonic() + 60 * given.minutes
    told = _run(_MACHINE, setting, _MACHINE_SECONDS)
    if not told.is_done:
        sys.stderr.write(f"the machine cannot be described: {told.reason}\n")
        return 3
    sources = Sources(hash_of_sources(), given.commit or git_commit())
    record = Record.continued(given.out, dict(told.rows[0]), sources)
    sys.stderr.write(f"{sum(map(record.is_done, PARTS))} of {len(PARTS)} parts are finished already\n")
    fill(
        record,
        PARTS,
        [name for name in PARTS if name in (given.parts or PARTS)],
        run=lambda name, seconds: _run(name, setting, seconds),
        left=lambda: deadline - time.monotonic(),
        tell=sys.stderr.write,
    )
    return int(any(record.failed(name) for name in PARTS))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="on the CPU everything is tiny")
    parser.add_argument("--minutes", type=float, default=25, help="what is not begun by then is left for the next call")
    parser.add_argument("--data", type=Path, help="BreakHis, for the run; generated images otherwise")
    parser.add_argument(
        "--out", type=Path, help="folder of record.md and record.json  [results/gpu; .gpu/cpu on the CPU]"
    )
    parser.add_argument("--scratch", type=Path, default=ROOT / ".gpu", help="folder for caches and logs")
    parser.add_argument("--parts", type=_names, metavar="A,B", help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--commit", help="what to call the sources where there is no checkout")
    parser.add_argument("--only", choices=(_MACHINE, *PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.out = given.out or (ROOT / "results" / "gpu" if given.device == "cuda" else given.scratch / "cpu")
    return given


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part '{unknown[0]}'; there are {', '.join(PARTS)}")
    return names


def _run(name: str, setting: Setting, seconds: float) -> Outcome:
    """Measure a part in a process of its own."""
    rows, log = (setting.scratch / "logs" / f"{name}.{ending}" for ending in ("rows", "log"))
    where = ["--device", setting.device, "--scratch", str(setting.scratch)]
    data = ["--data", str(setting.data)] if setting.data else []
    command = [sys.executable, __file__, "--only", name, "--rows", str(rows), *where, *data]
    return run_apart(command, rows, log, seconds)


def _measure(name: str, setting: Setting, rows: Path) -> None:
    """Measure a part in this process, which exists for nothing else, and write each row as it comes."""
    die_with_parent()
    set_up_process(threads=1)
    keep_kernels_in(setting.scratch / "compiled")
    with rows.open("w", encoding="utf-8", buffering=1) as file:
        try:
            for row in (describe if name == _MACHINE else PARTS[name].measure)(setting):
                file.write(json.dumps(row) + "\n")
        except NotReachedError as reason:
            file.write(json.dumps(str(reason)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
