"""A run that is killed, at any moment, goes on and comes to the same."""

import contextlib
import os
import random
import signal
import subprocess
import time

import pandas as pd
import psutil
import pytest
from runs import failures, interrupt, read_until, results

from harness.store.run_store import RunStore
from harness.training.checkpoint import Checkpoints

HOST, WORKER = "host", "worker"


def kill_at(stage, out, moment, victim):
    """Start the run and kill somebody at a moment; whether there was somebody to kill.

    A moment is the seconds from when the run has said a word.
    """
    process = stage.start(out, "--jobs", 2)
    word, seconds = moment
    if word:
        read_until(process, word)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        pids = [process.pid] if victim == HOST else [worker.pid for worker in _workers(process)]
        for pid in pids[:1]:
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=240)
        return bool(pids)
    return False


def _workers(process):
    """The processes that have loaded a plugin: below a supervisor, which is below the server of the host."""
    found = []
    for server in psutil.Process(process.pid).children():
        found += [worker for supervisor in server.children() for worker in supervisor.children()]
    return found


def draw_moment(draw, undisturbed, victim):
    """Every fourth kill of the host falls anywhere, the others after the start; a worker's while there are cells."""
    if victim == WORKER:
        return "timing models alone", draw.uniform(0, 0.4)
    if draw.random() < 0.25:
        return "", draw.uniform(0, undisturbed.seconds)
    return "cells to compute", draw.uniform(0, undisturbed.working_seconds)


@pytest.mark.usefixtures("only_with_everything")
def test_killed_at_random_moments(stage, undisturbed, tmp_path, record_property):
    draw, wanted = random.Random(13412), 20
    kills, run, rounds, complete = dict.fromkeys((HOST, WORKER), 0), tmp_path / "0", 0, 0
    while sum(kills.values()) < wanted:
        victim = WORKER if rounds % 3 == 2 else HOST
        kills[victim] += kill_at(stage, run, draw_moment(draw, undisturbed, victim), victim)
        assert not stage.survivors()
        assert RunStore(run).find_damage(thorough=True) == {}
        rounds += 1
        if (run / "tables/table5.csv").exists() and not failures(run):  # it got to its end: begin another
            assert results(run) == undisturbed.results
            run, complete = tmp_path / str(rounds), complete + 1
    if run.exists():
        code, told = stage.run(run, "--jobs", 2)
        assert code == 0, told
        assert results(run) == undisturbed.results
        complete += 1
    record_property("kills of the host", kills[HOST])
    record_property("kills of a worker", kills[WORKER])
    record_property("runs brought to their end", complete)
    record_property("processes left after a kill", 0)
    record_property("damaged cells after a kill", 0)
    record_property("predictions, tables 1, 3 and 4, table 5's epochs and images", "the same bytes as undisturbed")


@pytest.mark.long
def test_a_long_cell_goes_on_from_its_checkpoint(stage, tmp_path, everything, record_property):
    epochs = 30 if everything else 12
    often = ("-o", f"schedule.epochs={epochs}", "-o", "checkpoint_minutes=0.000001")
    long, run = ("--models", "densenet", "-o", "strata=[200x]", *often), tmp_path / "killed"
    assert stage.run(tmp_path / "whole", *long)[0] == 0
    process = stage.start(run, *long)
    while not (found := list(run.glob("checkpoints/*/*/final.safetensors"))):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=0.05)
            raise AssertionError("the run has ended without a checkpoint")
    process.kill()
    process.communicate()
    assert not stage.survivors()
    before = Checkpoints(found[0].parent, "final", 0).latest().progress.history
    assert stage.run(run, *long)[0] == 0
    assert results(run) == results(tmp_path / "whole")
    (history,) = run.glob("cells/*/history.parquet")
    after = pd.read_parquet(history)["train_seconds"].tolist()
    assert after[: len(before)] == [epoch.train_seconds for epoch in before]  # they were not trained again
    assert 0 < len(before) < len(after) == epochs
    assert not (run / "checkpoints").exists()
    record_property("killed within a cell", f"after epoch {len(before)} of {epochs}, continued to the same bytes")


@pytest.mark.usefixtures("only_with_everything")
def test_ctrl_c(stage, undisturbed, tmp_path, record_property):
    process = stage.start(tmp_path / "run", "--jobs", 2)
    read_until(process, "timing models alone")
    began = time.perf_counter()
    code, told = interrupt(process)
    seconds = time.perf_counter() - began
    assert code == 130
    assert seconds < 10
    assert told.splitlines()[-1] == (
        "harness: interrupted - what is finished is kept; the same command goes on from here"
    )
    assert "Traceback" not in told
    assert not stage.survivors()
    assert stage.run(tmp_path / "run", "--jobs", 2)[0] == 0
    assert results(tmp_path / "run") == undisturbed.results
    record_property("Ctrl-C", f"exit code 130 after {seconds:.1f} s, one line, continued to the same bytes")


@pytest.mark.usefixtures("only_with_everything")
def test_two_runs_at_once(stage, undisturbed, tmp_path, record_property):
    first = stage.start(tmp_path / "run")
    read_until(first, "cells to compute")
    os.kill(first.pid, signal.SIGSTOP)
    try:
        code, told = stage.run(tmp_path / "run")
        waiting = stage.start(tmp_path / "run", "--wait")
        said = read_until(waiting, "waiting for it")
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert code == 2
    assert f"pid {first.pid} on {os.uname().nodename}" in told
    assert f"pid {first.pid}" in said
    first.communicate(timeout=240)
    _, rest = waiting.communicate(timeout=240)
    assert (first.returncode, waiting.returncode) == (0, 0)
    assert "0 cells computed, 4 kept" in rest
    assert results(tmp_path / "run") == undisturbed.results
    record_property("second run in a folder", "refused with pid and host, or waited and kept all 4 cells")


@pytest.mark.usefixtures("only_with_everything")
def test_a_lock_of_a_dead_process_holds_nobody(stage, undisturbed, tmp_path):
    process = stage.start(tmp_path / "run")
    read_until(process, "cells to compute")
    process.kill()
    process.communicate()
    assert (tmp_path / "run/.lock.json").exists()
    assert stage.run(tmp_path / "run")[0] == 0
    assert results(tmp_path / "run") == undisturbed.results
