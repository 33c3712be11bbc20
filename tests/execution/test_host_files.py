"""Files of the host on another machine: used where they are, kept by content where they are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.cache import Cache
from harness.errors import DataError
from harness.execution.host_files import NodeFiles, options_with_places
from harness.execution.ray_messages import HostFile


def host_file(path: Path, content: bytes) -> HostFile:
    return HostFile(path, hashlib.sha256(content).hexdigest())


def on_node(folder: Path) -> NodeFiles:
    return NodeFiles(Cache(folder, print))


def test_a_file_on_shared_storage_is_used_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    node, file = on_node(tmp_path / "cache"), host_file(path, b"weights")
    assert node.lacking([file]) == []
    assert node.place(file) == path


def test_a_file_of_other_content_at_the_same_place_is_lacking(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"another node's own")
    file = host_file(path, b"weights")
    node = on_node(tmp_path / "cache")
    assert node.lacking([file]) == [file]
    node.receive(file, [b"wei", b"ghts"])
    assert node.place(file) != path
    assert node.place(file).read_bytes() == b"weights"
    assert node.place(file).name == "weights.pt"


def test_what_one_process_has_received_another_finds(tmp_path: Path) -> None:
    file = host_file(tmp_path / "host" / "plugin.py", b"code")
    on_node(tmp_path / "cache").receive(file, [b"code"])
    other = on_node(tmp_path / "cache")
    assert other.lacking([file]) == []
    assert other.place(file).read_bytes() == b"code"


def test_what_was_spoilt_in_the_cache_is_lacking(tmp_path: Path) -> None:
    file = host_file(tmp_path / "host" / "plugin.py", b"code")
    first = on_node(tmp_path / "cache")
    first.receive(file, [b"code"])
    first.place(file).write_bytes(b"evil")
    assert on_node(tmp_path / "cache").lacking([file]) == [file]


def test_what_is_not_what_was_announced_is_refused(tmp_path: Path) -> None:
    file, node = host_file(tmp_path / "host" / "a.bin", b"announced"), on_node(tmp_path / "cache")
    with pytest.raises(DataError, match=r"a\.bin has changed while it was sent"):
        node.receive(file, [b"sent"])
    assert node.lacking([file]) == [file]


def test_paths_in_options_are_replaced_and_nothing_else() -> None:
    options = {"weights": "folder/./w.pt", "parts": [{"file": "folder/w.pt"}], "rate": 0.1, "name": "w.pt"}
    moved = options_with_places(options, {"folder/w.pt": "/cache/w.pt"})
    assert moved == {"weights": "/cache/w.pt", "parts": [{"file": "/cache/w.pt"}], "rate": 0.1, "name": "w.pt"}
