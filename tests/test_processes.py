"""Helpers whose death names what they were given, locks that one process holds, and nothing that outlives a run."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.errors import DataError, EnvironmentMissingError
from harness.file_lock import locked
from harness.processes import map_strange
from harness.threads import usable_cores


def halve(number: int) -> float:
    if number == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 14:
        os._exit(3)
    return number / 2


@pytest.mark.parametrize("strange", [13, 14])
def test_what_ends_its_helper_is_named(strange: int) -> None:
    numbers = [*range(13), strange, *range(20, 40)]
    results = map_strange(halve, numbers, lambda number: f"number {number}")
    done = []
    with pytest.raises(DataError, match=f"number {strange} has ended the process"):
        done.extend(results)
    assert done == [number / 2 for number in range(13)]


def test_a_helper_that_is_killed_by_chance_costs_nothing(tmp_path: Path) -> None:
    numbers = [(tmp_path / "once", number) for number in range(40)]
    assert list(map_strange(die_once, numbers, str)) == list(range(40))


def test_helpers_find_the_compiler_of_kernels_set_up() -> None:
    assert list(map_strange(name_if_loaded, ["harness.compiler"], str)) == ["harness.compiler"]


def name_if_loaded(module: str) -> str | None:
    return module if module in sys.modules else None


@pytest.mark.skipif(sys.platform != "linux", reason="a process is bound to cores on Linux alone")
def test_helpers_are_as_many_as_the_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:1])
    try:
        assert usable_cores() == 1
        assert len(set(map_strange(process_of, list(range(64)), str))) == 1
    finally:
        os.sched_setaffinity(0, allowed)


def process_of(_: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def die_once(item: tuple[Path, int]) -> int:
    mark, number = item
    if number == 21 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(EnvironmentMissingError, match=f"the file system of {tmp_path} knows no locks"),
        locked(tmp_path / ".lock"),
    ):
        pass


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path: Path) -> None:
    hold = "import sys, time; from pathlib import Path; from harness.file_lock import locked\n"
    hold += f"with locked(Path({str(tmp_path / 'lock')!r})): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TimeoutError), locked(tmp_path / "lock", seconds=0.2):
            pass
        other.kill()
    with locked(tmp_path / "lock", seconds=5):
        pass


RUN = """
import os, sys
from harness.cli.main import main
main(sys.argv[1:])
"""
STRAYS = """
import os, subprocess, sys, time
from pathlib import Path
import numpy as np
from harness import Model, ModelCard, hookimpl
class Strays(Model):
    name = "strays"
    def fit(self, train, validation, context):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        Path(PIDS).write_text(f"{os.getppid()} {os.getpid()} {child.pid}")
        time.sleep(600)
    def predict_proba(self, images): return np.tile([0.2, 0.8], (len(images), 1))
    def describe(self): return ModelCard()
    def save(self, folder): pass
    def load(self, folder, device, n_classes): pass
@hookimpl
def harness_register_models(register): register(Strays)
"""
CONFIG = """
protocol: holdout
device: cpu
strata: [200x]
pixels: {size: 16, stain: none}
schedule: {epochs: 1}
models:
  strays: {}
"""


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # where nobody asks for its exit code
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to a chosen process")
@pytest.mark.parametrize(
    ("stopped", "killed"), [pytest.param([], "supervisor", marks=pytest.mark.long), (["supervisor", "worker"], "host")]
)
def test_nothing_outlives_the_run(stopped, killed, tmp_path, phantom, shared_cache, request) -> None:
    if request.config.getoption("--faults") != "all" and killed != "supervisor":
        pytest.skip("done by --faults=all")
    pids = tmp_path / "pids"
    (tmp_path / "strays.py").write_text(STRAYS.replace("PIDS", repr(str(pids))))
    (tmp_path / "run.yaml").write_text(CONFIG)
    command = [sys.executable, "-c", RUN, "run", "run.yaml", "--data", phantom, "--plugin", "strays.py", "--out", "run"]
    with subprocess.Popen(
        list(map(str, command)),
        cwd=tmp_path,
        env={**os.environ, "HARNESS_CACHE": str(shared_cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as host:
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        supervisor, worker, child = map(int, pids.read_text().split())
        named = {"host": host.pid, "supervisor": supervisor, "worker": worker}
        for name in stopped:
            os.kill(named[name], signal.SIGSTOP)
        os.kill(named[killed], signal.SIGKILL)
        host.wait(60)
    gone = [pid for pid in (supervisor, worker, child) if wait_until(lambda pid=pid: has_ended(pid), 20)]
    assert gone == [supervisor, worker, child]


UNGUARDED = """
import multiprocessing
from pathlib import Path
from harness.file_lock import locked

with locked(Path("lock")):
    if multiprocessing.parent_process() is None:
        child = multiprocessing.get_context("spawn").Process(target=print)
        child.start()
        child.join()
        raise SystemExit(child.exitcode)
"""


def test_a_script_whose_processes_would_wait_for_it_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "put the script's work under 'if __name__ == \"__main__\":'" in done.stderr
