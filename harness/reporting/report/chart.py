"""A chart of the report: drawn by matplotlib, inlined as SVG that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib import rcsetup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.reporting.figures import plain
from harness.reporting.table import Table
from harness.text import printable

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#882255")
"""Told apart by colour-blind readers too (Okabe and Ito 2008, two added)."""
MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
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
_DECIMALS = re.compile(r"(\.\d\d)\d+")
"""What a screen does not show of a coordinate in points."""

_REFERENCE = re.compile(r"(url\(#|^#)")


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
    """Return the mark of the model at a place."""
    return MARKS[place % len(MARKS)]


def legend_below(figure: Figure, axes: Axes, labels: int) -> None:
    """Put a panel's legend below the figure."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=min(labels, 4))


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a panel, the first at the top."""
    axes.set_yticks(range(len(labels)), [plain(label) for label in labels])
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
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 - as above
    for gid, dots in names.items():
        _name_dots(root, gid, dots)
    for element in root.iter():
        _own_ids(element, name)
    _describe(root, name, title, description)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    text = ET.tostring(root, encoding="unicode")
    text = _DECIMALS.sub(r"\1", text)
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, variable)
    return text


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
