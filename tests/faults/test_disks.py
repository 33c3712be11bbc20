"""A disk that is full or read-only ends a run with one line, and nothing finished is lost."""

import os
import subprocess

import pytest
from runs import results

from harness.store.run_store import RunStore

_PAGE = 4096


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB, if one may be mounted here."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", place], check=False).returncode
    ):
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def remount(place, options):
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def pages(file):
    return -(-file.stat().st_size // _PAGE) * _PAGE


def the_line(told):
    lines = [line for line in told.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1, told
    assert "Traceback" not in told
    return lines[0]


@pytest.mark.usefixtures("only_with_everything")
def test_a_full_disk(stage, undisturbed, small_disk, record_property):
    run, model = small_disk / "run", stage.folder / "undisturbed"
    fitting = [*model.glob("*.*"), *model.glob("cells/majority-*/*"), *model.glob("cells/densenet-100x-*/*")]
    remount(small_disk, f"size={sum(pages(file) for file in fitting) + 4 * _PAGE}")
    code, told = stage.run(run)
    assert code == 3, told
    assert "No space left on device" in the_line(told)
    assert RunStore(run).find_damage(thorough=True) == {}
    done = len(results(run, "majority", "densenet"))
    assert 0 < done < 4
    remount(small_disk, "size=50m")
    code, told = stage.run(run)
    assert code == 0, told
    assert f"{4 - done} cells computed, {done} kept" in told
    assert results(run) == undisturbed.results
    record_property("full disk", f"exit code 3 with {done} of 4 cells done; continued to the same bytes")


@pytest.mark.usefixtures("only_with_everything")
def test_a_read_only_disk(stage, small_disk, record_property):
    remount(small_disk, "ro")
    code, told = stage.run(small_disk / "run")
    assert code == 3
    assert "Read-only file system" in the_line(told)
    record_property("read-only disk", "exit code 3")


@pytest.mark.usefixtures("only_with_everything")
def test_files_that_may_not_grow(stage, undisturbed, tmp_path, record_property):
    run = tmp_path / "run"
    largest = max(f.stat().st_size for f in (stage.folder / "undisturbed").glob("*.*") if f.is_file())
    code, told = stage.run(run, under=("prlimit", f"--fsize={largest}"))
    assert code == 3, told
    assert "File too large" in the_line(told)
    assert RunStore(run).find_damage(thorough=True) == {}
    assert stage.run(run)[0] == 0
    assert results(run) == undisturbed.results
    record_property("files limited in size (RLIMIT_FSIZE)", "exit code 3; continued to the same bytes")
