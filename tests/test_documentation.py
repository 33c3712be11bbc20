"""The documentation as a site, its tutorial and its files of models."""

import re
import subprocess
from pathlib import Path

import pytest
import timm
import torch
import yaml
from pages import CLUSTERS, MODELS, PACKAGE, PAGES, ROOT, TUTORIAL, commands, files
from safetensors.torch import save_file
from sbatch import environment_with_sbatch
from small_runs import TINY_CONFIG, run_module

import harness as public
from harness.testing import CHECKS, run_checks
from harness.testing.cases import registered_models
from harness.testing.subject import SCHEDULE, Subject

WRITTEN = [page for page in (TUTORIAL, *MODELS) if files(page)]
SLOW = ("pretraining", "loss", "vision-transformer", "frozen-backbone")
ONE_EPOCH = SCHEDULE.model_copy(update={"epochs": 1})
OPTIONS = {"lung-first": {"lung": {"epochs": 1, "batch_size": 8, "augmentation": "random"}}}


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path):
    for needed in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(needed, reason="the documentation is built with breakhis-harness[docs]")
    # what the pages say and refer to, without the HTML of it
    run_module("sphinx", "-q", "-W", "--keep-going", "-b", "dummy", "-c", "docs", ".", tmp_path, cwd=ROOT)


@pytest.mark.parametrize("page", [page for page in PAGES if "concepts" in page.parts], ids=lambda page: page.name)
def test_figures_stand_in_the_results_that_their_paragraph_names(page):
    for paragraph in page.read_text().split("\n\n"):
        sources = [page.parent / name for name in re.findall(r"\]\(([^)]*results/[^)]+\.md)\)", paragraph)]
        held = "".join(source.read_text() for source in sources)
        absent = [figure for figure in re.findall(r"\d+\.\d+", re.sub(r"\(\S+\)", "", paragraph)) if figure not in held]
        assert not sources or not absent, (paragraph, absent)


@pytest.fixture
def subject(request, tmp_path):
    """The model of a page."""
    ((name, source),) = files(request.param).items()
    (tmp_path / name).write_text(source)
    (registered,) = registered_models(tmp_path / name)
    save_file(timm.create_model("mobilenetv3_small_100").state_dict(), tmp_path / "weights.safetensors")
    weights = {"mobilenet-v3-probed": {"weights": str(tmp_path / "weights.safetensors")}}
    return Subject(registered, {**OPTIONS, **weights}.get(registered.model.name, {}))


@pytest.mark.parametrize(
    "subject",
    [pytest.param(page, marks=pytest.mark.long if page.stem in SLOW else []) for page in WRITTEN],
    ids=lambda page: page.stem,
    indirect=True,
)
def test_the_model_of_a_page_is_fitted_kept_and_read_again(subject, tmp_path):
    model = subject.fit(schedule=ONE_EPOCH).model
    model.save(tmp_path)
    again = subject.make()
    again.load(tmp_path, torch.device("cpu"), 2)
    predicted = model.predict_proba(subject.test.images)
    assert predicted.shape == (len(subject.test), 2)
    assert abs(predicted - again.predict_proba(subject.test.images)).max() < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("subject", WRITTEN, ids=lambda page: page.stem, indirect=True)
def test_the_model_of_a_page_passes_every_check(subject):
    assert [(result.check, result.words) for result in run_checks(subject, CHECKS, {}) if result.is_trouble] == []


@pytest.mark.long
def test_the_tutorial_goes_from_an_empty_folder_to_a_row_of_ones_own(harness, tmp_path, monkeypatch):
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, source in files(TUTORIAL).items():
        Path(name).write_text(source)
    install, *lines = commands(TUTORIAL)
    assert install == "pip install ."
    for line in lines:
        program, *words = line.split()
        assert program == "harness"
        code, out, err = harness(*words)
        assert code == 0, (line, out, err)
    assert (folder / "runs" / "tutorial" / "report.html").exists()
    assert {"densenet", "my-network", "my-network-wide"} <= set(public.read_run("runs/tutorial").labels)
    assert "| my-network " in (folder / "runs" / "tutorial" / "tables" / "table3.md").read_text()


@pytest.mark.long
def test_the_page_of_a_package_goes_from_nothing_to_a_row(phantom, shared_cache, tmp_path):
    (tmp_path / "small.yaml").write_text(
        yaml.safe_dump({**yaml.safe_load(TINY_CONFIG), "data": {"folder": str(phantom)}})
    )
    site = {"PYTHONPATH": str(tmp_path / "site"), "HARNESS_CACHE": str(shared_cache)}
    for line in commands(PACKAGE):
        if line == "pip install -e my-network":
            offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
            run_module("pip", "install", *offline, "--target", "site", "./my-network", cwd=tmp_path)
        else:
            words = [{"demo": "small.yaml"}.get(word, word) for word in line.split()]
            run_module(*words, cwd=tmp_path, **site)
    assert "my-network" in public.read_run(tmp_path / "runs" / "small").labels


@pytest.mark.long
def test_the_page_of_clusters_goes_from_shards_to_a_merged_run(phantom, shared_cache, tmp_path):
    small = {**yaml.safe_load(TINY_CONFIG), "data": {"folder": str(phantom)}, "seeds": [0, 1]}
    (tmp_path / "patient").write_text(yaml.safe_dump(small))  # a file goes before a shipped config of the same name
    environment = {**environment_with_sbatch(tmp_path), "HARNESS_CACHE": str(shared_cache)}
    for line in commands(CLUSTERS):
        words = ["bash", "-c", line.replace("--data DIR ", "")]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)
    assert public.status(tmp_path / "runs" / "patient").counts == {"done": 4}
    assert "0 cells copied, 4 kept" in done.stderr
