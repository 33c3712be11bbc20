"""Whoever reads the output, or nobody: a run goes on, and no character ends a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
protocol: holdout
device: cpu
strata: [200x]
pixels: {size: 16, stain: none}
schedule: {epochs: 1}
models:
  "模型 ü": {plugin: majority}
  "naïve – model": {plugin: majority}
"""


@pytest.fixture
def call(tmp_path: Path, phantom: Path, shared_cache: Path):
    """Call the command line through a shell, so that streams can be closed and piped as people do it."""
    (tmp_path / "odd.yaml").write_text(CONFIG, encoding="utf-8")

    def run(arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        command = arguments.replace("harness", f"'{sys.executable}' -m harness").replace("IMAGES", f"'{phantom}'")
        own = {"HARNESS_CACHE": str(shared_cache), "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=tmp_path,
            env={**os.environ, **own, **environment},
            capture_output=True,
            check=False,
        )

    return run


@pytest.mark.long
@pytest.mark.parametrize("streams", ["2>&1 | head -n 1", pytest.param("<&- >&- 2>&-", marks=pytest.mark.long)])
def test_a_run_goes_on_whoever_listens(call, tmp_path, streams):
    done = call(f"harness run odd.yaml --data IMAGES --out run {streams}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "tables" / "table3.csv").exists()
    assert len(list(tmp_path.glob("run/cells/*/cell.json"))) == 2
    assert b"Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.long)])
def test_no_character_is_a_traceback(call, harness, tmp_path, phantom, encoding):
    assert harness("run", tmp_path / "odd.yaml", "--data", phantom, "--out", tmp_path / "run")[0] == 0
    done = call("harness tables run --table 4", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert (b"\\u6a21\\u578b" in done.stdout) is (encoding == "cp1252")  # for ascii, UTF-8 is written instead
    assert ("模型" in done.stdout.decode("utf-8", "replace")) is (encoding == "ascii")


@pytest.mark.long
def test_the_exit_code_is_that_of_the_run_though_nobody_reads_its_tables(call, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from harness import TorchModel, hookimpl\n"
        "class Bad(TorchModel):\n"
        "    name = 'bad'\n"
        "    def build(self, n_classes): raise ValueError('no')\n"
        "@hookimpl\n"
        "def harness_register_models(register): register(Bad)\n"
    )
    done = call("harness run odd.yaml --data IMAGES --out run --plugin bad.py >&-")
    assert done.returncode == 1
    assert b"bad cannot be trained, and none of its 1 cells is begun: ValueError: no" in done.stderr


def test_windows_is_answered_in_one_line():
    code = (
        "import click, sys; sys.platform = 'win32'\n"
        "sys.modules.update(dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp')))\n"
        "from harness.cli.main import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "harness: only Linux and macOS are supported - on Windows, use it in WSL 2\n"


@pytest.mark.long
def test_a_plugin_that_changes_the_folder_moves_no_path_of_the_command_line(call, tmp_path):
    (tmp_path / "mover.py").write_text(
        "import os, numpy as np\n"
        "os.chdir('/')\n"
        "from harness import Model, ModelCard, Options, hookimpl\n"
        "class Mover(Model):\n"
        "    name = 'mover'\n"
        "    def __init__(self, options=None): os.chdir('/'); super().__init__(options)\n"
        "    def fit(self, train, validation, context): pass\n"
        "    def predict_proba(self, images): return np.tile([0.2, 0.8], (len(images), 1))\n"
        "    def describe(self): return ModelCard()\n"
        "    def save(self, folder): (folder / 'x.txt').write_text('x')\n"
        "    def load(self, folder, device, n_classes): pass\n"
        "@hookimpl\n"
        "def harness_register_models(register): register(Mover)\n"
    )
    done = call("ln -s IMAGES images; harness run odd.yaml --data images --out out --plugin mover.py --models mover")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "run.json").exists()
