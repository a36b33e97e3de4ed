"""What is missing in a sample, what it costs, what to do; and the traps that are in it.

Guarantee: every finding names a figure of the sample. Pure.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from mlcanary.catalog import Task
from mlcanary.doctor.reading import Reading, Seen
from mlcanary.doctor.tables import comma_columns, time_oddity
from mlcanary.joins.policy import JoinPolicy
from mlcanary.line_order import LineOrder
from mlcanary.listing import first_of
from mlcanary.records import Label, Prediction

_MANY = 50
_NAMED = 6
_SHOWN_CLASSES = 4
_OFTEN_NULL = 0.2
_MOST_FEATURES = 200
_DAY = 86_400.0
_OLD = 3600.0
_MOST_ODDS, _PERCENT = 20, 100
"""What no logit or margin of note exceeds; and what no percentage does."""
_NO_MARGIN = "log the probability, not the margin or logit"
_UNNAMED = re.compile(r"f\d+")


class Level(StrEnum):
    """How bad: figures are impossible; some are missing; they may mislead; good to know."""

    IMPOSSIBLE = "impossible"
    MISSING = "missing"
    TRAP = "trap"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """`what` was seen, what it `costs`, and the `remedy`."""

    level: Level
    key: str
    what: str
    costs: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Coverage:
    """How many of `rows` say something of `field`."""

    field: str
    having: int
    rows: int


def coverage(readings: Sequence[Reading]) -> list[Coverage]:
    """Of the predictions, field by field; and of labels in lines of their own."""
    rows = [each for reading in readings for each in reading.predictions]
    labels = [each for reading in readings for each in reading.labels]
    tests = {
        "id": lambda s: s.record.id is not None,
        "time": lambda s: s.row.ts is not None or s.row.timestamp is not None,
        "version": lambda s: s.version is not None,
        "features": lambda s: bool(s.record.features),
        "prediction": lambda s: s.record.predicted is not None or s.record.items is not None,
        "score": lambda s: s.record.score is not None or bool(s.record.scores),
        "latency": lambda s: s.record.latency is not None,
        "label inline": lambda s: s.record.label is not None,
        "user": lambda s: s.record.user is not None,
    }
    found = [Coverage(name, sum(map(test, rows)), len(rows)) for name, test in tests.items()]
    ids = {each.record.id for each in rows}
    return [
        *found,
        Coverage("label lines with a prediction here", sum(s.record.id in ids for s in labels), len(labels)),
    ]


def findings(readings: Sequence[Reading], now: float) -> list[Finding]:
    """Everything worth telling, worst first. `now`: Unix seconds."""
    rows = [each for reading in readings for each in reading.predictions]
    labels = [each for reading in readings for each in reading.labels]
    found = list(_lines(readings))
    if rows:
        share = {each.field: each.having / each.rows for each in coverage(readings) if each.rows}
        found += [
            *_identity(share),
            *_answers(rows, share, readings),
            *_outcomes(rows, labels, share),
            *_too_late(readings),
        ]
        found += [*_times(rows, now), *_order(rows), *_ids(rows), *_features(rows)]
    elif labels and not any(reading.refused for reading in readings):
        found.append(
            Finding(Level.NOTE, "labels", f"{len(labels)} labels and no prediction", remedy="give their log too")
        )
    order = list(Level)
    return sorted(found, key=lambda each: order.index(each.level))


def _lines(readings: Sequence[Reading]) -> Iterator[Finding]:
    for reading in readings:
        bad, name = reading.rejects.total(), reading.options.name
        if reading.error:
            yield Finding(Level.IMPOSSIBLE, "format", f"{name}: {reading.error}", remedy="correct the options")
        elif not reading.seen and not reading.refused:
            what = f"no line of {reading.lines} gave a record in the format {name}"
            yield Finding(Level.IMPOSSIBLE, "format", what, "nothing can be measured", _no_rows(reading))
        elif bad:
            level = Level.TRAP if bad > 0.01 * reading.lines else Level.NOTE
            reasons = ", ".join(f"{reason} {count}" for reason, count in reading.rejects.most_common())
            yield Finding(level, "rejects", f"{bad} of {reading.lines} lines rejected: {reasons}", "they count nowhere")
        if reading.refused:
            yield _scores(reading)
        if reading.rejects["timestamp"]:
            what = f"{reading.rejects['timestamp']} times cannot be read, or lie more than an hour in the future"
            texts = [row.ts for row in reading.tried if isinstance(row.ts, str)]
            odd = time_oddity("PATH", texts)
            remedy = "check the clock, the zone and the unit" if odd is None else odd.remedy
            yield Finding(
                Level.TRAP, "time", what if odd is None else f"{what}; {odd.what}", "these rows are lost", remedy
            )
        if reading.waiting and reading.seen:
            what = f"{reading.waiting} lines wait for their other half or a schema"
            yield Finding(Level.NOTE, "pairs", what, "given up after 5 minutes of event time, counted as `unpaired`")


def _scores(reading: Reading) -> Finding:
    """Scores that are no probabilities: percents, margins or logits."""
    scores = [s for each in reading.refused for s in (each.row.score, *(each.row.scores or {}).values())]
    odd = [score for score in scores if score is not None and not 0 <= score <= 1]
    what = f"{len(reading.refused):,} scores lie outside 0..1, such as {odd[0]:g}"
    percents = min(odd) >= 0 and _MOST_ODDS < max(odd) <= _PERCENT
    remedy = "log the probability, not percents: the score divided by 100" if percents else _NO_MARGIN
    if reading.predictions:
        return Finding(Level.TRAP, "score", what, "these rows are lost", remedy)
    return Finding(Level.IMPOSSIBLE, "score", f"{what}: every prediction", "they are rejected, nothing counts", remedy)


def _no_rows(reading: Reading) -> str:
    if reading.waiting:
        if reading.options.name == "bentoml":
            return "let the path cover the schema folder beside data/ too"
        return "one source must cover requests and responses: give a path or glob that holds both"
    first = next(iter(reading.examples.values()), None)
    return f"the first reject: {first[0].detail}" if first else "look at the lines"


def _identity(share: dict[str, float]) -> Iterator[Finding]:
    for key, costs, remedy in (
        ("id", "late labels cannot be joined: only inline labels count", "log a request id, and keep it for the label"),
        (
            "time",
            "the time of arrival counts instead: a replay or a lagging reader moves records",
            "log the event time",
        ),
    ):
        if share[key] < 1:
            yield Finding(Level.MISSING, key, f"{_lack(share[key])} no {key}", costs, remedy)
    if share["version"] < 1:
        level = Level.IMPOSSIBLE if share["version"] == 0 else Level.MISSING
        costs = "canary and baseline cannot be told apart" if share["version"] == 0 else "these count as `unknown`"
        remedy = "set `version` of the source, a `path_pattern` with (?P<version>...), or log it"
        yield Finding(level, "version", f"{_lack(share['version'])} no version, and no path tells it", costs, remedy)
    if share["latency"] == 0:
        yield Finding(Level.NOTE, "latency", "no prediction has a latency", "no latency figures from this log")


def _answers(rows: Sequence[Seen], share: dict[str, float], readings: Sequence[Reading]) -> Iterator[Finding]:
    if share["features"] < 1:
        yield Finding(
            Level.MISSING, "features", f"{_lack(share['features'])} no features", "no drift of them", "log the inputs"
        )
    answered = max(share["score"], share["prediction"])
    if answered == 0:
        yield Finding(
            Level.IMPOSSIBLE,
            "answer",
            "no prediction has a score or a class",
            "no quality and no drift of scores",
            "log `score` or `prediction`, or name their field in `mapping`",
        )
    tasks = {reading.task for reading in readings if reading.predictions}
    if answered and share["score"] < 1 and tasks & {Task.BINARY, Task.MULTICLASS}:
        costs = "no AUC, log loss or calibration; accuracy and F1 work"
        yield Finding(Level.MISSING, "score", f"{_lack(share['score'])} no score", costs, "log the probability as well")
    errors = [s.record.error for s in rows if isinstance(s.record, Prediction)]
    failed = [error for error in errors if error is not None]
    if failed:
        named = ", ".join(f"{name} {n}" for name, n in Counter(failed).most_common(3))
        yield Finding(Level.NOTE, "status", f"{len(failed)} of {len(rows)} requests failed: {named}")


def _outcomes(rows: Sequence[Seen], labels: Sequence[Seen], share: dict[str, float]) -> Iterator[Finding]:
    if not labels and share["label inline"] == 0:
        yield Finding(
            Level.MISSING,
            "labels",
            "no label in the sample",
            "traffic, latency and drift work; accuracy, F1, AUC and the like need labels",
            "add the log of labels as a source: one more --log.path shows whether the ids meet",
        )
    yield from _unlike_classes(rows, labels)
    ids = {each.record.id for each in rows}
    lost = [each for each in labels if each.record.id not in ids]
    if lost:
        level = Level.TRAP if len(lost) == len(labels) else Level.NOTE
        example = next((s.record.id for s in rows if s.record.id), None)
        what = f"{len(lost)} of {len(labels)} labels have an id that no prediction here has: {lost[0].record.id!r}"
        yield Finding(
            level,
            "labels",
            f"{what}; a prediction has {example!r}",
            "they join nothing unless their prediction lies outside the sample",
            "use the same id; row n of a batch is <id>/n" if level is Level.TRAP else "",
        )


def _too_late(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Labels whose prediction would be forgotten before they come."""
    delays, remembered = label_delays(readings), JoinPolicy().memory
    if late := [delay for delay in delays if delay > remembered]:
        hours = math.ceil(late[-1] / 3600)
        yield Finding(
            Level.TRAP,
            "labels",
            f"{len(late)} of {len(delays)} labels come more than {span(remembered)} after their prediction, up to "
            f"{late[-1] / 3600:.3g} h",
            "predictions are forgotten by then, and these labels lost",
            f"give the model `maturity: {hours}h`, or `label_ttl: {hours}h` to count earlier labels at once",
        )


def _unlike_classes(rows: Sequence[Seen], labels: Sequence[Seen]) -> Iterator[Finding]:
    """Answers that say a class which no label has, so that none is ever right."""
    answers = {s.record.predicted for s in rows if isinstance(s.record, Prediction) and s.row.prediction is not None}
    truths = {s.record.label for s in (*rows, *labels)} - {None}
    answers.discard(None)
    several = answers and truths and 1 < max(len(answers), len(truths)) <= _MANY
    if several and not answers & truths:
        named = (", ".join(sorted(map(str, each))[:_SHOWN_CLASSES]) for each in (answers, truths))
        what = "answers are called {}, and labels {}".format(*named)
        remedy = "log both by the same names"
        yield Finding(Level.TRAP, "classes", what, "no answer can be right: accuracy is 0", remedy)


def _times(rows: Sequence[Seen], now: float) -> Iterator[Finding]:
    raw = [value for s in rows if (value := s.row.ts if s.row.ts is not None else s.row.timestamp) is not None]
    naive = [text for text in raw if isinstance(text, str) and _is_naive(text)]
    if naive:
        what = f"{len(naive)} of {len(rows)} times name no zone, such as {naive[0]}"
        remedy = "log UTC with a Z; or give the zone: `timezone` in the `mapping`"
        yield Finding(Level.TRAP, "time", what, "they are read as UTC, which moves them by the offset", remedy)
    if not raw:
        return
    times = [each.record.ts for each in rows]
    ahead = [ts for ts in times if ts > now + 1]
    if ahead:
        what = f"{len(ahead)} times lie in the future, by up to {max(ahead) - now:.0f} s"
        yield Finding(
            Level.TRAP, "time", what, "beyond an hour they are rejected", "check clock and zone of the server"
        )
    if all(float(ts).is_integer() for ts in times) and len(set(times)) < len(times):
        what = f"times are whole seconds; {len(times) - len(set(times))} of {len(times)} tie"
        yield Finding(Level.NOTE, "time", what, "windows do not mind; no latency can be taken from them")
    age = now - max(times)
    if age > _OLD:
        what = f"the newest prediction of the sample is {span(age)} old"
        costs = "windows go by when a line is read, so they show it as if it were of now; `mlcanary replay` does not"
        yield Finding(Level.NOTE, "time", what, costs)


def _order(rows: Sequence[Seen]) -> Iterator[Finding]:
    """Whether the lines of a log are in the order of their times, as far as they tell any."""
    order = LineOrder()
    for log in dict.fromkeys(each.log for each in rows):
        told = [s.record.ts for s in rows if s.log == log and (s.row.ts is not None or s.row.timestamp is not None)]
        order.read(log, [np.array(told)])
    if (found := order.backwards) is not None:
        what = f"times go back: {found.behind} of {found.lines} predictions are older than a line before them"
        yield Finding(
            Level.TRAP,
            "order",
            f"{what} by more than a minute, by up to {span(found.furthest)}",
            "`mlcanary replay --judge` reads lines in their order: it finds no baseline beside a canary, fewer labels",
            "sort a finished log by time; let each client write a file of its own",
        )


def _ids(rows: Sequence[Seen]) -> Iterator[Finding]:
    ids = [each.record.id for each in rows if each.record.id is not None]
    again = len(ids) - len(set(ids))
    if again:
        name = Counter(ids).most_common(1)[0][0]
        what = f"{again} of {len(ids)} predictions repeat an id, such as {name!r}"
        costs = "they count once, as duplicates: a batch loses its other rows"
        yield Finding(Level.TRAP, "id", what, costs, "give each row its own, such as <id>/<row>")


def _features(rows: Sequence[Seen]) -> Iterator[Finding]:
    values: dict[str, list[object]] = {}
    for each in rows:
        if isinstance(each.record, Prediction):
            for name, value in each.record.features.items():
                values.setdefault(name, []).append(value)
    if len(values) > _MOST_FEATURES:
        yield Finding(
            Level.TRAP, "features", f"{len(values)} features", f"{_MOST_FEATURES} are followed", "raise limits.features"
        )
    if values and all(map(_UNNAMED.fullmatch, values)):
        what = f"the {len(values)} features have no names: they are called f0, f1, ..."
        yield Finding(Level.NOTE, "features", what, "", "give `mapping: {feature_names: [...]}` in their order")
    if len(rows) >= _MANY:
        yield from _odd_features(values, len(rows))


def _odd_features(values: dict[str, list[object]], rows: int) -> Iterator[Finding]:
    constant = [n for n, v in values.items() if len({x if isinstance(x, Hashable) else repr(x) for x in v}) == 1]
    if constant:
        what = f"constant in the whole sample: {first_of(constant, _NAMED)}"
        yield Finding(
            Level.TRAP, "features", what, "no drift can show in them unless they change", "is the pipeline right?"
        )
    empty = {n: 1 - sum(x is not None for x in v) / rows for n, v in values.items()}
    often = sorted((n for n, share in empty.items() if share > _OFTEN_NULL), key=lambda n: -empty[n])
    if often:
        what = f"often missing: {first_of((f'{n} {empty[n]:.0%}' for n in often), _NAMED)}"
        yield Finding(Level.NOTE, "features", what, "missing is counted as a value of its own")
    nested = [n for n, v in values.items() if any(isinstance(x, list | dict) for x in v)]
    if nested:
        what = f"lists or objects as values: {first_of(nested, _NAMED)}"
        yield Finding(
            Level.TRAP, "features", what, "they count as unusable, no drift", "log numbers, texts, true or false"
        )
    commas = comma_columns(values)
    if commas:
        found = first_of((f"{n} ({example})" for n, example in commas.items()), _NAMED)
        what = f"texts that are numbers with a comma: {found}"
        remedy = '`decimal: ","` in the `mapping` of a CSV; else log numbers'
        yield Finding(Level.TRAP, "features", what, "each is a category of its own, no distribution", remedy)
    names = [n for n, v in values.items() if n not in commas and _is_name(v)]
    if names:
        what = f"texts that hardly ever repeat: {first_of(names, _NAMED)}"
        yield Finding(Level.TRAP, "features", what, "an id or free text is no category", "leave them out of `features`")


def _is_name(values: Sequence[object]) -> bool:
    texts = [value for value in values if isinstance(value, str)]
    return len(texts) >= _MANY and len(set(texts)) > 0.9 * len(texts)


def _lack(share: float) -> str:
    return "the predictions have" if share == 0 else f"{1 - share:.0%} of the predictions have"


def _is_naive(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def label_delays(readings: Sequence[Reading]) -> list[float]:
    """Seconds from predictions to their labels, where both are in the sample, ascending."""
    times = {s.record.id: s.record.ts for reading in readings for s in reading.predictions if s.record.id is not None}
    return sorted(
        s.record.ts - times[s.record.id]
        for reading in readings
        for s in reading.labels
        if isinstance(s.record, Label) and s.record.id in times
    )


def span(seconds: float) -> str:
    """A duration in its largest unit.

    >>> span(12.3), span(7300), span(90000)
    ('12 s', '2 h', '1 d')
    """
    for size, name in ((_DAY, "d"), (3600.0, "h"), (60.0, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
