"""The benchmark of the host: what is done within other work counts once, and its command is there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from host_timers import timers_at


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("time.perf_counter", lambda: now.seconds)
    monkeypatch.setattr("time.thread_time", lambda: now.seconds / 2)
    return now


def test_a_moment_counts_for_the_innermost_work(clock):
    def wait(seconds):
        clock.seconds += seconds

    def flush():
        wait(3)

    def write():
        wait(1)
        host.flush()
        wait(1)

    def whole():
        wait(5)
        host.write()
        host.write()

    host = SimpleNamespace(flush=flush, write=write, whole=whole)
    with timers_at({"disk": [(host, "flush")], "files": [(host, "write")]}, (host, "whole"), "rest") as timers:
        host.write()  # outside of the whole, and counts for nothing
        host.whole()
    found = {kind: (spent.wall, spent.processor, spent.calls) for kind, spent in timers.spent.items()}
    assert found == {"rest": (5, 2.5, 1), "files": (4, 2, 2), "disk": (6, 3, 2)}
    assert host.write is write


def test_the_command_says_what_it_takes():
    import host

    said = CliRunner().invoke(host.main, ["--help"])
    assert said.exit_code == 0
    assert "--slots" in said.output
