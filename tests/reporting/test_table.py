import csv
import io
import json

import pytest

from harness.reporting.table import FORMATS, Table, render

EVIL = 'x|<script>&_\x1b[31m"'


@pytest.mark.parametrize("how", FORMATS)
def test_what_comes_from_plugins_is_escaped(how):
    text = render(Table(3, "Accuracy", ["model"], [[EVIL]], [EVIL], [{"model": EVIL}]), how)
    if how in {"md", "html", "tex"}:
        assert "\x1b" not in text
    if how in {"md", "html"}:
        assert "<script>" not in text.replace(r"\<", "&lt;")
    if how == "tex":
        assert r"\&\_" in text
    if how == "json":
        assert json.loads(text)["records"] == [{"model": EVIL}]
    if how == "csv":
        assert list(csv.reader(io.StringIO(text)))[1] == [EVIL]
