"""The commands and examples of the README and of docs/ run as they stand there."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from pages import CLUSTERS, COHORT, PACKAGE, PAGES, ROOT, TUTORIAL, blocks, commands, files
from safetensors.torch import save_file

import harness as public
from harness.config.config_files import load_config
from harness.scaffold.plugin import parse_name, write_plugin_file
from harness.synthetic.sources import write_synthetic_lung

STAND_INS = {
    "patient": {
        "protocol": "holdout",
        "schedule": {"epochs": 1, "batch_size": 8},
        "sources": {"lung": {"kind": "lc25000"}},
    },
    "demo": {"protocol": "holdout"},
    "paper": {"protocol": "paper-random", "models": {"majority": {}}},
    "leak": {"protocols": ["paper-random", "holdout"], "allow_leak": True, "models": {"majority": {}}},
    "ablation": {"variants": {"balanced": {}, "none": {"pixels.stain": "none"}}, "models": {"majority": {}}},
    "stain": {"variants": {"balanced": {}, "none": {"pixels.stain": "none"}}, "models": {"majority": {}}},
}
SMALL = {
    "device": "cpu",
    "strata": ["200x"],
    "pixels": {"size": 32},
    "schedule": {"epochs": 1, "batch_size": 8},
    "sources": {"lung": {"kind": "lc25000", "phantom": True}},
    "models": {
        "majority": {},
        "white-point": {},
        "lbp-svm": {"options": {"penalties": [1.0], "gammas": [1.0]}},
        "densenet": {"options": {"growth_rate": 4, "block_config": [1, 1]}},
    },
}
ELSEWHERE = ("harness data fetch", "harness bench", "harness plugins check")
"""What needs the network or minutes, and has tests of its own; here only that there is such a command."""


def cases():
    """Every command of the pages but of pages with own tests; runs of any page but the README take long."""
    found = {
        line: page
        for page in reversed(PAGES)
        if page not in {CLUSTERS, COHORT, TUTORIAL, PACKAGE}
        for line in commands(page)
    }
    quick = {line for line, page in found.items() if page.name == "README.md" or not line.startswith("harness run")}
    return [pytest.param(line, marks=[] if line in quick else pytest.mark.long) for line in found]


@pytest.fixture(scope="module")
def whole(finished):
    return finished()


@pytest.fixture(scope="module")
def lung(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources") / "lung"
    write_synthetic_lung(folder, tiles=10, copies=2, size=32)
    return folder


@pytest.fixture
def stand_in(whole, phantom, lung, tmp_path, monkeypatch):
    """Replace what a reader puts in: configs by small ones, DIR by generated images, runs by one that is finished."""
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        for name, source in files(page).items() if page != TUTORIAL else ():
            (tmp_path / name).write_text(source)
    for name, keys in STAND_INS.items():
        data = {"data": {"folder": str(phantom)}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**SMALL, **data, **keys}))

    predicted = pd.concat(map(pd.read_parquet, whole.glob("cells/majority-*/predictions.parquet")))
    tested = predicted[predicted["side"] == "test"]
    tested[["image", "fold", "seed", "p_benign", "p_malignant"]].to_csv(tmp_path / "mine.csv", index=False)
    new = shutil.copytree(whole, tmp_path / "new")
    runs = {**dict.fromkeys(("runs/patient", "runs/demo", "runs/paper", "BASE"), str(whole)), "NEW": str(new)}
    configs = {name: f"{name}.yaml" for name in STAND_INS}
    known = {"DIR": str(phantom), "LUNG": str(lung), **runs, **configs}

    def replaced(word):
        key, equals, value = word.rpartition("=")
        if value.startswith("hub:"):
            return f"{key}={random_weights(value.removeprefix('hub:'), tmp_path / 'weights.safetensors')}"
        return f"{key}{equals}{known.get(value, value)}"

    return replaced


def random_weights(name, file):
    """Write a network of timm's as it is without training, in place of what would be downloaded."""
    save_file(timm.create_model(name.partition(".")[0]).state_dict(), file)
    return file


@pytest.mark.usefixtures("without_shortcuts")
@pytest.mark.parametrize("command", cases())
def test_a_command_runs(harness, stand_in, command):
    program, *arguments = shlex.split(command)
    if "my_network.py" in arguments:
        write_plugin_file(parse_name("my-network"), Path())
    if program == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text()
    elif program == "harness":
        words = [stand_in(word) for word in arguments]
        asks_only = ["--help"] if command.startswith(ELSEWHERE) else []
        code, _, err = harness(*words, *asks_only)
        assert code == 0 or (arguments == ["doctor"] and code == 3), err
    else:
        assert command == "pip install ."


def test_pages_name_files_and_commands_that_are_there():
    targets = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert [f"{page.name}: {target}" for page, target in targets if not (page.parent / target).exists()] == []
    for page in PAGES:
        for name in re.findall(r"`harness ([a-z]+)", page.read_text()):
            assert (ROOT / "harness" / "cli" / f"{name}.py").exists(), (page.name, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_overrides_are_keys_of_a_config(page):
    overrides = re.findall(
        r"-o\s([a-z_]+(?:\.[a-z_]+)*=[^\s`)]+)", re.sub("harness plugins check.*", "", page.read_text())
    )
    for override in overrides:
        if override != "key=value" and not override.startswith(("models.", "sources.")):
            load_config("patient", (override,))


def test_classes_of_the_plugin_page_build():
    found = {}
    exec("\n".join(blocks(ROOT / "docs" / "plugins.md", "python")), found)
    finer = found["FinerMobileNet"]()
    assert finer.options.dropout == 0.2
    network = finer.build(2)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    assert finer.explained_layer(network) in list(network.modules())


@pytest.mark.parametrize("page", ["observers.md", "models/package.md"])
def test_examples_that_are_no_model_are_executed(page):
    exec("\n".join(blocks(ROOT / "docs" / page, "python")), {})


def test_training_of_its_own_takes_a_few_lines_and_gets_all_of_the_tables(harness, tiny, phantom, tmp_path):
    (source,) = files(ROOT / "docs" / "models" / "loss.md").values()
    assert len([line for line in source.splitlines() if line.strip()]) <= 36
    (tmp_path / "focal.py").write_text(source)
    run = tmp_path / "run"
    given = ("run", tiny, "--data", phantom, "--out", run, "--plugin", tmp_path / "focal.py", "--models", "focal-mixup")
    code, _, err = harness(*given)
    assert code == 0, err
    (cell,) = public.read_run(run).cells.values()
    assert cell.options["optimiser"] == "adamw"
    assert cell.execution_mode == "eager, batches changed by the model"
    assert cell.checkpoint_bytes > 2.9 * cell.weights_bytes  # AdamW keeps two means of every weight
    assert cell.timings.images_per_second_alone > 0


def test_the_property_of_the_shortcut_page():
    (source,) = blocks(ROOT / "docs" / "concepts" / "shortcuts.md", "python")
    images = np.full((2, 3, 8, 8), 200, np.uint8)
    exec(source, {"images": images})
    assert public.white_point(images).shape == (2, 3)
