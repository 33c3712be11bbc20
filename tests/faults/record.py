"""Turn what ``pytest tests/faults --faults=all --junitxml=FILE`` has seen into Markdown.

Usage: record.py FILE... --out results/faults/record.md; of a test that several files have, the last counts.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from xml.etree import ElementTree as ET

import torch

_HEADINGS = {
    "test_kills": "Killed, interrupted, two at once",
    "test_plugins": "Plugins that misbehave",
    "test_disks": "Disks",
    "test_cost": "What isolation costs",
}


def main() -> None:
    """Read the command line and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seen", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    cases = {_key(case): case for file in given.seen for case in ET.parse(file).getroot().iter("testcase")}
    text = render(list(cases.values()))
    if len(given.seen) > 1:
        text += f"\nPut together from {len(given.seen)} calls that did a part of the tests each.\n"
    given.out.write_text(text, encoding="utf-8")


def render(cases: list[ET.Element]) -> str:
    """Return the record: a line a test with its outcome and what it has seen."""
    bad = sum(_outcome(case) == "FAILED" for case in cases)
    lines = [
        "# Faults put into real runs, and what was seen",
        "",
        f"`make faults` on {platform.system()} with Python {platform.python_version()} and torch {torch.__version__}: "
        f"{len(cases)} tests, {bad} failed. Every run is a process of its own on a small generated data set; the "
        "moments of kills are drawn with a fixed seed.",
    ]
    for module, heading in _HEADINGS.items():
        lines += ["", f"## {heading}", "", "| test | outcome | seen |", "|---|---|---|"]
        lines += [_row(case) for case in cases if case.get("classname", "").endswith(module)]
    return "\n".join(lines) + "\n"


def _key(case: ET.Element) -> tuple[str, str]:
    return case.get("classname", ""), case.get("name", "")


def _row(case: ET.Element) -> str:
    seen = "; ".join(f"{entry.get('name')}: {entry.get('value')}" for entry in case.iter("property"))
    name = case.get("name", "").removeprefix("test_").replace("_", " ")
    return f"| {_cell(name)} | {_outcome(case)} | {_cell(seen)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _outcome(case: ET.Element) -> str:
    skipped = case.find("skipped")
    if skipped is not None:
        return f"skipped: {skipped.get('message')}"
    return "FAILED" if case.find("failure") is not None or case.find("error") is not None else "as it should"


if __name__ == "__main__":
    main()
