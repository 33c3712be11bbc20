"""A table and its renderings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from tabulate import LATEX_ESCAPE_RULES, tabulate

from harness.text import markdown, printable

Format = Literal["md", "csv", "tex", "html", "json"]
FORMATS: tuple[Format, ...] = ("md", "csv", "tex", "html", "json")
DASH = "-"
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"((< )?[-+]?[0-9][0-9.,]*( %)?( \([^()]*\))?(, p .*)?|[0-9]+ of [0-9]+|-|)")
_AFTER_ROW = re.compile(r"^(\s*)([\[*])", re.MULTILINE)
"""What LaTeX would take for an option of the row's end before it."""

_TEX_BAR = r"\textbar{}"  # a dash in the usual encoding
_HTML = """\
<section>
<h2>{{ table.heading }}</h2>
<table>
<thead><tr>{% for column in table.columns %}<th>{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows -%}
<tr>{% for cell in row %}<td{% if loop.index0 in numeric %} align="right"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor -%}
</tbody>
</table>
<ul>{% for note in table.notes %}<li>{{ note }}</li>{% endfor %}</ul>
</section>
"""


@dataclass(frozen=True)
class Table:
    """A table for people and, in long form, for programs.

    Attributes:
        number: As in the paper; None for a table that the paper does not have.
        title: Its heading.
        columns: Column heads.
        rows: Cells as text, one list a row.
        notes: Sentences below it.
        records: One dictionary a value or row, with full precision, for CSV and JSON.
    """

    number: int | None
    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]
    records: list[dict[str, Any]]

    @property
    def heading(self) -> str:
        """Number and title."""
        return self.title if self.number is None else f"Table {self.number}. {self.title}"


def render(table: Table, how: Format) -> str:
    """Return a table as text in a format.

    What comes from plugins and file names is shown as it is written, and never read as markup. In CSV, text that a
    spreadsheet would compute (it begins with ``=``, ``+``, ``-`` or ``@``) gets an apostrophe before it, and what
    steers a terminal is a space there too; JSON holds every text to the letter.
    """
    return _RENDERERS[how](table)


def p_text(value: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(table: Table) -> str:
    grid = [[markdown(cell) for cell in row] for row in table.rows]
    body = tabulate(
        grid, headers=[markdown(column) for column in table.columns], tablefmt="pipe", disable_numparse=True
    )
    notes = "".join(f"- {markdown(note)}\n" for note in table.notes)
    return f"## {markdown(table.heading)}\n\n{body}\n\n{notes}"


def _csv(table: Table) -> str:
    import pandas as pd  # noqa: PLC0415 - the other formats do without

    records = [{key: _csv_value(value) for key, value in record.items()} for record in table.records]
    return str(pd.DataFrame(records).to_csv(index=False))


def _csv_value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _json(table: Table) -> str:
    content = {"schema_version": 2, "table": table.number, "title": table.title, "notes": table.notes}
    return json.dumps({**content, "records": table.records}, indent=1, allow_nan=False) + "\n"


def _tex(table: Table) -> str:
    body = tabulate(
        [[printable(cell) for cell in row] for row in table.rows or [[""] * len(table.columns)]],
        headers=[printable(column) for column in table.columns],
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=_alignment(table),
    )
    body = _AFTER_ROW.sub(r"\1{\2}", body).replace("|", _TEX_BAR)
    return (
        f"\\begin{{table}}\n\\caption{{{_tex_text(table.title)}}}\n{body}\n\n"
        f"\\footnotesize {' '.join(map(_tex_text, table.notes))}\n\\end{{table}}\n"
    )


def _tex_text(text: str) -> str:
    """Return text as LaTeX that shows it as it is, escaped as cells are."""
    return "".join({**LATEX_ESCAPE_RULES, "|": _TEX_BAR}.get(c, c) for c in printable(text))


def _alignment(table: Table) -> list[str]:
    """Say of each column whether it holds numbers, which stand right."""
    numeric = _numeric(table)
    return ["right" if place in numeric else "left" for place in range(len(table.columns))]


def _numeric(table: Table) -> set[int]:
    """Number the columns whose every cell is a number, or nothing."""
    columns = enumerate(zip(*table.rows, strict=True))
    return {place for place, cells in columns if all(map(_NUMBER.fullmatch, cells))}


def _html(table: Table) -> str:
    from jinja2 import Environment  # noqa: PLC0415 - the other formats do without

    shown = replace(
        table,
        title=printable(table.title),
        columns=[printable(column) for column in table.columns],
        rows=[[printable(cell) for cell in row] for row in table.rows],
        notes=[printable(note) for note in table.notes],
    )
    return Environment(autoescape=True).from_string(_HTML).render(table=shown, numeric=_numeric(table)) + "\n"


_RENDERERS = {"md": _markdown, "csv": _csv, "tex": _tex, "html": _html, "json": _json}
