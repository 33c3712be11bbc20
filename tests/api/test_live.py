"""The page of a run that goes on: read only, and for this machine alone."""

import http.client
import shutil
import socket
import threading

import pytest

from harness.api.live import LOOPBACK, read_live, serve
from harness.errors import DataError, EnvironmentMissingError
from harness.store.active import ActiveRecord, EpochRecord
from harness.store.run_store import RunStore

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(finished):
    return finished("-o", "schedule.epochs=1")


@pytest.fixture
def going_on(run, tmp_path):
    """The run as if one of its cells were at work."""
    folder = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(folder / "cells" / "densenet-200x-fold0-seed0")
    (folder / "active").mkdir(exist_ok=True)
    epochs = [epoch_of(1, 0.5), epoch_of(2, None), epoch_of(3, 0.75)]
    note = ActiveRecord(pid=1, host=socket.gethostname(), epoch=3, harness_pid=1, history=epochs)
    RunStore(folder).set_active("densenet-200x-fold0-seed0", note)
    return folder


def epoch_of(number, accuracy):
    return EpochRecord(
        stage="final",
        epoch=number,
        train_loss=0.5,
        validation_loss=None,
        validation_balanced_accuracy=accuracy,
        images_seen=100 * number,
        train_seconds=2.0 * number,
    )


@pytest.fixture
def ask(going_on):
    """Ask a server of the run: ``ask("GET", "/", Host=...)`` gives status, headers and text."""
    with serve(going_on) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def request(method, path, **headers):
            connection = http.client.HTTPConnection(LOOPBACK, server.server_port, timeout=10)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return answer.status, answer.headers, text

        yield request
        server.shutdown()
        thread.join()


def test_how_far_a_run_is(going_on):
    live = read_live(going_on)
    assert (live.finished, live.total, dict(live.counts)) == (1, 2, {"done": 1, "running": 1})
    assert "left" in live.time_left
    (cell,) = live.active
    assert (cell.words, cell.validation) == ("final, epoch 3 of 1, 50 images/s", "75.0")
    assert [len(point.split(",")) for point in cell.curve.split()] == [2, 2]  # the second epoch has no number
    assert live.models == [("majority", 1, "50.0")]


def test_the_page_shows_it(ask):
    status, headers, text = ask("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "1 of 2 cells done" in text
    assert "densenet-200x-fold0-seed0" in text
    assert "<polyline points=" in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1", "127.0.0.1.evil.example", ""])
def test_others_names_are_refused(ask, host):
    assert ask("GET", "/", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_this_machines_names_are_answered(ask, host):
    assert ask("GET", "/", Host=host)[0] == 200


@pytest.mark.parametrize("path", ["/run.json", "/../run.json", "/cells", "/report.html", "/?x"])
def test_nothing_else_is_handed_out(ask, path):
    assert ask("GET", path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_is_read_only(ask, method):
    assert ask(method, "/")[0] == 501


def test_a_report_that_was_written_is_handed_out(ask, going_on):
    (going_on / "report.html").write_text("the report")
    assert ask("GET", "/report.html")[2] == "the report"
    assert ask("HEAD", "/report.html")[1]["Content-Length"] == "10"


def test_a_run_that_becomes_unreadable_is_said(going_on, ask, monkeypatch):
    monkeypatch.setattr("harness.api.live._FRESH_SECONDS", -1.0)
    (going_on / "run.json").write_text("{")
    status, _, text = ask("GET", "/")
    assert status == 500
    assert "run.json" in text


def test_what_cannot_be_served(going_on, tmp_path):
    with pytest.raises(DataError, match="no run in"):
        serve(tmp_path / "nothing")
    with serve(going_on) as server, pytest.raises(EnvironmentMissingError, match="choose another --port"):
        serve(going_on, port=server.server_port)


def test_a_link_in_the_place_of_the_report_leads_nowhere(ask, going_on, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (going_on / "report.html").symlink_to(tmp_path / "secret")
    assert ask("GET", "/report.html")[0] == 404


def test_the_time_left_is_told_by_epochs_where_no_cell_of_a_model_is_finished(going_on):
    live = read_live(going_on)
    assert live.state == "a run that goes on"
    assert live.seconds_left == pytest.approx(2.0)  # two seconds an epoch, one epoch in all


def test_a_run_that_has_stopped_says_so(going_on):
    shutil.rmtree(going_on / "active")
    live = read_live(going_on)
    assert (live.time_left, live.state.partition(":")[0]) == ("no cell is at work", "a run that has stopped")
