"""A chart of the report: drawn by matplotlib, inlined as SVG that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib import rcsetup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.reporting.figures import plain
from harness.reporting.table import Table
from harness.text import printable

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#882255")
"""Told apart by colour-blind readers too (Okabe and Ito 2008, two added)."""
MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
WIDTH = 9.0
"""Inches."""

INK, FAINT = "#111111", "#999999"
"""What text is written in, and what stands behind the numbers."""
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)"} | {
    colour: f"var(--c{place})" for place, colour in enumerate(COLOURS)
}
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": rcsetup.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.alpha": 0.35,
    "grid.color": FAINT,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_DRAWN = (f"{{{_SVG}}}use", f"{{{_SVG}}}path")
_LONGEST = 28
"""Letters of a label in a chart."""

_DECIMALS = re.compile(r"(\.\d\d)\d+")
"""What a screen does not show of a coordinate in points."""

_DRAWING = frozenset({"d", "height", "points", "style", "transform", "width", "x", "y"})
_REFERENCE = re.compile(r"(url\(#|^#)")


@dataclass(frozen=True)
class Entry:
    """An entry of a legend.

    Attributes:
        label: What it names.
        colour: Of the mark and line.
        mark: As matplotlib names it; empty for none.
        line: Likewise.
    """

    label: str
    colour: str
    mark: str
    line: str


@dataclass(frozen=True)
class Chart:
    """A chart and the numbers in it.

    Attributes:
        name: Of its anchor in the page.
        title: Its heading.
        description: What it shows and says, for whoever does not see it.
        caption: How to read it.
        svg: The picture.
        data: What is drawn, as a table.
    """

    name: str
    title: str
    description: str
    caption: str
    svg: str
    data: Table


@contextmanager
def page_style() -> Iterator[None]:
    """Draw in the page's colours, which are filled in when a figure is inlined."""
    with mpl.rc_context(_STYLE):
        yield


@contextmanager
def canvas(
    height: float, columns: int = 1, rows: int = 1, *, sharex: bool = False, sharey: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give an empty figure of the page's width, and its panels row by row.

    Args:
        height: In inches.
        columns: Panels beside each other.
        rows: Panels below each other.
        sharex: All panels have one horizontal axis.
        sharey: All panels have one vertical axis.
    """
    with page_style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False)
        yield figure, list(panels.flat)


def colour(place: int) -> str:
    """Return the colour of the model at a place."""
    return COLOURS[place % len(COLOURS)]


def mark(place: int) -> str:
    """Return the mark of the model at a place; where colours begin again, marks are other ones."""
    return MARKS[(place + place // len(COLOURS)) % len(MARKS)]


def line(place: int) -> str:
    """Return the style of the line of the model at a place."""
    return LINES[place // len(COLOURS) % len(LINES)]


def short(label: str) -> str:
    """Return a label for a chart: what is cut of it stands in the table."""
    shown = plain(label)
    shown = f"{shown[: _LONGEST - 1]}…" if len(shown) > _LONGEST else shown
    return f"\u200b{shown}" if shown.startswith("_") else shown  # matplotlib leaves such names out of legends


def legend_below(figure: Figure, entries: Sequence[Entry]) -> None:
    """Put a legend below the figure."""
    handles = [Line2D([], [], color=one.colour, marker=one.mark, ls=one.line, lw=1.4, ms=6) for one in entries]
    if handles:
        figure.legend(handles, [short(one.label) for one in entries], loc="outside lower center", ncols=4)


def models_legend(labels: Sequence[str], shown: Collection[str], *, marks: bool, lines: bool) -> list[Entry]:
    """Return the entries of a legend of models.

    Args:
        labels: All of the run, which decide colours.
        shown: Those that the chart shows.
        marks: Whether they are drawn with marks.
        lines: Whether they are drawn with lines.
    """
    return [
        Entry(label, colour(place), mark(place) if marks else "", line(place) if lines else "")
        for place, label in enumerate(labels)
        if label in shown
    ]


def draw_share(axes: Axes, row: int, column: int, share: float) -> None:
    """Draw a share as a field of a table, the darker the more."""
    sides = [column - 0.46, column + 0.46]
    axes.fill_between(sides, row - 0.42, row + 0.42, color=colour(0), alpha=0.05 + 0.45 * share, lw=0)
    axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7.5, color=INK)


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a panel, the first at the top."""
    axes.set_yticks(range(len(labels)), [short(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def svg_of(figure: Figure, name: str, title: str, description: str, names: Mapping[str, Iterable[str]]) -> str:
    """Return a figure as SVG for a page.

    Args:
        figure: The figure, drawn on a :func:`canvas`.
        name: Prefix of every id in it; no other chart of the page has it.
        title: For readers of the screen.
        description: Likewise.
        names: What single dots are called when they are pointed at, by the ``gid`` of their collection.
    """
    buffer = io.StringIO()
    with page_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib has just written it
    for gid, dots in names.items():
        _name_dots(root, gid, dots)
    for element in root.iter():
        _own_ids(element, name)
        _shorten(element)
    _describe(root, name, title, description)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return ET.tostring(root, encoding="unicode")


def _name_dots(root: ET.Element, gid: str, names: Iterable[str]) -> None:
    group = next(element for element in root.iter() if element.get("id") == gid)
    shared = {element for definition in group.iter(f"{{{_SVG}}}defs") for element in definition.iter()}
    dots = [element for element in group.iter() if element.tag in _DRAWN and element not in shared]
    for dot, words in zip(dots, names, strict=True):
        ET.SubElement(dot, f"{{{_SVG}}}title").text = printable(words)


def _own_ids(element: ET.Element, name: str) -> None:
    """Put the chart's name before an element's id and its references: another chart of the page has the same."""
    for attribute, value in element.attrib.items():
        if attribute == "id":
            element.set(attribute, f"{name}-{value}")
        elif attribute == f"{{{_XLINK}}}href" or "url(#" in value:
            element.set(attribute, _REFERENCE.sub(rf"\1{name}-", value))


def _shorten(element: ET.Element) -> None:
    """Cut what no screen shows of coordinates, and put the page's colours in; what is text stays to the letter."""
    for attribute, value in element.attrib.items():
        if attribute in _DRAWING:
            shorter = _DECIMALS.sub(r"\1", value)
            for placeholder, variable in _VARIABLES.items():
                shorter = shorter.replace(placeholder, variable)
            element.set(attribute, shorter)


def _describe(root: ET.Element, name: str, title: str, description: str) -> None:
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{_SVG}}}{tag}")
        element.text = printable(words)
        element.set("id", f"{name}-{'title' if tag == 'title' else 'description'}")
        root.insert(place, element)
    for tag in ("metadata", "defs"):  # nothing of use, and a style that would be the whole page's
        for element in root.findall(f"{{{_SVG}}}{tag}"):
            if element.find(f"{{{_SVG}}}clipPath") is None:
                root.remove(element)
