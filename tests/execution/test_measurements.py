"""What measurements of a model depend on, and what they do not."""

from dataclasses import replace

import pytest
from small_runs import prepare_environment

from harness.api.runs import RunRequest
from harness.execution.measurements import model_key
from harness.planning.observer import Observer
from harness.store.run_store import RunStore


@pytest.fixture
def prepared(tiny, phantom, shared_cache, tmp_path, monkeypatch):
    """Prepare the small run: ``prepared("protocol=slide-5fold")``."""
    prepare_environment(monkeypatch, shared_cache, tmp_path)

    def prepare(*overrides):
        options = {"data": phantom, "out": tmp_path / "run", "overrides": overrides}
        request = RunRequest.of(tiny, Observer(), options)
        ((folder, config),) = request.runs.items()
        return request._prepared(RunStore(folder), config), request.cache

    return prepare


def test_neither_sides_nor_colours_nor_seeds_are_part_of_it(prepared):
    one = model_key(*swapped(prepared()))
    other = prepared("protocol=slide-5fold", "seeds=[3]", "pixels.stain=none", "strata=[40x]")
    assert model_key(*swapped(other)) == one


@pytest.mark.parametrize(
    "override",
    [
        "pixels.size=24",
        "threads=2",
        "schedule.batch_size=4",
        "schedule.precision=bf16",
        "schedule.execution_mode=compiled",
        "models.densenet.options.growth_rate=5",
        "models.densenet.plugin=densenet-se",
    ],
)
def test_whatever_the_worker_is_told_is_part_of_it(prepared, override):
    assert model_key(*swapped(prepared(override))) != model_key(*swapped(prepared()))


def test_the_contents_of_what_a_model_starts_from_and_its_code_are_part_of_it(prepared):
    run, cache = prepared()
    key = model_key(run, "densenet", cache)
    weights = run.starts["densenet"].model_copy(update={"files": {"weights.safetensors": "other contents"}})
    assert model_key(replace(run, starts={**run.starts, "densenet": weights}), "densenet", cache) != key
    changed = [replace(entry, registered=replace(entry.registered, source="other code")) for entry in run.entries]
    assert model_key(replace(run, entries=changed), "densenet", cache) != key
    assert model_key(run, "densenet", cache, "pixels of a fold") != key


def swapped(found):
    run, cache = found
    return run, "densenet", cache
