"""A study's own file, as somebody may have sent it."""

import os

import pytest

from harness.errors import DataError
from harness.reporting.study import study_runs


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"protocols": 3}', b"[" * 100_000, b"\xff"])
def test_a_damaged_study_is_named(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(DataError, match=r"study\.json"):
        study_runs(tmp_path)


def test_only_protocols_name_folders(tmp_path):
    (tmp_path / "study.json").write_text('{"protocols": ["../x", "/etc", 3, ["holdout"], {}, "holdout"]}')
    assert list(study_runs(tmp_path)) == ["holdout"]


def test_no_study_and_a_pipe(tmp_path):
    assert study_runs(tmp_path) == {}
    os.mkfifo(tmp_path / "study.json")
    with pytest.raises(DataError, match="is no file"):
        study_runs(tmp_path)
