"""The leak of a study as a picture for the page."""

from __future__ import annotations

from harness.reporting.leak_figure import leak_figure
from harness.reporting.report.chart import page_style, svg_of
from harness.reporting.table import Table

_TITLE = "The leak"


def leak_picture(table: Table) -> str:
    """Return balanced accuracy under every protocol as SVG."""
    with page_style():
        return svg_of(leak_figure(table), "leak", _TITLE, table.title, {})
