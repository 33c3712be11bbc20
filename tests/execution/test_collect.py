"""What a collector does with the end of a cell, whatever executor reports it."""

import dataclasses
from types import SimpleNamespace

import pytest

from harness.errors import EnvironmentMissingError
from harness.execution.cell_results import reported_speed
from harness.execution.collect import Collector
from harness.execution.executor import Ended, EpochEnded, Started
from harness.planning.observer import Observer
from harness.plugin_api.model import EpochReport
from harness.store.cells import Cell
from harness.workers.messages import Failure

CELL = Cell("densenet", "200x", 0, 0)
EPOCH = EpochReport("final", 1, float("nan"), 0.5, 0.5, 0.7, 0.5, 0.6, 100, 2.0)


class Calls:
    """A store that writes down what is asked of it."""

    def __init__(self, *, room=True):
        self.asked, self.notes, self._room = [], [], room

    def set_active(self, _cell, note):
        self.notes.append(note)

    def require_room(self):
        self.asked.append("require_room")
        if not self._room:
            raise EnvironmentMissingError("full")

    def __getattr__(self, name):
        return lambda *_arguments: self.asked.append(name)


def ended(store, cause, *, ran_concurrently=False):
    tasks = SimpleNamespace(make=lambda *_: (None, SimpleNamespace(working="folder")))
    collector = Collector(None, store, tasks, {}, Observer())
    collector._record_failure = lambda cell, *_: collector.outcome.failures.update({cell.name: cause})
    collector.task(CELL, "cpu")
    collector.on_event(Started(CELL, 1, "here"))
    collector.on_event(EpochEnded(CELL, EPOCH))
    collector.on_event(Ended(CELL, Failure("why", cause=cause), 1.0, 2, ran_concurrently))
    return collector


def test_room_is_looked_for_before_what_fills_the_disk_is_removed():
    store = Calls(room=False)
    with pytest.raises(EnvironmentMissingError, match="full"):
        ended(store, "disk")
    assert "discard" not in store.asked


def test_a_disk_that_has_room_is_the_plugins_own_trouble():
    collector = ended(store := Calls(), "disk")
    assert collector.outcome.failures == {CELL.name: "disk"}
    assert store.asked.index("require_room") < store.asked.index("discard")


@pytest.mark.parametrize("ran_concurrently", [True, False])
def test_memory_is_tried_again_if_something_ran_beside(ran_concurrently):
    collector = ended(store := Calls(), "memory", ran_concurrently=ran_concurrently)
    assert collector.again == ([CELL] if ran_concurrently else [])
    assert collector.outcome.failures == ({} if ran_concurrently else {CELL.name: "memory"})
    assert ("drop_checkpoint" in store.asked) is not ran_concurrently
    assert "discard" in store.asked


def test_nothing_is_kept_of_a_cell_that_has_ended():
    collector = ended(Calls(), "plugin")
    assert (collector._started, collector._epochs, collector._shown, collector._held_back) == ({}, {}, {}, {})


def test_the_note_of_a_cell_at_work_holds_its_epochs():
    ended(store := Calls(), "plugin")
    first, second = store.notes
    assert (first.epoch, first.history) == (0, [])
    assert [(one.epoch, one.validation_balanced_accuracy, one.train_loss) for one in second.history] == [(1, 0.6, None)]


@pytest.mark.parametrize(("seen", "seconds", "speed"), [(100, 2.0, 50.0), (100, 0.0, None), (0, 2.0, None)])
def test_the_speed_of_a_loop_of_its_own_is_that_of_its_reports(seen, seconds, speed):
    reports = [EPOCH, dataclasses.replace(EPOCH, epoch=2, images_seen=seen, train_seconds=seconds)]
    assert reported_speed(reports) == speed
    assert reported_speed([]) is None
    assert reported_speed([dataclasses.replace(EPOCH, stage="lung")]) is None
