"""A study's own file, as somebody may have sent it."""

import os

import pytest

from harness.errors import DataError
from harness.store.study import read_study


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"protocols": 3}', b"[" * 100_000, b"\xff"])
def test_a_damaged_study_is_named(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(DataError, match=r"study\.json"):
        read_study(tmp_path)


def test_only_names_of_runs_name_folders(tmp_path):
    told = '{"schema_version": 1, "protocols": ["../x", "/etc", "holdout"]}'
    (tmp_path / "study.json").write_text(told)
    assert list(read_study(tmp_path).runs) == ["holdout"]
    (tmp_path / "study.json").write_text(told.replace('"/etc"', "3"))
    with pytest.raises(DataError, match=r"study\.json"):
        read_study(tmp_path)


def test_no_study_and_a_pipe(tmp_path):
    assert read_study(tmp_path) is None
    os.mkfifo(tmp_path / "study.json")
    with pytest.raises(DataError, match="is no file"):
        read_study(tmp_path)
