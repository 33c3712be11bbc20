"""Notes on standard error."""

from __future__ import annotations

import click

from harness.text import printable


def note(message: str) -> None:
    """Print what a person should know."""
    click.echo(printable(f"note: {message}"), err=True)
