"""Commands that read what is there import nothing that trains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "sklearn", "skimage")
CALL = (
    "import json, sys; from harness.cli.main import _exit_code\n"
    "code = _exit_code(sys.argv[1:])\n"
    "sys.stderr.write(chr(10) + json.dumps([code, sorted(sys.modules)]))"
)


@pytest.fixture(scope="module")
def run(finished):
    return finished()


def imported(shared_cache, *arguments: object) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", CALL, *map(str, arguments)],
        env={**os.environ, "HARNESS_CACHE": str(shared_cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        ("status RUN", (*HEAVY, "pandas", "pyarrow", "scipy", "matplotlib")),
        ("status RUN --provenance", (*HEAVY, "pandas", "pyarrow", "scipy", "matplotlib")),
        ("tables RUN", (*HEAVY, "matplotlib")),
        ("compare RUN RUN", (*HEAVY, "matplotlib")),
        ("merge RUN OTHER", (*HEAVY, "matplotlib")),
        ("run CONFIG --data IMAGES --out RUN", (*HEAVY, "matplotlib")),
        ("splits CONFIG --data IMAGES", (*HEAVY, "scipy", "matplotlib")),
        ("data verify IMAGES", (*HEAVY, "scipy", "matplotlib")),
    ],
)
def test_what_is_not_needed_is_not_imported(run, tiny, phantom, shared_cache, tmp_path, command, spared):
    other = shutil.copytree(run, tmp_path / "other") if "OTHER" in command else None
    places = {"RUN": run, "OTHER": other, "CONFIG": tiny, "IMAGES": phantom}
    code, modules = imported(shared_cache, *(places.get(word, word) for word in command.split()))
    assert code == 0
    assert modules.isdisjoint(spared)


def test_figures_that_are_gone_or_changed_are_drawn_again(run, harness):
    figure = run / "figures" / "figure7.svg"
    whole = figure.read_bytes()
    for harm in (figure.unlink, lambda: figure.write_bytes(b"<svg/>")):
        harm()
        assert harness("tables", run)[0] == 0
        assert figure.read_bytes() == whole
