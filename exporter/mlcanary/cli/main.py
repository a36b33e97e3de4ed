"""`mlcanary`: finds the command and turns our errors into one line and an exit status.

Each command is loaded only when it is named: the handler must start without the statistics.
"""

from __future__ import annotations

import importlib
import sys

import click

from mlcanary import __version__
from mlcanary.errors import MLCanaryError

COMMANDS = {
    "exporter": "Read prediction logs, serve /metrics.",
    "judge": "Say which canary is worse, with a known chance of being wrong.",
    "handler": "Receive alerts, take traffic back, prove it.",
    "store": "Read what `store:` kept: labelled rows as Parquet, CSV or JSON lines.",
    "profile": "Write a reference profile from CSV, JSON lines or Parquet.",
    "doctor": "Say what a log holds, how to read it, and where the chain is broken.",
    "replay": "Run a finished log through the exporter and print the result.",
    "explain": "Recompute a decision of the judge from its record.",
    "bundle": "List or copy the shipped rules, dashboards and Alertmanager files.",
    "demo": "Run the whole loop on this machine.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found = importlib.import_module(f"mlcanary.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(found, click.Command)  # noqa: S101 - our own modules
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands)
@click.version_option(__version__, "--version", prog_name="mlcanary")
def cli() -> None:
    """Measure a model canary, decide with known error, take the traffic back, prove it."""


def main() -> None:
    """Entry point of the console script. Exit status 2 for what the operator can mend."""
    try:
        cli()
    except MLCanaryError as error:
        click.echo(f"mlcanary: {error}", err=True)
        if error.hint:
            click.echo(f"  hint: {error.hint}", err=True)
        sys.exit(2)
