"""`mlcanary store export`: the labelled window of a store as one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from mlcanary.cli.options import DURATION, PATH
from mlcanary.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS = (".parquet", ".csv", ".jsonl")


class _TimeType(click.ParamType[float]):
    """RFC 3339 or Unix seconds on the command line, Unix seconds in code."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Unix seconds; a time without a zone is UTC."""
        if isinstance(value, float):
            return value
        try:
            return float(value)
        except ValueError:
            pass
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-11-26T14:00:00Z, 2026-11-26 or 1795701600", param, ctx)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


TIME = _TimeType()


@click.group("store")
def command() -> None:
    """Read what an exporter with `store:` in its configuration kept."""


@command.command("export")
@click.argument("store_path", type=PATH, metavar="STORE")
@click.argument("output", type=PATH, metavar="OUT")
@click.option("--model.name", "model", help="One model.  [default: all]")
@click.option("--since", type=TIME, help="First event time, RFC 3339 or Unix seconds.")
@click.option("--until", type=TIME, help="Event time at which to end; excluded.")
@click.option("--as-of", "as_of", type=TIME, help="See nothing that came later.  [default: see everything]")
@click.option("--maturity", type=DURATION, default="0s", show_default=True, help="Age at which a label is final.")
@click.option(
    "--label.ttl", "label_ttl", type=DURATION, default="24h", show_default=True, help="Age of the last label."
)
@click.option("--unlabeled", metavar="CLASS", help="Class of a mature prediction without a label.")
@click.option("--all", "everything", is_flag=True, help="Predictions without a label too.")
@click.option(
    "--clock",
    type=click.Choice(["arrival", "event"]),
    default="arrival",
    show_default=True,
    help="What --as-of looks at: when a row was read, or its own time (for old logs read later).",
)
def export(
    store_path: Path,
    output: Path,
    model: str | None,
    since: float | None,
    until: float | None,
    as_of: float | None,
    maturity: float,
    label_ttl: float,
    unlabeled: str | None,
    everything: bool,
    clock: Literal["arrival", "event"],
) -> None:
    """Write predictions with their outcomes to OUT: .parquet, .csv or .jsonl.

    Each prediction comes once, with the label that the exporter's join would call final. With --as-of nothing is in
    the file that was not known then, so that a model trained on it has not looked ahead.
    """
    if output.suffix not in _FORMATS:
        raise ConfigError(f"{output}: found {output.suffix or 'no suffix'}; allowed: {', '.join(_FORMATS)}")
    if unlabeled is not None and maturity <= 0:
        raise ConfigError("--unlabeled: needs a --maturity above 0", hint="a prediction is unlabelled only at an age")
    try:
        from mlcanary.store.labeled import labeled_rows, schema_of  # noqa: PLC0415 - an optional and heavy dependency
    except ImportError as error:
        raise ConfigError("a store needs pyarrow", hint="pip install 'mlcanary[parquet]'") from error
    rows = 0
    with _writer(output, schema_of(store_path, model=model, since=since, until=until)) as write:
        for batch in labeled_rows(
            store_path,
            model=model,
            since=since,
            until=until,
            as_of=as_of,
            maturity=maturity,
            label_ttl=label_ttl,
            unlabeled=unlabeled,
            labeled_only=not everything,
            clock=clock,
        ):
            write(batch)
            rows += batch.num_rows
    click.echo(f"{output}: {rows:,} rows")


@contextmanager
def _writer(output: Path, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """What writes a batch; the file is there whole, or not at all."""
    temporary = output.with_name(output.name + ".tmp")
    try:
        with _open(temporary, output.suffix, schema) as write:
            yield write
        os.replace(temporary, output)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}", hint="check the directory") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _open(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    from pyarrow import csv, parquet  # noqa: PLC0415 - as above

    if suffix == ".parquet":
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            yield writer.write_batch
    elif suffix == ".csv":
        with csv.CSVWriter(path, schema) as writer:
            yield writer.write_batch
    else:
        encode = msgspec.json.Encoder().encode
        with path.open("wb") as handle:
            yield lambda batch: handle.writelines(
                encode({name: value for name, value in row.items() if value is not None}) + b"\n"
                for row in batch.to_pylist()
            )
