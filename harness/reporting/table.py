"""A table and its renderings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from tabulate import LATEX_ESCAPE_RULES, tabulate

from harness.text import markdown, printable

if TYPE_CHECKING:
    from jinja2 import Template

Format = Literal["md", "csv", "tex", "html", "json"]
FORMATS: tuple[Format, ...] = ("md", "csv", "tex", "html", "json")
DASH = "-"
_FORMULA = ("=", "+", "-", "@")
BEST = "★"
"""Marks the best of a column."""

_NUMBER = re.compile(r"((< )?[-+]?[0-9][0-9.,]*( %)?★?( [(\[][^()\[\]]*[)\]])*(, p .*)?|\(.*\)|[0-9]+ of [0-9]+|-|)")
_AFTER_ROW = re.compile(r"^(\s*)([\[*])", re.MULTILINE)
"""What LaTeX would take for an option of the row's end before it."""

_MATH = (
    (re.compile(r"P\\_(arp|img)"), r"$P_{\\mathrm{\1}}$"),
    (re.compile(r"(?<![\w.])-(?=[0-9])"), "$-$"),
    (re.compile(r"\|"), r"\\textbar{}"),  # a dash in the usual encoding
    (re.compile(BEST), r"$^{\\star}$"),
)
"""What LaTeX sets otherwise than it stands in text, after escaping."""

_ROWS_A_PAGE = 44
PREAMBLE = r"""% What the tables need in an article's preamble; \input{...} each where it is to stand.
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\usepackage{graphicx} % tables that are wider than a line are scaled down
"""

_HTML = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ table.heading }}</title>
<style>
body { font-family: system-ui, sans-serif; line-height: 1.4; margin: 2rem; max-width: 70rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.6rem; text-align: left; }
thead { border-bottom: 1px solid; border-top: 2px solid; }
tbody { border-bottom: 2px solid; }
td.number, th.number { text-align: right; }
ul { font-size: 0.9rem; }
</style>
</head>
<body>
<h1>{{ table.heading }}</h1>
{% for sentence in table.lead -%}
<p>{{ sentence }}</p>
{% endfor -%}
<table>
<thead>
<tr>{% for column in table.columns %}<th class="{{ classes[loop.index0] }}">{{ column }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in table.rows -%}
<tr>{% for cell in row %}<td class="{{ classes[loop.index0] }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor -%}
</tbody>
</table>
<ul>{% for note in table.notes %}<li>{{ note }}</li>{% endfor %}</ul>
</body>
</html>
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for people and, in long form, for programs.

    Attributes:
        name: Of its files, and for ``--table``.
        title: Its heading.
        columns: Column heads.
        rows: Cells as text, one list a row; a row whose first two cells are empty belongs to the one above.
        notes: Sentences below it.
        records: One dictionary a value or row, with full precision, for CSV and JSON.
        number: As in the paper; None for a table that the paper does not have.
        lead: Sentences above it: the answer.
        grouped: Rows of one first cell belong together, and show it once.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]
    records: list[dict[str, Any]]
    number: int | None = None
    lead: list[str] = field(default_factory=list)
    grouped: bool = False

    @property
    def heading(self) -> str:
        """Number and title."""
        return self.title if self.number is None else f"Table {self.number}. {self.title}"

    @property
    def shown(self) -> list[list[str]]:
        """The rows as people see them: what a group has in common stands once."""
        if not self.grouped:
            return self.rows
        before, shown = None, []
        for head, *cells in self.rows:
            shown.append(["" if head == before else head, *cells])
            before = head or before
        return shown


def render(table: Table, how: Format) -> str:
    """Return a table as text in a format.

    What comes from plugins and file names is shown as it is written, and never read as markup. In CSV, text that a
    spreadsheet would compute (it begins with ``=``, ``+``, ``-`` or ``@``) gets an apostrophe before it, and what
    steers a terminal is a space there too; JSON holds every text to the letter.
    """
    return _RENDERERS[how](table)


def rendered(tables: Iterable[Table]) -> dict[str, str]:
    """Return the files of tables, in every format, and what LaTeX needs for them: texts by file name."""
    texts = {f"{table.name}.{how}": render(table, how) for table in tables for how in FORMATS}
    return {**texts, "preamble.tex": PREAMBLE}


def p_text(value: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(table: Table) -> str:
    body = tabulate(
        [[markdown(cell) for cell in row] for row in table.shown],
        headers=[markdown(column) for column in table.columns],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=_alignment(table) if table.rows else None,
    )
    lead = "".join(f"{markdown(sentence)}\n" for sentence in table.lead)
    notes = "".join(f"- {markdown(note)}\n" for note in table.notes)
    return "\n".join(part for part in (f"## {markdown(table.heading)}\n", lead, f"{body}\n", notes) if part)


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
    head = {"schema_version": 3, "name": table.name, "table": table.number, "title": table.title}
    content = {**head, "lead": table.lead, "notes": table.notes, "records": table.records}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _tex(table: Table) -> str:
    """Return floats that go into an article of one or two columns, as many as pages are needed."""
    pages = list(_pages(table.shown)) or [[[""] * len(table.columns)]]
    return "\n".join(_tex_float(table, rows, number, len(pages)) for number, rows in enumerate(pages, 1))


def _tex_float(table: Table, rows: list[list[str]], number: int, pages: int) -> str:
    body = tabulate(
        [[printable(cell) for cell in row] for row in rows],
        headers=[printable(column) for column in table.columns],
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=_alignment(table),
    )
    body = _with_math(_AFTER_ROW.sub(r"\1{\2}", body))
    if table.grouped:
        body = _with_gaps(body, rows)
    part = f" ({number} of {pages})" if pages > 1 else ""
    label = f"\\label{{tab:{table.name}}}" if number == 1 else ""
    words = " ".join(map(_tex_text, [*table.lead, *table.notes])) if number == pages else ""
    return (
        "\\begin{table*}[tp]\n\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}\n"
        f"\\caption{{{_tex_text(table.title)}{part}}}{label}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"{body}}}\n\n\\vspace{{1ex}}\\begin{{minipage}}{{\\linewidth}}\\raggedright {words}\\end{{minipage}}\n"
        "\\end{table*}\n"
    )


def _with_gaps(body: str, rows: list[list[str]]) -> str:
    """Put a little space before each group but the first."""
    head, *lines = body.partition("\\midrule\n")
    *shown, end = "".join(lines).removeprefix("\\midrule\n").split("\n", len(rows))
    gaps = ["\\addlinespace\n" if place and row[0] else "" for place, row in enumerate(rows)]
    return f"{head}\\midrule\n" + "".join(f"{gap}{line}\n" for gap, line in zip(gaps, shown, strict=True)) + end


def _pages(rows: list[list[str]]) -> Iterator[list[list[str]]]:
    """Yield rows page by page; a row that belongs to the one above stays with it."""
    page: list[list[str]] = []
    for row in rows:
        if len(page) >= _ROWS_A_PAGE and any(row[:2]):
            yield page
            page = []
        page.append(row)
    if page:
        yield page


def _tex_text(text: str) -> str:
    """Return text as LaTeX that shows it as it is, escaped as cells are."""
    return _with_math("".join(LATEX_ESCAPE_RULES.get(c, c) for c in printable(text)))


def _with_math(text: str) -> str:
    for pattern, put in _MATH:
        text = pattern.sub(put, text)
    return text


def _alignment(table: Table) -> list[str]:
    """Say of each column whether it holds numbers, which stand right."""
    numeric = numeric_columns(table)
    return ["right" if place in numeric else "left" for place in range(len(table.columns))]


def numeric_columns(table: Table) -> set[int]:
    """Number the columns whose every cell is a number, or nothing."""
    columns = enumerate(zip(*table.rows, strict=True))
    return {place for place, cells in columns if any(cells) and all(map(_NUMBER.fullmatch, cells))}


def _html(table: Table) -> str:
    shown = replace(
        table,
        title=printable(table.title),
        columns=[printable(column) for column in table.columns],
        rows=[[printable(cell) for cell in row] for row in table.shown],
        lead=[printable(sentence) for sentence in table.lead],
        notes=[printable(note) for note in table.notes],
    )
    numeric = numeric_columns(table)
    classes = ["number" if place in numeric else "text" for place in range(len(table.columns))]
    return _html_template().render(table=shown, classes=classes) + "\n"


@cache
def _html_template() -> Template:
    from jinja2 import Environment  # noqa: PLC0415 - the other formats do without

    return Environment(autoescape=True).from_string(_HTML)


_RENDERERS = {"md": _markdown, "csv": _csv, "tex": _tex, "html": _html, "json": _json}
