"""A table and its renderings."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

from harness.text import markdown, printable

Format = Literal["md", "csv", "tex", "html", "json"]
FORMATS: tuple[Format, ...] = ("md", "csv", "tex", "html", "json")
DASH = "-"
_FORMULA = ("=", "+", "-", "@")
_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    # after the end of a row these would be taken for its options
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


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
    content = {"schema_version": 1, "table": table.number, "title": table.title, "notes": table.notes}
    return json.dumps({**content, "records": table.records}, indent=1, allow_nan=False) + "\n"


def _tex(table: Table) -> str:
    head = " & ".join(map(_tex_text, table.columns))
    body = "\n".join(" & ".join(map(_tex_text, row)) + r" \\" for row in table.rows)
    notes = " ".join(map(_tex_text, table.notes))
    return (
        "\\begin{table}\n"
        f"\\caption{{{_tex_text(table.title)}}}\n"
        f"\\begin{{tabular}}{{{'l' * len(table.columns)}}}\n\\hline\n{head} \\\\\n\\hline\n{body}\n\\hline\n"
        f"\\end{{tabular}}\n\n\\footnotesize {notes}\n\\end{{table}}\n"
    )


def _html(table: Table) -> str:
    head = "".join(f"<th>{_html_text(column)}</th>" for column in table.columns)
    body = "\n".join("<tr>" + "".join(f"<td>{_html_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    notes = "".join(f"<li>{_html_text(note)}</li>" for note in table.notes)
    return (
        f"<section>\n<h2>{_html_text(table.heading)}</h2>\n<table>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n<ul>{notes}</ul>\n</section>\n"
    )


def _html_text(text: str) -> str:
    return html.escape(printable(text))


def _tex_text(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in printable(text))


_RENDERERS = {"md": _markdown, "csv": _csv, "tex": _tex, "html": _html, "json": _json}
