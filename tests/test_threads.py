"""Work in threads: in order, not far ahead, and over when whoever takes it has had enough."""

import threading

import pytest
import threadpoolctl

from harness import threads
from harness.threads import lazy, map_in_threads


def test_results_come_in_order(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    first = threading.Event()

    def work(item):
        if item == 0:
            assert first.wait(10)  # the first ends after the second
        else:
            first.set()
        return -item

    assert list(map_in_threads(work, range(50))) == [-item for item in range(50)]


def test_no_more_is_taken_than_will_be_needed_soon():
    taken = []
    made = map_in_threads(lambda item: item, (taken.append(item) or item for item in range(1000)))
    assert next(made) == 0
    assert len(taken) < 100
    made.close()


def test_an_error_is_that_of_the_first_item_at_fault():
    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(lambda item: 1 // (item - 3), range(1000)))


def test_linear_algebra_has_one_thread_meanwhile():
    def widths(_item):
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    assert set.union(*map_in_threads(widths, range(3))) == {1}


class Slow:
    def __init__(self, together):
        self.together, self.times = together, 0

    @lazy
    def value(self):
        self.times += 1
        self.together.wait(10)  # breaks where the other is kept out
        return self.times


def test_a_lazy_property_is_computed_once_and_beside_those_of_other_instances():
    together = threading.Barrier(2)
    pair = [Slow(together), Slow(together)]
    others = [threading.Thread(target=lambda one=one: one.value) for one in pair]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    assert not together.broken
    assert [one.value for one in pair] == [1, 1]
