"""Entry point of the command line: lazily imported commands, errors as one line each."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import click

from harness.cli.streams import steady_streams
from harness.errors import HarnessError
from harness.text import printable

_SYSTEMS = ("linux", "darwin")


# Each command is imported when it is called: ``--help`` must not wait for torch.
def _run() -> click.Command:
    from harness.cli.run import command  # noqa: PLC0415

    return command


def _merge() -> click.Command:
    from harness.cli.merge import command  # noqa: PLC0415

    return command


def _slurm() -> click.Command:
    from harness.cli.slurm import command  # noqa: PLC0415

    return command


def _status() -> click.Command:
    from harness.cli.status import command  # noqa: PLC0415

    return command


def _tables() -> click.Command:
    from harness.cli.tables import command  # noqa: PLC0415

    return command


def _explain() -> click.Command:
    from harness.cli.explain import command  # noqa: PLC0415

    return command


def _predict() -> click.Command:
    from harness.cli.predict import command  # noqa: PLC0415

    return command


def _report() -> click.Command:
    from harness.cli.report import command  # noqa: PLC0415

    return command


def _export() -> click.Command:
    from harness.cli.export import command  # noqa: PLC0415

    return command


def _compare() -> click.Command:
    from harness.cli.compare import command  # noqa: PLC0415

    return command


def _score() -> click.Command:
    from harness.cli.score import command  # noqa: PLC0415

    return command


def _splits() -> click.Command:
    from harness.cli.splits import command  # noqa: PLC0415

    return command


def _data() -> click.Command:
    from harness.cli.data import command  # noqa: PLC0415

    return command


def _plugins() -> click.Command:
    from harness.cli.plugins import command  # noqa: PLC0415

    return command


def _bench() -> click.Command:
    from harness.cli.bench import command  # noqa: PLC0415

    return command


def _doctor() -> click.Command:
    from harness.cli.doctor import command  # noqa: PLC0415

    return command


_COMMANDS: dict[str, tuple[str, Callable[[], click.Command]]] = {
    "run": ("Train and evaluate models under one protocol, and keep every prediction.", _run),
    "merge": ("Put run folders of one comparison together: shards, or models of several laboratories.", _merge),
    "slurm": ("Print a job array for SLURM: a run in shards, and their merge.", _slurm),
    "status": ("Say what of a run is done, running, failed or stale.", _status),
    "tables": ("Print the paper's tables from a run.", _tables),
    "explain": ("Compute what the networks of a run look at, for its report.", _explain),
    "predict": ("Say what a kept model of a run makes of new images.", _predict),
    "report": ("Write one HTML page of a run: tables, charts, images, how it was made.", _report),
    "export": ("Write a run for Hugging Face, Every Eval Ever or as Croissant.", _export),
    "compare": ("Say what got better or worse from one run to another.", _compare),
    "score": ("Make predictions from elsewhere a row of a run, held to the same split.", _score),
    "splits": ("Say who is where, and the fingerprint of it.", _splits),
    "data": ("Fetch, verify, audit or generate images.", _data),
    "plugins": ("List the models that can be used.", _plugins),
    "bench": ("Measure speed against plain loops, side by side.", _bench),
    "doctor": ("Say what this machine has, what is missing, and which command mends it.", _doctor),
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
        return _COMMANDS[cmd_name][1]() if cmd_name in _COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, purpose) for name, (purpose, _) in _COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("breakhis-harness"), prog_name="harness")
def cli() -> None:
    """Compare breast-histology classifiers, patients kept apart."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code that the README lists."""
    steady_streams()
    if sys.platform not in _SYSTEMS:
        click.echo("harness: only Linux and macOS are supported - on Windows, use it in WSL 2", err=True)
        sys.exit(3)
    warnings.filterwarnings("ignore", message="The image decoding and encoding", category=DeprecationWarning)
    code = _exit_code(arguments)
    from harness.processes import end_descendants  # noqa: PLC0415 - it cannot be imported on Windows

    end_descendants()
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
