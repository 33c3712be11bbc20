"""Feature sets take no more room than they may; what was not used for longest goes first."""

import os

import pytest

from harness.cache import SEAL
from harness.errors import DataError
from harness.execution.feature_room import FeatureRoom


@pytest.fixture
def room(tmp_path):
    """Room for 1,000 bytes, with three sets of about 300, used one after the other."""
    for age, name in enumerate("abc"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "features.npy").write_bytes(b"x" * 300)
        (folder / SEAL).write_text("")
        os.utime(folder, (1e9 + age, 1e9 + age))
    return FeatureRoom(tmp_path, 1000)


def sets(room):
    return sorted(path.name for path in room.folder.iterdir())


def test_nothing_goes_where_there_is_room(room):
    room.make(100, keep=())
    assert sets(room) == ["a", "b", "c"]


def test_the_set_that_was_not_used_for_longest_goes_first(room):
    room.mark_used(room.folder / "a")
    room.make(400, keep=())
    assert sets(room) == ["a", "c"]


def test_sets_of_this_run_stay(room):
    room.make(700, keep=[room.folder / "a"])
    assert sets(room) == ["a"]
    with pytest.raises(DataError, match="features_gb"):
        room.make(701, keep=[room.folder / "a"])


def test_what_can_never_fit_costs_no_set(room):
    with pytest.raises(DataError, match="features_gb"):
        room.make(1001, keep=())
    assert sets(room) == ["a", "b", "c"]


def test_what_another_run_is_making_stays(room):
    building = room.folder / "d.tmp"
    building.mkdir()
    (building / "features.npy").write_bytes(b"x" * 50)
    room.make(900, keep=())
    assert sets(room) == ["d.tmp"]
