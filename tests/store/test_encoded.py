"""Rows of many tables: the same as read one by one, in less memory."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import DataError
from harness.store import columns, encoded
from harness.store.columns import SPLITS, read_table, table_frame, write_table
from harness.store.encoded import decoded, read_rows


def table_of(number: int, rows: int) -> pd.DataFrame:
    names = [f"{number % 3}-{row}" for row in range(rows)]
    return pd.DataFrame({"image": names, "fold": number, "seed": -number * 100, "side": "test"})


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded, "_BATCH", 2)
    files = [tmp_path / f"{number}.parquet" for number in range(5)]
    for number, file in enumerate(files):
        write_table(file, table_of(number, 2 - number % 3), SPLITS)  # one of them is empty
    return files


def test_rows_are_those_of_the_tables_one_below_the_other(files):
    whole = table_frame(pa.concat_tables([read_table(file, SPLITS) for file in files]))
    pd.testing.assert_frame_equal(decoded(read_rows(files, SPLITS)), whole)


def test_texts_are_categories_and_integers_narrow(files):
    rows = read_rows(files, SPLITS)
    assert list(rows["image"].cat.categories) == ["0-0", "0-1", "1-0"]
    assert (rows["fold"].dtype, rows["seed"].dtype) == (np.int8, np.int16)


@pytest.mark.parametrize("value", [0, 127, 128, -128, -129, 2**15, -(2**31), 2**40])
def test_no_integer_is_changed(tmp_path, value):
    write_table(tmp_path / "a", table_of(0, 2).assign(seed=[0, value]), SPLITS)
    assert list(read_rows([tmp_path / "a"], SPLITS)["seed"]) == [0, value]


def test_tables_of_no_rows(tmp_path):
    write_table(tmp_path / "a", table_of(0, 0), SPLITS)
    assert read_rows([tmp_path / "a"], SPLITS).empty


def test_a_file_that_is_wrong_is_named(files):
    table = pq.read_table(files[3])
    pq.write_table(table.set_column(3, "side", pa.array(["elsewhere"] * len(table))), files[3])
    with pytest.raises(DataError, match=r"3\.parquet: the column 'side' holds 'elsewhere'"):
        read_rows(files, SPLITS)


def test_tables_of_several_versions_stand_together(tmp_path):
    pq.write_table(
        pa.table({"image": pa.array(["a"], pa.large_string()), "fold": [0], "seed": [0], "side": ["test"]}),
        tmp_path / "a",
    )
    write_table(tmp_path / "b", table_of(0, 1), SPLITS)
    assert [len(table) for table in columns.read_tables([tmp_path / "a", tmp_path / "b"], SPLITS)] == [1, 1]
