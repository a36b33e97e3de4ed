"""`mlcanary profile`: write the reference that live features and scores are compared with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mlcanary.catalog import Task
from mlcanary.formats.profile import write_profile
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import CategoricalReference, NumericReference
from mlcanary.tables import read_columns


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
@click.option(
    "--categories", default=50, show_default=True, type=click.IntRange(1, 1000), help="Categories with a bin."
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
    categories: int,
    model_task: str,
    model_name: str | None,
) -> None:
    """Write a reference profile from FILE: CSV, JSON lines (plain or prediction records), or Parquet.

    Use rows from when all was well: the validation set scored by the model, or a good week of its log. The
    profile holds no rows, so that it can be committed and reviewed: per numeric feature bin edges, counts and means,
    the least and the greatest value, the standard deviation and how many were missing; per categorical feature the
    counts of its categories and the names of up to 10,000 more. Those names are text from your data: leave out what
    is personal by --exclude.
    """
    columns, broken = read_columns(table, _show_progress)
    options = ProfileOptions(
        bins, score_bins, categories, score_column, exclude, categorical, model_name, Task(model_task), label_column
    )
    reference = profile_columns(columns, options)
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_bytes(write_profile(reference))
    os.replace(temporary, output)
    shown = "no output column" if reference.output is None else f"output in {len(reference.output.counts)} bins"
    numeric = sum(isinstance(f, NumericReference) for f in reference.features.values())
    click.echo(
        f"{output}: {reference.rows:,} rows, {numeric} numeric and {len(reference.features) - numeric} categorical "
        f"features, {shown}"
    )
    if broken:
        click.echo(f"note: {broken:,} broken rows left out")
    if incomplete := sorted(
        name for name, f in reference.features.items() if isinstance(f, CategoricalReference) and not f.complete
    ):
        click.echo(f"note: more than 10,000 further names, so unseen ones are not told apart: {', '.join(incomplete)}")
    if model_task == Task.BINARY and reference.score is None:
        click.echo(f"note: no column {score_column!r}: AUC will use logit-spaced bins, score drift is not measured")


def _show_progress(rows: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{rows:,} rows\r", nl=False, err=True)
