"""`mlcanary profile`: write the reference that live features and scores are compared with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import click
from click.core import ParameterSource

from mlcanary.catalog import Task
from mlcanary.cli.profile_notes import look_at
from mlcanary.doctor.table_columns import thousands_columns
from mlcanary.doctor.tables import comma_columns
from mlcanary.errors import ConfigError
from mlcanary.formats.profile import write_profile
from mlcanary.listing import first_of
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import NumericReference, Reference
from mlcanary.tables import Columns, read_columns

_NAMED = 20
"""Columns that are named in an error."""
_WIDTH = 116
"""Characters of a line of the summary, which names every feature: the odd one is the one that matters."""
_INDEX = ("", "__index_level_0__")
"""What pandas calls an index without a name, in CSV and in Parquet."""
_FIRST = 100
"""Rows that are looked at for decimal commas."""


@click.command("profile")
@click.argument("table", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Profile to write (JSON).")
@click.option("--bins", default=20, show_default=True, type=click.IntRange(2, 200), help="Bins per numeric feature.")
@click.option(
    "--score.bins", "score_bins", default=50, show_default=True, type=click.IntRange(10, 500), help="Bins of the score."
)
@click.option("--score.column", "score_column", default="score", show_default=True, help="P(positive class), 0..1.")
@click.option(
    "--label.column",
    "label_column",
    default="label",
    show_default=True,
    help="No feature; its mean is kept for regression.",
)
@click.option("--exclude", multiple=True, metavar="COLUMN", help="Leave a column out; may be repeated.")
@click.option("--categorical", multiple=True, metavar="COLUMN", help="Treat a numeric code as names; may be repeated.")
@click.option("--numeric", multiple=True, metavar="COLUMN", help="Take its numbers, not its texts; may be repeated.")
@click.option(
    "--categories", default=50, show_default=True, type=click.IntRange(1, 1000), help="Categories with a bin."
)
@click.option(
    "--sample.rows",
    "sample_rows",
    default=0,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Rows kept as bin numbers, for joint drift; 5000 serves 25 features.",
)
@click.option(
    "--model.task",
    "model_task",
    default=Task.BINARY.value,
    show_default=True,
    type=click.Choice([task.value for task in Task]),
    help="Says what the model's output is: the score column of a binary model, else the column prediction.",
)
@click.option("--model.name", "model_name", help="Noted in the profile.")
def command(
    table: Path,
    output: Path,
    bins: int,
    score_bins: int,
    score_column: str,
    label_column: str,
    exclude: tuple[str, ...],
    categorical: tuple[str, ...],
    numeric: tuple[str, ...],
    categories: int,
    model_task: str,
    sample_rows: int,
    model_name: str | None,
) -> None:
    """Write a reference profile from FILE: CSV, JSON lines (plain or prediction records), or Parquet.

    Use rows from when all was well: the validation set scored by the model, or a good week of its log. Columns of
    times, and those of which nearly every row has its own value, such as ids, are left out and named; --categorical
    or --numeric keeps one.

    The profile holds no rows unless --sample.rows is given, and those only as bin numbers, so that it can be
    committed and reviewed: per numeric feature bin edges, counts and means, the least and the greatest value, the
    standard deviation and how many were missing; per categorical feature the counts of its categories and the names
    of up to 10,000 more. Those names are text from your data: leave out what is personal by --exclude.
    """
    columns, broken = read_columns(table, _show_progress)
    index = [name for name in _INDEX if columns.pop(name, None) is not None]
    _refuse_absent(table, columns, {"--score.column": score_column, "--label.column": label_column})
    options = ProfileOptions(
        bins,
        score_bins,
        categories,
        score_column,
        tuple(name for name in exclude if name not in index),
        categorical,
        model_name,
        Task(model_task),
        label_column,
        sample_rows,
        numeric,
    )
    found = look_at(columns, options)
    _refuse_commas(table, {name: values for name, values in found.present.items() if name not in options.exclude})
    reference = profile_columns(columns, replace(options, exclude=(*options.exclude, *found.left_out)))
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_bytes(write_profile(reference))
    os.replace(temporary, output)
    click.echo("\n".join(_summary(output, reference)))
    if index:
        click.echo("note: left out the index of pandas, which has no name: write files with index=False")
    if broken:
        click.echo(f"note: {broken:,} broken rows left out")
    for note in found.notes(reference):
        click.echo(f"note: {note}")


def _refuse_absent(table: Path, columns: Columns, named: Mapping[str, str]) -> None:
    """A column that a flag names must be there. Raises ConfigError."""
    context = click.get_current_context()
    for flag, name in named.items():
        given = context.get_parameter_source(flag[2:].replace(".", "_")) is not ParameterSource.DEFAULT
        if given and columns and name not in columns:
            raise ConfigError(f"{table}: {flag}: found no column {name!r}; allowed: {', '.join(sorted(columns))}")


def _refuse_commas(table: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Numbers with a comma would be taken for names. Raises ConfigError."""
    decimals = comma_columns({name: values[:_FIRST] for name, values in columns.items()})
    for found, allowed, hint in (
        (decimals, "a decimal point", "export with a point: df.to_csv(PATH, index=False, decimal='.')"),
        (thousands_columns(columns), "no comma between thousands", "read it by pd.read_csv(PATH, thousands=',')"),
    ):
        if found:
            named = first_of((f"{name} ({example})" for name, example in found.items()), _NAMED)
            raise ConfigError(
                f"{table}: found numbers with a comma in {named}; allowed: {allowed}",
                hint=f"{hint}; or --exclude the column",
            )


def _summary(output: Path, reference: Reference) -> Iterator[str]:
    """What was made of which columns."""
    shown = "no output column" if reference.output is None else f"output in {len(reference.output.counts)} bins"
    numeric = [name for name, f in reference.features.items() if isinstance(f, NumericReference)]
    others = [name for name in reference.features if name not in numeric]
    yield f"{output}: {reference.rows:,} rows, {len(numeric)} numeric and {len(others)} categorical features, {shown}"
    for kind, names in (("numeric", numeric), ("categorical", others)):
        if names:
            yield from wrap(
                ", ".join(names),
                _WIDTH,
                initial_indent=f"  {kind}: ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    if reference.sample is not None:
        left_out = [name for name in reference.features if name not in reference.sample]
        rest = f"; for want of room without {', '.join(left_out)}" if left_out else ""
        size = len(next(iter(reference.sample.values())))
        yield f"sample for joint drift: {size:,} rows of bin numbers over {len(reference.sample)} features{rest}"


def _show_progress(rows: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{rows:,} rows\r", nl=False, err=True)
