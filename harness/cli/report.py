"""``harness report``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.display import Display
from harness.errors import UsageError


@click.command("report")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=click.Path(path_type=Path), help="The file.  [default: report.html in the first RUN]")
@click.option(
    "--images",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="Whether it shows images, which come from the data.",
)
@click.option("--serve", "is_served", is_flag=True, help="Show how far RUN is, in a browser, while it goes on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --serve: the address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="With --serve; 0: any.")
def command(runs: tuple[Path, ...], out: Path | None, images: str, *, is_served: bool, host: str, port: int) -> None:
    """Write a report of RUNs, or of the runs of a study: one HTML file that needs nothing beside it."""
    if is_served:
        if len(runs) > 1:
            raise UsageError("--serve shows one run - name one")
        _serve(runs[0], host, port)
        return
    from harness.api.report import report  # noqa: PLC0415 - matplotlib, for whoever writes one

    with Display() as display:
        file = report(runs, out, "none" if images == "none" else "all", display)
    click.echo(file)


def _serve(run: Path, host: str, port: int) -> None:
    from harness.api.live import serve  # noqa: PLC0415 - for whoever watches

    with serve(run, host, port) as server:
        click.echo(f"http://{host}:{server.server_port}/ (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("no longer served; the run itself goes on", err=True)
