"""The command line and the tests, run as anybody runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import Any
from xml.etree import ElementTree as ET

from machine_parts import ROOT
from setting import Setting

from harness.plugin_api.schedule import ExecutionMode

Row = dict[str, Any]


class NotReachedError(Exception):
    """A part has nothing to measure here; says why."""


def cuda_tests(setting: Setting) -> Iterator[Row]:
    """Run the tests that need a CUDA device."""
    seen = setting.scratch / "tests.xml"
    marked = [str(file) for file in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.cuda" in file.read_text()]
    # a bare image lacks the plugins of pytest that the project's options are for, and its libraries may warn
    options = ["-m", "cuda", "-o", "addopts=", "-W", "default", "-p", "no:cacheprovider", f"--junitxml={seen}"]
    _called(["-m", "pytest", *marked, *options], setting, expected=(0, 1))
    rows = [_tested(case) for case in ET.parse(seen).getroot().iter("testcase")]
    if all(row["outcome"].startswith("skipped") for row in rows):
        raise NotReachedError(f"all {len(rows)} are {rows[0]['outcome']}")
    yield from rows
    failed = sum(row["outcome"].startswith("FAILED") for row in rows)
    if failed:
        raise RuntimeError(f"{failed} of {len(rows)} tests failed")


def bench_train(setting: Setting, label: str, mode: ExecutionMode) -> Iterator[Row]:
    """Run ``harness bench train``."""
    size = setting.size
    command = ["-m", "harness", "bench", "train", size.config, "--models", label, "--device", setting.device]
    turns = ["--rounds", str(size.rounds), "--seconds", str(size.seconds), "--jobs", str(size.usual_jobs)]
    answer = _called([*command, *turns, "-o", f"schedule.execution_mode={mode}", "--json"], setting)
    for result in json.loads(answer)["results"]:
        for one in result["placings"]:
            yield {
                "model": result["model"],
                "way": one["name"],
                "images/s": one["images_per_second"],
                "ratio": _spread(one["ratio"]),
                "start-up (s)": one["start_up_seconds"],
                "how": one["message"],
            }


def matrix(setting: Setting) -> Iterator[Row]:
    """Run ``harness run`` with captured steps; it goes on where it was stopped."""
    run = setting.scratch / ("matrix" if setting.data is None else "matrix-real")
    command = ["-m", "harness", "run", setting.size.matrix, "--device", setting.device, "--out", str(run)]
    data = ["--data", str(setting.data)] if setting.data else []
    began = time.time()
    _called(
        [*command, *data, "--jobs", str(setting.size.usual_jobs), "-o", "schedule.execution_mode=captured"],
        setting,
        expected=(0, 1),
    )
    seconds = time.time() - began
    files = sorted(run.glob("cells/*/cell.json"))
    computed = sum(file.stat().st_mtime >= began for file in files)
    cells = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    by_model = defaultdict(list)
    for cell in cells:
        by_model[cell["model"]].append(cell)
    for model, own in sorted(by_model.items()):
        yield _row_of_model(model, own)
    images = "generated images" if setting.data is None else f"images of {setting.data.name}"
    model = f"all, {images}, {computed} cells computed in this call"
    yield {"model": model, "cells": len(cells), "wall (s)": seconds}


def _row_of_model(model: str, cells: list[Row]) -> Row:
    done = [cell for cell in cells if cell["state"] == "done"]
    failed = [cell["error"]["reason"] for cell in cells if cell["state"] != "done"]
    speeds = [cell["timings"]["images_per_second_alone"] for cell in done]
    return {
        "model": model,
        "cells": len(cells),
        "failed": "; ".join(dict.fromkeys(failed)) or "none",
        "executed": "; ".join(dict.fromkeys(cell["execution_mode"] or "-" for cell in done)),
        "images/s alone": median(speeds) if speeds and None not in speeds else "-",
        "start-up (s)": median(cell["start_up_seconds"] or 0.0 for cell in done) if done else "-",
        "fit (s)": median(cell["timings"]["fit_seconds"] for cell in done) if done else "-",
        "predict (s)": median(cell["timings"]["predict_seconds"] for cell in done) if done else "-",
        "peak memory (MB)": max((cell["peak_memory_mb"] for cell in done), default="-"),
    }


def _spread(ratio: Row) -> str:
    return f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})"


def _tested(case: ET.Element) -> Row:
    skipped, bad = case.find("skipped"), [*case.iter("failure"), *case.iter("error")]
    outcome = "passed" if skipped is None else f"skipped: {skipped.get('message')}"
    return {
        "test": f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name', '')}",
        "outcome": f"FAILED: {bad[0].get('message', '')[:300]}" if bad else outcome,
        "seconds": float(case.get("time", "0")),
    }


def _called(arguments: list[str], setting: Setting, expected: tuple[int, ...] = (0,)) -> str:
    """Call this Python in the project's folder and return what it prints."""
    environment = {**os.environ, "HARNESS_CACHE": str(setting.scratch / "cache"), "COLUMNS": "200"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stderr)
    if done.returncode not in expected:
        sys.stderr.write(done.stdout)
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing"]
        raise RuntimeError(f"'{' '.join(arguments[1:3])}' ended with {done.returncode} and said: {said[-1]}")
    return done.stdout
