"""Templates of the pages, and what renders them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined

from harness.text import printable

FILE = "report.html"
"""What a report is called in its run folder."""


@cache
def asset(name: str) -> str:
    """Return a file of the templates."""
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """Return what renders the templates; what is put into them is escaped."""
    made = Environment(
        autoescape=True, loader=FunctionLoader(asset), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["plain"] = printable
    return made
