"""`mlcanary replay`: a finished log through the same exporter, and what it would have shown."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mlcanary.catalog import Role, Task
from mlcanary.cli.options import PATH, source_options
from mlcanary.cli.replay_features import features_told
from mlcanary.cli.replay_task import other_tasks
from mlcanary.doctor.report import clean
from mlcanary.errors import ConfigError
from mlcanary.replay import Replay, replay
from mlcanary.settings import ExporterSettings, Flags, load_settings

_OF_CLASSES = ("accuracy", "precision", "recall", "f1", "auc", "log_loss")
_LONGEST = 160
"""Characters that are shown of what is wrong with a line."""
_OF_MANY_CLASSES = ("accuracy", "balanced_accuracy", "f1_macro", "auc_macro", "log_loss")
_OF_NUMBERS = ("mae", "rmse", "bias", "r2", "quantile_loss")


@click.command("replay")
@source_options
@click.option(
    "--output",
    type=click.Choice(["table", "json", "metrics"]),
    default="table",
    show_default=True,
    help="What to print: a table, all estimates as JSON, or the page that Prometheus would have scraped.",
)
@click.option("--judge", is_flag=True, help="Judge canaries: what would have been decided, when. Time is event time.")
@click.option("--judge.config.file", "judge_config", type=PATH, help="YAML configuration of the judge.")
@click.option("--records", type=PATH, metavar="DIRECTORY", help="New directory for the records that `explain` takes.")
def command(
    log_path: tuple[str, ...],
    config_file: Path | None,
    record_format: str | None,
    reference_path: Path | None,
    model_name: str | None,
    model_version: str | None,
    model_role: str | None,
    model_task: str | None,
    output: str,
    judge: bool,
    judge_config: Path | None,
    records: Path | None,
) -> None:
    """Run finished logs through the exporter and print the figures over the whole of them.

    Time is the time in the records; at the end every label that will come has come. Nothing is written but --records.
    """
    if not judge and (judge_config or records):
        raise click.UsageError("--judge.config.file and --records belong to --judge")
    role = Role(model_role) if model_role else None
    task = Task(model_task) if model_task else None
    settings = load_settings(
        Flags(log_path, config_file, reference_path, model_name, model_version, role, task, record_format)
    )
    if judge:
        hints = () if task or output != "table" else tuple(other_tasks(settings, time.time()))
        _judge(settings, judge_config, records, output, hints)
        return
    started = time.monotonic()
    result = replay(settings, time.time(), _Progress())
    _clear()
    if output == "metrics":
        click.echo(result.text, nl=False)
        return
    if output == "json":
        click.echo(json.dumps(as_json(result), indent=1))
        return
    seconds = time.monotonic() - started
    _print_table(result, seconds, () if task else tuple(other_tasks(settings, time.time())))


def _judge(
    settings: ExporterSettings, judge_config: Path | None, records: Path | None, output: str, hints: Sequence[str]
) -> None:
    try:
        from mlcanary.cli import replay_verdicts  # noqa: PLC0415 - scipy belongs to the judge's extra
    except ModuleNotFoundError as error:
        raise ConfigError(f"replay --judge needs {error.name}", hint="pip install 'mlcanary[judge]'") from error
    if records is not None:
        replay_verdicts.check_directory(records)
    started = time.monotonic()
    result = replay_verdicts.run(settings, judge_config, time.time(), _Progress())
    _clear()
    if records is not None:
        replay_verdicts.write_records(result, records)
    if output == "metrics":
        click.echo(result.replay.text, nl=False)
    elif output == "json":
        click.echo(replay_verdicts.as_document(result, as_json(result.replay)))
    else:
        click.echo(summary(result.replay, time.monotonic() - started))
        for said in hints:
            click.echo(said)
        for said in features_told(result.replay):
            click.echo(said)
        click.echo("\n".join(replay_verdicts.told(result)))


class _Progress:
    """A line on a terminal, now and then."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __call__(self, lines: int, done: float) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._shown > 0.2:
            self._shown = time.monotonic()
            click.echo(f"\r{lines:,} lines, {done:.0%}", nl=False, err=True)


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)


def as_json(result: Replay) -> dict[str, Any]:
    """Every figure as plain values."""
    return {
        "lines": result.lines,
        "rejected": result.rejected,
        "labels_unmatched": result.unmatched,
        "labels_late": {model: late._asdict() for model, late in result.late.items()},
        "backwards": None if result.backwards is None else result.backwards._asdict(),
        "versions": [
            {"model": key.model, "version": key.version, **figures} for key, figures in result.versions.items()
        ],
    }


def _figure(figures: dict[str, Any], name: str) -> str:
    """A figure with four digits; AUC with the bound inside which the exact one lies."""
    if name not in figures:
        return "-"
    bound = f" ±{figures[f'{name}_error_bound']:.4f}" if name in {"auc", "auc_macro"} else ""
    return f"{figures[name]:.4f}{bound}"


def _columns(result: Replay) -> tuple[str, ...]:
    """Figures of the tasks that are in the log; those of classes where nothing is known."""
    known = dict.fromkeys(name for figures in result.versions.values() for name in figures)
    of_classes: tuple[str, ...] = ()
    if "accuracy" in known:  # a class is positive where there are two
        several = "f1_macro" in known and not known.keys() & {"precision", "recall", "f1", "auc"}
        of_classes = _OF_MANY_CLASSES if several else _OF_CLASSES
    of_numbers = _OF_NUMBERS if "mae" in known else ()
    of_rankings = tuple(name for name in known if "@" in name or name == "mrr")
    return (*of_classes, *of_numbers, *of_rankings) or _OF_CLASSES


def summary(result: Replay, seconds: float) -> str:
    """What was read, and what of it was of no use."""
    rejected = sum(result.rejected.values())
    first = (
        f"{result.lines:,} lines in {seconds:.1f} s, {rejected:,} rejected, {result.unmatched:,.0f} labels unmatched"
    )
    return "\n".join([first, *_rejects(result), *_late(result), *_backwards(result)])


def _rejects(result: Replay) -> Iterator[str]:
    """How many for which reason, and what was wrong with the first of them."""
    for reason, count in sorted(result.rejected.items()):
        first = result.examples.get(reason)
        yield f"  {reason}: {count:,}" + (f", the first: {clean(first)[:_LONGEST]}" if first else "")


def _late(result: Replay) -> Iterator[str]:
    """Labels that are lost because nobody remembered their prediction any more, and what keeps them."""
    for model, (count, longest, memory) in result.late.items():
        yield (
            f"  {count:,} labels of {model} came later than label_ttl ({memory / 3600:.3g} h), up to "
            f"{longest / 3600:.3g} h after their prediction, which was forgotten by then: give the model "
            f"`label_ttl: {math.ceil(longest / 3600 + 0.5)}h`, or a maturity of that, in --config.file"
        )


def _backwards(result: Replay) -> Iterator[str]:
    """That lines are out of order, and what to do."""
    if result.backwards is not None:
        behind, lines, furthest = result.backwards
        yield (
            f"  times go back: {behind:,} of {lines:,} predictions are older than a line before them by more than a "
            f"minute, by up to {furthest / 60:,.0f} min; the judge reads lines in their order: sort each file by time, "
            "such as with `jq -sc 'sort_by(.ts)[]'`"
        )


def _print_table(result: Replay, seconds: float, hints: Sequence[str]) -> None:
    click.echo(summary(result, seconds))
    columns = _columns(result)
    header = ["model", "version", "predictions", "labels", "late", "duplicate", *columns]
    rows = [header]
    for key, figures in result.versions.items():
        joins = figures["label_joins"]
        rows.append(
            [
                key.model,
                key.version,
                f"{figures['predictions']:,.0f}",
                f"{figures['labels']:,.0f}",
                f"{joins['late']:,.0f}",
                f"{joins['duplicate'] + figures['duplicate_predictions']:,.0f}",
                *(_figure(figures, name) for name in columns),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        click.echo(
            "  ".join(
                text.ljust(w) if i < 2 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
            )
        )
    if any("±" in text for row in rows for text in row):
        click.echo("±: what the bins of scores may hide; chance comes on top")
    if any(figures["label_joins"]["late"] for figures in result.versions.values()):
        click.echo("late: labels that came when the wait for them (maturity, else label_ttl) was over")
    for said in (*_positive_classes(result), *_unlike_classes(result)):
        click.echo(said)
    for said in hints:
        click.echo(said)
    if (
        result.versions
        and not hints
        and not result.late
        and not any(figures["labels"] for figures in result.versions.values())
    ):
        click.echo("no prediction has a label: give the file with the labels by another --log.path")
    for said in features_told(result):
        click.echo(said)


def _positive_classes(result: Replay) -> Iterator[str]:
    """Which class precision, recall and F1 are of; the others are in the JSON, by class."""
    found = {key.model: f["positive_class"] for key, f in result.versions.items() if "positive_class" in f}
    for model, name in found.items():
        of_model = f"{model}: " if len(found) > 1 else ""
        yield f"{of_model}precision, recall and f1 are of the positive class, {name}; --output json has every class"


def _unlike_classes(result: Replay) -> Iterator[str]:
    """Versions of which no answer has a class that a label has."""
    for key, figures in result.versions.items():
        answers, truths = figures.get("class_precision", {}), figures.get("class_recall", {})
        enough = answers and truths and max(len(answers), len(truths)) > 1
        if enough and not answers.keys() & truths.keys():
            named = ", ".join(sorted(answers)), ", ".join(sorted(truths))
            yield (
                f"{key.model}/{key.version}: no answer can be right: answers are called {named[0]}, labels {named[1]}; "
                "set positive_class and negative_class of the model to the names of the labels"
            )
