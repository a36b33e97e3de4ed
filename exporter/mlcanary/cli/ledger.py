"""The audit of a handler's ledger, checked and told: `mlcanary explain --verify`."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from mlcanary.handler.ledger.verify import Report, verify_file


def verify_ledger(what: Sequence[str], url: str | None, last_hash: str, output: str) -> None:
    """Print the report on a ledger; exit status 1 if something is wrong."""
    if len(what) != 1 or url is not None:
        raise click.UsageError("--verify takes one LEDGER, the file of the handler's --state.path")
    report = verify_file(Path(what[0]), expected=last_hash)
    if output == "json":
        document = {"whole": report.whole, "rows": report.count, "last": report.last, "problems": report.problems}
        click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        click.echo("\n".join(_told(report, what[0])))
    if not report.whole:
        sys.exit(1)


def _told(report: Report, path: str) -> Iterator[str]:
    for row in report.rows:
        at = datetime.datetime.fromtimestamp(row.at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        yield f"{row.id:>6}  {at}  {row.actor:<14}  {row.kind:<12}  {row.target:<16}  {row.hash[:12]}"
    yield ""
    for problem in report.problems:
        yield f"WRONG: {problem}"
    if report.whole:
        newest = report.last or "none"
        yield f"{path}: {report.count} rows, unbroken, and the tables say the same; newest hash {newest}"
