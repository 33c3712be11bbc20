"""What several tests need: small generated images, a cache of their own, and the command line in this process."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import hypothesis
import pandas as pd
import pytest
from breakhis import official_table, write_synthetic_breakhis
from small_runs import TINY_CONFIG, prepare_environment

from harness.cli.main import _exit_code
from harness.errors import SplitError
from harness.kernels import Kernel
from harness.synthetic.settings import SyntheticSettings

# on a busy machine an example takes as long as it takes; no test asserts seconds
hypothesis.settings.register_profile("harness", deadline=None)
hypothesis.settings.load_profile("harness")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", choices=("short", "all"), default="short", help="how much of tests/faults to do")
    parser.addoption("--whole", action="store_true", help="do what takes long as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a CUDA device where there is none, and what takes long, unless all is asked for.

    The gate of every change has a quarter of an hour.
    """
    on_cuda = [item for item in items if item.get_closest_marker("cuda")]
    if on_cuda and not _has_cuda():
        for item in on_cuda:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
    if config.getoption("--whole") or config.getoption("--faults") == "all":
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long; done by 'make test-whole' (--whole)"))


def _has_cuda() -> bool:
    import torch  # most tests can do without

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set: 15 accessions, two images each at four magnifications."""
    folder = tmp_path_factory.mktemp("phantom") / "images"
    write_synthetic_breakhis(folder, SyntheticSettings(accessions=18, images=2, size=32))
    return folder


@pytest.fixture
def without_shortcuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let audits leave out shortcuts, which take two thirds of their time."""

    def leave_out(*_arguments: object) -> None:
        raise SplitError("left out")

    monkeypatch.setattr("harness.audit.survey.measure_shortcuts", leave_out)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what stands in for compiled loops, as where numba is absent."""
    monkeypatch.setattr(Kernel, "machine_code", property(lambda _: None))


@pytest.fixture(params=["compiled", "uncompiled"])
def road(request: pytest.FixtureRequest) -> None:
    """Do a test with loops compiled by numba, and with what stands in for them."""
    if request.param == "uncompiled":
        request.getfixturevalue("uncompiled")
    else:
        pytest.importorskip("numba")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, shared_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Call the command line in this process: ``harness("run", ...)`` gives (exit code, stdout, stderr)."""
    prepare_environment(monkeypatch, shared_cache, tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = _exit_code([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def finished(shared_cache: Path, tiny: Path, phantom: Path, tmp_path_factory: pytest.TempPathFactory):
    """Make a run that several tests of a module only read: ``finished("-o", "protocol=...")`` gives its folder.

    Modules that ask for the same run have a copy each of one that was computed once.
    """

    @cache
    def compute(*arguments: str) -> Path:
        folder = tmp_path_factory.mktemp("computed") / "run"
        with pytest.MonkeyPatch.context() as monkeypatch:
            prepare_environment(monkeypatch, shared_cache, folder.parent)
            given = ("run", tiny, "--data", phantom, "--out", folder, "--jobs", 2, *arguments)
            assert _exit_code([str(argument) for argument in given]) == 0
        return folder

    def make(*arguments: object) -> Path:
        run = compute(*map(str, arguments))  # with what lies beside it, such as the plan that shards hold to
        return Path(shutil.copytree(run.parent, tmp_path_factory.mktemp("finished"), dirs_exist_ok=True), run.name)

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of two small models that trains in a second."""
    file = tmp_path_factory.mktemp("config") / "tiny.yaml"
    file.write_text(TINY_CONFIG)
    return file


@pytest.fixture(scope="session")
def official_images() -> pd.DataFrame:
    """The official list as the used rows of a manifest, the DC copy of slide 13412 dropped."""
    images = official_table().reset_index()
    return images[~((images["subtype"] == "DC") & (images["subgroup"] == "14-13412"))].reset_index(drop=True)
