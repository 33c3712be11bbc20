"""The commands and examples of the README and of docs/ run as they stand there."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import harness as public
from harness.config.run_config import load_config
from harness.scaffold.plugin import parse_name, write_plugin_file

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
STAND_INS = {
    "patient": {"protocol": "holdout", "schedule": {"epochs": 1, "batch_size": 8}},
    "demo": {"protocol": "holdout"},
    "leak": {"protocols": ["paper-random", "holdout"], "allow_leak": True, "models": {"majority": {}}},
    "ablation": {"variants": {"balanced": {}, "none": {"pixels.stain": "none"}}, "models": {"majority": {}}},
    "stain": {"variants": {"balanced": {}, "none": {"pixels.stain": "none"}}, "models": {"majority": {}}},
}
SMALL = {
    "device": "cpu",
    "strata": ["200x"],
    "pixels": {"size": 32},
    "schedule": {"epochs": 1, "batch_size": 8},
    "models": {
        "majority": {},
        "white-point": {},
        "lbp-svm": {"options": {"penalties": [1.0], "gammas": [1.0]}},
        "densenet": {"options": {"growth_rate": 4, "block_config": [1, 1]}},
    },
}
ELSEWHERE = ("harness data fetch", "harness bench", "harness plugins check")
"""What needs the network or minutes, and has tests of its own; here only that there is such a command."""


def blocks(page, language):
    """The fenced blocks of a page in one language."""
    fenced = page.read_text().split("\n```")[1::2]  # between an opening fence and its closing one
    return [block.removeprefix(f"{language}\n") for block in fenced if block.startswith(f"{language}\n")]


def commands():
    lines = (line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines())
    return [line for line in dict.fromkeys(line.partition("#")[0].strip() for line in lines) if line]


@pytest.fixture(scope="module")
def whole(finished):
    return finished()


@pytest.fixture
def stand_in(whole, phantom, tmp_path, monkeypatch):
    """Replace what a reader puts in: configs by small ones, DIR by generated images, runs by one that is finished."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mobilenet.py").write_text(next(block for block in blocks(ROOT / "README.md", "python")))
    for name, keys in STAND_INS.items():
        data = {"data": {"folder": str(phantom)}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**SMALL, **data, **keys}))

    predicted = pd.concat(map(pd.read_parquet, whole.glob("cells/majority-*/predictions.parquet")))
    tested = predicted[predicted["side"] == "test"]
    tested[["image", "fold", "seed", "p_benign", "p_malignant"]].to_csv(tmp_path / "mine.csv", index=False)
    new = shutil.copytree(whole, tmp_path / "new")

    def replaced(word):
        runs = {**dict.fromkeys(("runs/patient", "runs/demo", "BASE"), str(whole)), "NEW": str(new)}
        configs = {name: f"{name}.yaml" for name in STAND_INS}
        return {"DIR": str(phantom), **runs, **configs}.get(word, word)

    return replaced


@pytest.mark.usefixtures("without_shortcuts")
@pytest.mark.parametrize("command", commands())
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
    overrides = re.findall(r"-o\s([a-z_]+(?:\.[a-z_]+)*=[^\s`)]+)", page.read_text())
    for override in overrides:
        if override != "key=value" and not override.startswith(("models.", "sources.")):
            load_config("patient", (override,))


def test_classes_of_the_plugin_page_build():
    source = "\n".join(block for block in blocks(ROOT / "docs" / "plugins.md", "python"))
    found = {}
    exec(source, found)
    plain, probed = found["MobileNet"](), found["ProbedMobileNet"]()
    assert plain.options.dropout == 0.2
    network = probed.build(2)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    for name in (*probed.frozen(network), *probed.rates(network)):
        network.get_submodule(name)


def test_training_of_its_own_takes_a_few_lines_and_gets_all_of_the_tables(harness, tiny, phantom, tmp_path):
    block = next(block for block in blocks(ROOT / "docs" / "plugins.md", "python") if "FocalMixup" in block)
    assert len([line for line in block.splitlines() if line.strip()]) <= 35
    (tmp_path / "focal.py").write_text(block)
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
    (source,) = blocks(ROOT / "docs" / "shortcuts.md", "python")
    images = np.full((2, 3, 8, 8), 200, np.uint8)
    exec(source, {"images": images})
    assert public.white_point(images).shape == (2, 3)
