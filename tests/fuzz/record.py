"""Put many inputs through every parser and write down what came of it: ``python tests/fuzz/record.py --help``.

Each target runs in a process of its own with limited memory and a limit of time for each input, so that a crash, an
exhausted memory or a hang is a finding like any other exception.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tabulate
from targets import TARGETS

from harness.text import markdown

MEMORY_BYTES = 8 << 30
INPUT_SECONDS = 20
_SHOWN = 4
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|/\S+|[0-9][0-9,.]*|line \d+")


def main() -> None:
    """Run every target and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="inputs a target")
    parser.add_argument("--out", type=Path, help="Markdown file to write; standard output otherwise")
    parser.add_argument("--only", choices=TARGETS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        run_here(given.only, given.examples)
        return
    results = {name: run_apart(name, round(given.examples * target.share)) for name, target in TARGETS.items()}
    text = render(results)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    sys.exit(any(result["findings"] for result in results.values()))


def run_apart(name: str, examples: int) -> dict[str, Any]:
    """Run a target in a process of its own; if it dies, say at which input."""
    command = [sys.executable, __file__, "--only", name, "--examples", str(examples)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    *numbers, last = done.stdout.splitlines() or [""]
    if done.returncode == 0:
        sys.stderr.write(f"{name}: {last[:200]}\n")
        return dict(json.loads(last))
    died = f"the process died with {done.returncode} at or after input {numbers[-1] if numbers else 0}"
    return {
        "inputs": examples,
        "seconds": 0.0,
        "accepted": 0,
        "refused": 0,
        "refusals": [],
        "findings": {died: 1},
        "first": {},
    }


def run_here(name: str, examples: int) -> None:
    """Run a target in this process and print what came of it as one line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _took_too_long)
    target, refusals, findings, first = TARGETS[name], Counter[str](), Counter[str](), dict[str, int]()
    began = time.perf_counter()
    for number in range(examples):
        if number % 1000 == 0:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()  # a process that dies has told how far it came
        signal.alarm(INPUT_SECONDS)
        try:
            refusal = target.answer(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
            findings[what] += 1
            first.setdefault(what, number)
        else:
            refusals[_kind(refusal)] += refusal is not None
    signal.alarm(0)
    refused = refusals.total()
    answer = {"inputs": examples, "seconds": time.perf_counter() - began, "refused": refused}
    answer |= {"accepted": examples - refused - findings.total(), "findings": findings}
    sys.stdout.write(json.dumps({**answer, "refusals": refusals.most_common(_SHOWN), "first": first}) + "\n")


def render(results: dict[str, dict[str, Any]]) -> str:
    """Return the record as Markdown."""
    heads = ["target", "inputs", "seconds", "accepted", "refused", "uncaught"]
    rows = [
        [name, *(f"{found[key]:,.0f}" for key in ("inputs", "seconds", "accepted", "refused")), _uncaught(found)]
        for name, found in results.items()
    ]
    table = tabulate.tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=["left"] + ["right"] * 5)
    told = [line for name, found in results.items() for line in _told(name, found)]
    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join(
        [
            "# Files that somebody may send, spoilt",
            "",
            f"Made by `python tests/fuzz/record.py` with harness {version('breakhis-harness')}, Python {python}, "
            "on one core. An input is a sound file spoilt at random, and a pure function of its number. A parser may "
            "return a value or refuse with one of the harness's errors; uncaught is anything else: another exception, "
            f"a crash, more than {MEMORY_BYTES >> 30} GiB of memory, or {INPUT_SECONDS} seconds for one input.",
            "",
            table,
            "",
            "## The most frequent refusals",
            "",
            *told,
            "",
        ]
    )


def _told(name: str, found: dict[str, Any]) -> list[str]:
    findings = [
        f"    - FOUND {number:,} times: {markdown(what)}, first at input {found['first'].get(what, '?')}"
        for what, number in sorted(found["findings"].items(), key=lambda item: -item[1])
    ]
    refusals = [f"    - {number:,}: {markdown(what)}" for what, number in found["refusals"] if number]
    return [
        f"- {name}",
        *findings,
        *(refusals or ["    - none: what is no official name is left out"] * (not findings)),
    ]


def _uncaught(found: dict[str, Any]) -> str:
    return f"{sum(found['findings'].values()):,}"


def _kind(refusal: str | None) -> str:
    """A refusal without what differs from input to input."""
    return _VARIES.sub("...", refusal or "")[:110]


def _took_too_long(*_: object) -> None:
    raise TimeoutError(f"more than {INPUT_SECONDS} seconds")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
