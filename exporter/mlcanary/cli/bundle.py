"""`mlcanary bundle`: the shipped rules, dashboards and Alertmanager configuration."""

from __future__ import annotations

from pathlib import Path

import click

from mlcanary import bundle


@click.group("bundle")
def command() -> None:
    """The shipped rules, dashboards and Alertmanager configuration."""


@command.command("list")
def list_files() -> None:
    """Print the shipped files."""
    for name in bundle.files():
        click.echo(name)


@command.command("export")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def export(directory: Path) -> None:
    """Copy the shipped files into DIRECTORY. A file there that differs is never overwritten."""
    for path in bundle.export(directory):
        click.echo(path)
