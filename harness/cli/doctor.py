"""``harness doctor``."""

from __future__ import annotations

import json

import click

from harness.diagnostics.doctor import examine, is_ready, render_findings, to_json


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(*, as_json: bool) -> int:
    """Say what this machine has, what is missing, and which command mends it.

    No plugin is imported. Exit code 3 where something is missing that no run can do without.
    """
    findings = examine()
    click.echo(json.dumps(to_json(findings), indent=1) if as_json else render_findings(findings), nl=as_json)
    return 0 if is_ready(findings) else 3
