"""The server that fetching is tried against."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest
from shelf import LUNGS, Handler, Shelf, noise, tar_gz

from harness.data import download, fetch


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setattr(download, "RETRY_PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    shelf = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ShelfHandler", (Handler,), {"shelf": shelf}))
    shelf.url = f"http://127.0.0.1:{server.server_port}/some/LC.tar.gz?signature=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shelf
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """LC25000 as if it held two lung images."""
    counts = {"lung_aca": 1, "lung_n": 1}
    monkeypatch.setattr(fetch, "LC25000_COUNTS", counts)
    return counts


@pytest.fixture
def lungs(shelf: Shelf, few: dict[str, int]) -> Shelf:
    """A shelf with a complete archive."""
    assert len(few) == len(LUNGS)
    shelf.content = tar_gz({**LUNGS, "lung_colon_image_set/noise.bin": noise()})
    return shelf
