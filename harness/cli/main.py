"""Entry point of the command line: lazily imported commands, errors as one line each."""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
from importlib.metadata import version
from typing import Any

import click

from harness.cli.streams import steady_streams
from harness.errors import HarnessError
from harness.text import printable

_SYSTEMS = ("linux", "darwin")
_COMMANDS = {
    "run": "Train and evaluate models under one protocol, and keep every prediction.",
    "status": "Say what of a run is done, running, failed or stale.",
    "tables": "Print the paper's tables from a run.",
    "compare": "Say what got better or worse from one run to another.",
    "splits": "Say who is where, and the fingerprint of it.",
    "data": "Fetch, verify, audit or generate images.",
    "plugins": "List the models that can be used.",
    "bench": "Measure speed against plain loops, side by side.",
    "doctor": "Say what this machine has, what is missing, and which command mends it.",
}


class _Commands(click.Group):
    """Imports a command's module when the command is called, so that ``--help`` does not wait for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which a newcomer needs them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("breakhis-harness"), prog_name="harness")
def cli() -> None:
    """Compare breast-histology classifiers on BreakHis, patients kept apart."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code that the README lists."""
    steady_streams()
    if sys.platform not in _SYSTEMS:
        click.echo("harness: only Linux and macOS are supported - on Windows, use it in WSL 2", err=True)
        sys.exit(3)
    warnings.filterwarnings("ignore", message="The image decoding and encoding", category=DeprecationWarning)
    code = _exit_code(arguments)
    if "harness.processes" in sys.modules:
        importlib.import_module("harness.processes").end_descendants()
    gc.freeze()  # or Python looks through all of torch for garbage once more, for two seconds
    sys.exit(code)


def _exit_code(arguments: list[str] | None) -> int:
    try:
        done: Any = cli.main(arguments, prog_name="harness", standalone_mode=False)
    except HarnessError as error:
        click.echo(f"harness: {printable(str(error))}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("harness: interrupted - what is finished is kept; the same command goes on from here", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, as in 'harness tables | head'
        return 0
    except OSError as error:
        description = f"{error.filename or 'the system'}: {error.strerror or error}"
        click.echo(f"harness: {printable(description)}", err=True)
        return 3
    return done if isinstance(done, int) else 0
