"""Cells dealt to shards, and what all shards hold to."""

import json
import shutil
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.planning.shards import deal_cells
from harness.store.cells import Cell
from harness.store.shards import Shard

SEEDS = ("-o", "seeds=[0,1]", "-o", "schedule.epochs=1")

costs_of_models = st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=25), min_size=1, max_size=5)


def cells_of(models):
    return {
        Cell(f"model{place}", "200x", fold, 0): cost
        for place, costs in enumerate(models)
        for fold, cost in enumerate(costs)
    }


@given(costs_of_models, st.integers(1, 12))
def test_every_cell_is_dealt_once_and_every_shard_gets_as_many_give_or_take_one(models, shards):
    costs = cells_of(models)
    dealt = deal_cells(costs, shards)
    assert sorted(cell.name for cells in dealt for cell in cells) == sorted(cell.name for cell in costs)
    for label in [None, *{cell.label for cell in costs}]:
        numbers = [sum(label in {None, cell.label} for cell in cells) for cells in dealt]
        assert max(numbers) - min(numbers) <= 1


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(1, 8))
def test_no_shard_waits_for_another_longer_than_a_cell_takes(costs, shards):
    cells = cells_of([costs])
    loads = [sum(cells[cell] for cell in dealt) for dealt in deal_cells(cells, shards)]
    assert max(loads) - min(loads) <= max(costs)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "1/3/5", "a/b", "1/9999999"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="is no shard"):
        Shard.parse(text)


@pytest.fixture(scope="module")
def first(finished):
    """The first of two shards, and its plan beside it."""
    return finished(*SEEDS, "--shard", "1/2")


@pytest.fixture
def begun(first, tmp_path):
    """A place of one's own in which the first of two shards is done."""
    return shutil.copytree(first.parent, tmp_path / "place")


@pytest.fixture
def shard(harness, tiny, phantom, begun):
    def call(*arguments, out="run-2", config=tiny):
        given = (*SEEDS, "--data", phantom, "--out", begun / out, "--shard", "2/2", *arguments)
        return harness("run", config, *given)

    return call


def plan_of(begun):
    (file,) = begun.glob("tiny-of-2-*.json")
    return file


def change(file, *path, to):
    values = json.loads(file.read_text())
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    file.write_text(json.dumps(values))


def test_a_shard_goes_on_and_prints_no_table(harness, tiny, phantom, begun):
    before = {path: path.read_bytes() for path in begun.rglob("cell.json")}
    assert len(before) == 2
    given = (*SEEDS, "--data", phantom, "--out", begun / "run", "--shard", "1/2", "--jobs", "2")
    code, out, err = harness("run", tiny, *given)
    assert (code, out) == (0, "")
    assert "0 cells computed, 2 kept" in err
    assert {path: path.read_bytes() for path in begun.rglob("cell.json")} == before


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("versions", "torch"), "2.9.0", "version of torch is"),
        (("comparison", "precision"), "bf16", 'precision is "float32" here, and "bf16"'),
        (("comparison", "images"), "0" * 64, "images is"),
        (("execution_mode",), "captured", "execution mode is"),
        (("models", "densenet", "plugin"), "0" * 64, "plugin of densenet is"),
    ],
)
def test_a_node_that_cannot_hold_to_the_plan_stops_before_its_first_cell(shard, begun, path, value, words):
    change(plan_of(begun), *path, to=value)
    code, _, err = shard()
    assert (code, words in err) == (3, True), err
    assert plan_of(begun).name in err
    assert not list((begun / "run-2").glob("cells/*"))


@pytest.mark.long
def test_other_libraries_are_named_and_another_harness_is_refused(shard, begun):
    named = ("-o", "other_versions=name")
    change(plan_of(begun), "versions", "torch", to="2.9.0")
    code, _, err = shard(*named)
    assert code == 0, err
    assert f"other versions than {plan_of(begun).name} names (in brackets): torch {version('torch')} (2.9.0)" in err
    change(plan_of(begun), "versions", "breakhis-harness", to="0.0.1")
    code, _, err = shard(*named)
    assert (code, "version of breakhis-harness is" in err) == (3, True), err


def test_auto_is_what_the_first_shard_made_of_it(shard, begun):
    change(plan_of(begun), "comparison", "device_type", to="cuda")
    code, _, err = shard("--device", "auto")
    assert (code, "says cuda, and no such device is here" in err) == (3, True), err
    assert not list((begun / "run-2").glob("cells/*"))


def test_a_folder_holds_one_shard(shard):
    code, _, err = shard(out="run")
    assert (code, "holds shard 1/2" in err) == (2, True)


def test_what_cannot_be_sharded_is_refused(shard):
    code, _, err = shard("--jobs", "auto")
    assert (code, "give a number to a shard" in err) == (2, True)
    code, _, err = shard("-o", "allow_leak=true", config="leak")
    assert (code, "a study of several runs" in err) == (2, True)


@pytest.mark.long
def test_an_estimate_is_of_the_shard_and_settles_nothing(shard, begun):
    plan_of(begun).unlink()
    code, out, err = shard("--dry-run")
    assert code == 0, err
    assert "2 cells to compute" in out
    assert not list(begun.glob("tiny-of-2-*.json"))
