"""The page of a report: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.reporting.report.section import Section
from harness.reporting.report.templating import asset, environment
from harness.reporting.table import Format, Table, numeric_columns, render
from harness.text import printable

COPIED: tuple[Format, ...] = ("csv", "tex", "md")
"""The formats in which a table is copied."""


@dataclass(frozen=True)
class Study:
    """What stands across the runs of a study.

    Attributes:
        table: The table.
        picture: The leak as SVG; none for other studies.
    """

    table: Table
    picture: str | None = None


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
        title: Its heading.
        sections: One a run.
        study: Where the runs are those of a study.
        changes: Tables of what got better or worse, between runs of one comparison.
    """

    title: str
    sections: Sequence[Section]
    study: Study | None = None
    changes: Sequence[Table] = field(default_factory=tuple)

    @property
    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yield every table that can be copied, and its anchor."""
        for number, table in enumerate(self._across):
            yield f"across-{number}", table
        for section in self.sections:
            for table in [*section.first_tables, *section.further_tables]:
                yield f"{section.prefix}{table.name}", table
            for chart in section.charts:
                yield f"{chart.name}-data", chart.data

    @property
    def _across(self) -> list[Table]:
        return [*([self.study.table] if self.study else []), *self.changes]

    def anchor(self, table: Table) -> str:
        """Return the anchor of a table across runs."""
        return f"across-{self._across.index(table)}"

    @property
    def side_by_side(self) -> list[tuple[str, list[str]]]:
        """Facts of every run, fact by fact: what may be compared with what."""
        found = [dict(section.facts) for section in self.sections]
        return [(term, [facts[term] for facts in found]) for term in found[0]]


def render_page(report: Report) -> str:
    """Return the page as HTML."""
    style, script = asset("report.css"), asset("report.js")
    copies = {anchor: {how: render(table, how) for how in COPIED} for anchor, table in report.tables}
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            style=style,
            script=script,
            rows=rows,
            classes=classes,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            copies=_embedded(copies),
        )
    )


@dataclass(frozen=True)
class Row:
    """A row of a table on the page.

    Attributes:
        cells: Its text.
        below: It belongs to the row above: that one's intervals.
        again: Its first cell is that of the row above it.
    """

    cells: list[str]
    below: bool
    again: bool


def rows(table: Table) -> list[Row]:
    """Return a table's rows for the page, where they can be put into another order."""
    found, before = [], None
    for row in table.rows:
        below = len(row) > 1 and not any(row[:2])
        again = table.grouped and not below and row[0] == before
        found.append(Row([printable(cell) for cell in row], below, again))
        before = before if below else row[0]
    return found


def classes(table: Table) -> list[str]:
    """Say of each column whether it holds numbers."""
    numeric = numeric_columns(table)
    return ["number" if place in numeric else "text" for place in range(len(table.columns))]


def _embedded(values: Any) -> str:
    """Return JSON that may stand in a script element: nothing in it ends the element."""
    return json.dumps(values, ensure_ascii=True).replace("<", "\\u003c")
