"""What is written for authors is sound as it is: it loads, passes the checks, is formatted and typed."""

import re
from pathlib import Path

import pytest
from small_runs import run_module

from harness.plugin_api.discovery import discover
from harness.testing import CHECKS, run_checks
from harness.testing.subject import Subject

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_a_file_passes_every_check(harness, tmp_path):
    code, out, err = harness("plugins", "new", "my-network", "--file", "--in", tmp_path)
    assert code == 0, err
    assert out.split() == [str(tmp_path / "my_network.py")]
    registered = discover([tmp_path / "my_network.py"]).find("my-network")
    results = list(run_checks(Subject(registered), CHECKS))
    assert [(result.check, result.words) for result in results if result.is_trouble] == []


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    run_module("harness", "plugins", "new", "my-network", cwd=folder)
    return folder / "my-network"


@pytest.mark.long
def test_a_package_is_formatted_and_typed(package):
    run_module("ruff", "check", ".", cwd=package)
    run_module("ruff", "format", "--check", ".", cwd=package)
    # an editable installation is not seen by mypy as one from a wheel is
    options = ("--strict", "--ignore-missing-imports", "--follow-imports=silent")
    run_module("mypy", *options, "my_network", cwd=package, MYPYPATH=str(ROOT))


@pytest.mark.long
def test_a_package_that_is_installed_is_listed_and_gone_when_it_is_not(package, tmp_path):
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
    run_module("pip", "install", *offline, "--target", tmp_path / "site", ".", cwd=package)
    listed = run_module("harness", "plugins", "list", cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert re.search(r"^my-network +my-network 0\.1\.0 ", listed, re.MULTILINE)
    tests = ("pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", "options or build or card")
    assert "3 passed" in run_module(*tests, cwd=package, PYTHONPATH=str(tmp_path / "site"))
    assert "my-network" not in run_module("harness", "plugins", "list", cwd=tmp_path)


@pytest.mark.parametrize("name", ["My-Network", "my_network", "1st", "../x", "a" * 61, "", "-x"])
def test_names_that_cannot_be_are_refused(harness, tmp_path, name):
    code, _, err = harness("plugins", "new", "--in", tmp_path, "--", name)
    assert code == 2
    assert "cannot name a plugin" in err
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "x").exists()


def test_nothing_is_overwritten(harness, tmp_path):
    (tmp_path / "my-network").mkdir()
    (tmp_path / "other.py").write_text("mine")
    assert harness("plugins", "new", "my-network", "--in", tmp_path)[0] == 2
    assert harness("plugins", "new", "other", "--file", "--in", tmp_path)[0] == 2
    assert (tmp_path / "other.py").read_text() == "mine"
