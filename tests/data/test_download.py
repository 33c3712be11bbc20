"""The way to the archive, against a server on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shelf import LUNGS, Shelf, assert_arrived, fetch_lungs, noise, part_of, tar_gz

from harness.api.data import fetch_data_set
from harness.data import download
from harness.errors import DataError, UsageError


def test_progress_ends_at_the_size_of_the_archive(tmp_path: Path, lungs: Shelf) -> None:
    calls: list[tuple[int, int | None]] = []
    fetch_data_set("lc25000", tmp_path, lungs.url, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(lungs.content), len(lungs.content))


def test_a_server_that_does_not_say_the_size_is_believed(tmp_path: Path, lungs: Shelf) -> None:
    lungs.says_length = False
    calls: list[tuple[int, int | None]] = []
    fetch_data_set("lc25000", tmp_path, lungs.url, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(lungs.content), None)
    assert_arrived(tmp_path)


@pytest.mark.parametrize("says_length", [True, False])
def test_a_download_without_end_is_ended(
    tmp_path: Path, lungs: Shelf, monkeypatch: pytest.MonkeyPatch, *, says_length: bool
) -> None:
    lungs.says_length = says_length
    monkeypatch.setattr(download, "MAX_BYTES", len(lungs.content) - 1)
    with pytest.raises(DataError, match=r"sends more than .* bytes, more than any data set that is known here"):
        fetch_lungs(tmp_path, lungs)
    monkeypatch.setattr(download, "MAX_BYTES", len(lungs.content))
    fetch_lungs(tmp_path, lungs)
    assert_arrived(tmp_path)


def test_a_dropped_connection_is_continued(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 500]
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert_arrived(tmp_path)


def test_a_server_without_ranges_starts_over(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts, lungs.ranges = [1000], False
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, "bytes=1000-"]
    assert_arrived(tmp_path)


def test_without_an_etag_nothing_is_appended(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts, lungs.etag = [1000], ""
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, None]
    assert_arrived(tmp_path)


def test_after_three_retries_the_part_stays_and_the_next_call_goes_on(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 100, 100, 100]
    with pytest.raises(DataError, match=r"broke off 4 times.*1,300 of .* bytes arrived; 1,300 bytes are kept"):
        fetch_lungs(tmp_path, lungs)
    assert part_of(tmp_path).read_bytes() == lungs.content[:1300]
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked[-1] == "bytes=1300-"
    assert_arrived(tmp_path)


def test_an_interrupted_call_is_continued(tmp_path: Path, lungs: Shelf) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    lungs.cuts = [1000]
    with pytest.raises(KeyboardInterrupt):
        fetch_data_set("lc25000", tmp_path, lungs.url, interrupt)
    assert part_of(tmp_path).stat().st_size == 1000
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, "bytes=1000-"]
    assert_arrived(tmp_path)


@pytest.mark.parametrize("misbehaviour", [{}, {"heeds_if_range": False}])
def test_a_file_that_changed_on_the_server_is_fetched_anew(
    tmp_path: Path, lungs: Shelf, misbehaviour: dict[str, bool]
) -> None:
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    vars(lungs).update(misbehaviour, etag='"second"')
    lungs.content = tar_gz({**LUNGS, "lung_colon_image_set/noise.bin": noise(seed=1)})
    fetch_lungs(tmp_path, lungs)
    assert_arrived(tmp_path)


def test_a_part_of_another_address_is_not_continued(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    fetch_data_set("lc25000", tmp_path, lungs.url.replace("some", "other"))
    assert lungs.asked[-1] is None
    assert_arrived(tmp_path)


def test_an_archive_of_another_address_is_not_taken_for_this_one(tmp_path: Path, lungs: Shelf) -> None:
    store = tmp_path / ".download"
    store.mkdir()
    (store / "LC.tar.gz").write_bytes(b"of another fetch, whose unpacking was interrupted")
    (store / "LC.tar.gz.json").write_text(json.dumps({"url": "http://other/LC.tar.gz", "validator": '"first"'}))
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    fetch_lungs(tmp_path, lungs)
    assert_arrived(tmp_path)


def test_a_part_longer_than_the_file_is_dropped(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    with part_of(tmp_path).open("ab") as part:
        part.write(bytes(len(lungs.content)))
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked[-1] is None
    assert_arrived(tmp_path)


def test_a_wrong_address_is_not_retried(tmp_path: Path, lungs: Shelf) -> None:
    lungs.status = 404
    with pytest.raises(DataError, match="answered 404 Not Found - check the address"):
        fetch_lungs(tmp_path, lungs)
    assert len(lungs.asked) == 1


def test_a_server_in_trouble_is_asked_again(tmp_path: Path, lungs: Shelf) -> None:
    lungs.status = 503
    with pytest.raises(DataError, match=r"broke off 4 times.*503"):
        fetch_lungs(tmp_path, lungs)
    assert len(lungs.asked) == 4


def test_a_server_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RETRY_PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DataError, match=r"the connection failed.*nothing is here yet"):
        fetch_data_set("breakhis", tmp_path, "http://127.0.0.1:1/a.zip")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a.zip"])
def test_a_redirect_out_of_the_web_is_refused(tmp_path: Path, lungs: Shelf, target: str) -> None:
    lungs.redirect = target
    with pytest.raises(DataError, match=r"not allowed|unknown url type"):
        fetch_lungs(tmp_path, lungs)


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/a.zip", "http://127.0.0.1/a b.zip"])
def test_a_garbled_address_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is no valid address"):
        fetch_data_set("breakhis", tmp_path, url)
