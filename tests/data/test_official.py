"""The list of official files, sound and damaged."""

from __future__ import annotations

import gzip
from importlib import resources

import pytest
from harness_plugins.breakhis.official import official_files, parse_official_list

from harness.errors import DataError

SHIPPED = (resources.files("harness_plugins.breakhis") / "official.tsv.gz").read_bytes()
LINES = gzip.decompress(SHIPPED).decode().splitlines()


def packed(*lines: str) -> bytes:
    return gzip.compress("\n".join(lines).encode())


def test_the_shipped_list() -> None:
    files = official_files()
    assert len(files) == 7909
    file = files["SOB_B_A-14-22549AB-100-001"]
    assert (file.size, file.test_folds, file.name.accession) == (463800, {4, 5}, "14-22549")
    assert frozenset() in {file.test_folds for file in files.values()}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        SHIPPED[:5000],
        SHIPPED[:100] + bytes(50) + SHIPPED[150:],
        gzip.compress(bytes(20_000_000)),
        packed(*LINES[1:3]),
        packed(LINES[0], LINES[1].replace("SOB_B", "SOB_M")),
        packed(LINES[0], LINES[1].replace("463800", "-1")),
        packed(LINES[0], LINES[1][:-2] + "6"),
        packed(LINES[0], LINES[1].replace("17ee", "17e")),
        packed(LINES[0], LINES[1] + "\tmore", LINES[2] + "\tmore\tand more"),
    ],
)
def test_a_damaged_list_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match=r"the list of official files is damaged: .* - install the harness again"):
        parse_official_list(content)
