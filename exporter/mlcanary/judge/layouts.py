"""What the counts of an input mean: found when the input is first seen, and from then on where each counter goes.

Guarantee: pure functions of the counters that a baseline has shown. Cells are fixed at birth: a class that comes later
is "other", a bin that comes later has no place. `place` gives the columns; `settle` turns them into counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mlcanary.catalog import ANSWERED, NEGATIVE, NO_PREDICTION, OTHER, POSITIVE
from mlcanary.judge import reading as read
from mlcanary.judge.contract import FEATURE, Structure
from mlcanary.stats.accumulator import Floats

Own = tuple[str, ...]
"""Values of a counter's own labels."""

Families = Mapping[str, Mapping[Own, int]]
"""Slots of the counters by family and own labels."""

Goal = tuple[int, int, float]
"""Column, slot, sign."""

WRONG = "other (wrong)"
"""`predicted` where both classes are above the cap and differ (`stats.confusion.OTHER_WRONG`)."""

LOSSES = ("log_loss", "brier_score")
TRIPLE = ("count", "sum", "squares")
MATURE = ("predictions", "clicks", "conversions", "clicked_conversions", "value", "value_squares")
DECIDED, COHORT = ("decided", "labeled"), ("cohort", "labeled@")
ARRIVED, ASSUMED, LOST = ("matched", "assumed"), "assumed", ("expired", "evicted")
MEANINGS = ("click", "conversion")
MISSING = "missing"


@dataclass(slots=True)
class Known:
    """What is known of a model when inputs are sought. `events`: meaning -> names of events.

    `matured`: predictions wait for their labels, so that the join of labels sees cohorts of equal age; `references`:
    feature -> bin -> share; `rows` and `missing`: of the reference by feature.
    """

    families: dict[str, dict[Own, int]]
    events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    matured: bool = False
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)


def inputs(known: Known) -> Iterator[tuple[str, Structure]]:
    """Every input that the counters allow, with its cells and without its history; users before mature.

    `known.families` are those that the baseline has shown.
    """
    families = known.families
    if read.PREDICTIONS in families:
        yield "requests", Structure(("answered", "failed"), ())
    if read.LATENCY in families:
        yield "latency", Structure(_ascending(le for (le,) in families[read.LATENCY]), ())
    if read.CONFUSION in families:
        yield "confusion", Structure(_classes(families), ())
    for loss in LOSSES:
        if f"mlcanary_{loss}_count" in families:
            yield loss, Structure(TRIPLE, ())
    if read.RESIDUALS in families:
        yield "squared_error", Structure(TRIPLE, ())
    ranks = [int(k) for figure, k in families.get(read.FIGURES, {}) if figure == "ndcg" and k.isdecimal()]
    if ranks:
        yield "ndcg", Structure(tuple(f"{part}@{max(ranks)}" for part in TRIPLE), ())
    if read.SCORES in families:
        yield "scores", Structure(_ascending({label for _, label in families[read.SCORES]}), ())
    if known.events:
        if read.USERS in families:
            yield "users", Structure(_ascending(bucket for (bucket,) in families[read.USERS]), ())
        if read.MATURE in families:
            yield "mature", Structure(MATURE, ())
    yield from _coverage(known)
    yield from _features(known)


def _coverage(known: Known) -> Iterator[tuple[str, Structure]]:
    """From the join where predictions mature; else from the cohort whose wait is over, all of equal age as well."""
    if known.matured and read.JOINS in known.families:
        yield "coverage", Structure(DECIDED, ())
    elif not known.matured and read.COHORT in known.families:
        ages = [age for (age,) in known.families.get(read.COHORT_LABELED, {})]
        if ages:
            yield "coverage", Structure((COHORT[0], COHORT[1] + max(ages, key=float)), ())


def _features(known: Known) -> Iterator[tuple[str, Structure]]:
    bins: dict[str, list[str]] = {}
    for feature, label in known.families.get(read.BINS, {}):
        bins.setdefault(feature, []).append(label)
    for feature in sorted(bins):
        labels = bins[feature]
        if OTHER in labels:  # every list of categories ends in it, and no number is called so
            cells = *sorted(set(labels) - {OTHER}), OTHER
        else:
            cells = _ascending(labels)
        kind = "categorical" if OTHER in labels else "numeric"
        yield FEATURE + feature, Structure((*cells, MISSING), (), kind, _reference(known, feature, cells))


def _reference(known: Known, feature: str, cells: Own) -> tuple[float, ...]:
    """Counts of the profile in these cells, missing ones last; empty if the profile has others."""
    shares, rows = known.references.get(feature, {}), known.rows.get(feature, 0.0)
    if set(shares) != set(cells) or rows <= 0:
        return ()
    ratio = known.missing.get(feature, 0.0)
    missing = rows * ratio / (1.0 - ratio) if ratio < 1.0 else 0.0
    return *(float(round(shares[cell] * rows)) for cell in cells), float(round(missing))


def _classes(families: Families) -> Own:
    """Classes that labels or predictions have named so far; numbers in their order, "other" last."""
    names = {name for pair in families[read.CONFUSION] for name in pair}
    names |= {predicted for (predicted,) in families.get(read.PREDICTIONS, {})}
    names -= {OTHER, WRONG, NO_PREDICTION, ANSWERED}
    return *sorted(names, key=lambda name: (_number(name), name)), OTHER


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(number) else number


def _ascending(labels: Iterable[str]) -> Own:
    return tuple(sorted(labels, key=lambda label: (_number(label), label)))


def width(name: str, cells: Own) -> int:
    """Columns of an input."""
    size = len(cells)
    return {"confusion": size * (size + 1), "scores": 2 * size, "users": 5 * size}.get(name, size)


def place(name: str, cells: Own, families: Families, events: Mapping[str, tuple[str, ...]]) -> list[Goal] | None:
    """Where each counter of an input goes; None if a counter of it has no place among the cells.

    `families`: the counters of both arms; `events`: meaning -> names.
    """
    column = {cell: i for i, cell in enumerate(cells)}

    def of(family: str) -> Mapping[Own, int]:
        return families.get(family, {})

    try:
        if name == "requests":
            return [(int(own == (NO_PREDICTION,)), slot, 1.0) for own, slot in of(read.PREDICTIONS).items()]
        if name == "latency":
            return [(column[le], slot, 1.0) for (le,), slot in of(read.LATENCY).items()]
        if name == "confusion":
            return [(_cell(*own, column), slot, 1.0) for own, slot in of(read.CONFUSION).items()]
        if name == "scores":
            row = {POSITIVE: 0, NEGATIVE: len(cells)}
            return [(row[actual] + column[label], slot, 1.0) for (actual, label), slot in of(read.SCORES).items()]
        if name == "users":
            return list(_users(column, families, events))
        if name.startswith(FEATURE):
            return list(_feature(name.removeprefix(FEATURE), column, families))
    except KeyError:
        return None
    return [(i, slot, sign) for i, family, own, sign in _terms(name, cells, events) if (slot := of(family).get(own)) is not None]


def _cell(actual: str, predicted: str, column: Mapping[str, int]) -> int:
    """The place in the matrix of a pair; its last column holds what is wrong among classes without a name."""
    other = len(column) - 1
    row, answer = column.get(actual, other), column.get(predicted, other)
    if row == answer == other and actual != predicted:
        answer = len(column)
    return row * (len(column) + 1) + answer


def _feature(feature: str, column: Mapping[str, int], families: Families) -> Iterator[Goal]:
    for (owner, label), slot in families.get(read.BINS, {}).items():
        if owner == feature:
            yield column[label], slot, 1.0
    slot = families.get(read.FEATURE_MISSING, {}).get((feature,), -1)
    if slot >= 0:
        yield len(column) - 1, slot, 1.0


def _users(column: Mapping[str, int], families: Families, events: Mapping[str, tuple[str, ...]]) -> Iterator[Goal]:
    """Rows: predictions, clicks, conversions, value, squared value."""
    size = len(column)
    for (bucket,), slot in families.get(read.USERS, {}).items():
        yield column[bucket], slot, 1.0
    for (bucket, event), slot in families.get(read.USER_EVENTS, {}).items():
        for row, meaning in enumerate(MEANINGS, 1):
            if event in events.get(meaning, ()):
                yield row * size + column[bucket], slot, 1.0
    for (bucket, sign), slot in families.get(read.USER_VALUE, {}).items():
        yield 3 * size + column[bucket], slot, _SIGNS[sign]
    for (bucket,), slot in families.get(read.USER_SQUARES, {}).items():
        yield 4 * size + column[bucket], slot, 1.0


_SIGNS = {POSITIVE: 1.0, NEGATIVE: -1.0}


def _terms(name: str, cells: Own, events: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[int, str, Own, float]]:
    """Column, family, own labels and sign of the inputs that are a few sums."""
    if name in LOSSES:
        for i, family in enumerate(("_count", "_sum", "_squares_total")):
            yield i, f"mlcanary_{name}{family}", (), 1.0
    elif name == "squared_error":
        yield 0, read.RESIDUALS, (), 1.0
        for sign in ("over", "under"):
            yield 1, read.RESIDUAL_SQUARES, (sign,), 1.0
        yield 2, read.RESIDUAL_POWERS, (), 1.0
    elif name == "ndcg":
        k = cells[0].partition("@")[2]
        yield 0, read.RANKINGS, (k,), 1.0
        yield 1, read.FIGURES, ("ndcg", k), 1.0
        yield 2, read.FIGURE_SQUARES, ("ndcg", k), 1.0
    elif name == "mature":
        yield 0, read.MATURE, (), 1.0
        yield 3, read.MATURE_BOTH, (), 1.0
        for i, meaning in enumerate(MEANINGS, 1):
            for event in events.get(meaning, ()):
                yield i, read.MATURE_EVENTS, (event,), 1.0
        for event in events.get("conversion", ()):
            for sign, factor in _SIGNS.items():
                yield 4, read.MATURE_VALUE, (event, sign), factor
            yield 5, read.MATURE_SQUARES, (event,), 1.0
    elif name == "coverage" and cells == DECIDED:
        for result in (*ARRIVED, *LOST):
            yield 0, read.JOINS, (result,), 1.0
        for result in ARRIVED:
            yield 1, read.JOINS, (result,), 1.0
    elif name == "coverage":
        yield 0, read.COHORT, (), 1.0
        yield 1, read.COHORT_LABELED, (cells[1].removeprefix(COHORT[1]),), 1.0


def settle(name: str, counts: Floats) -> Floats | None:
    """Columns as the contract has them; None if they contradict each other: more events than trials, half a reset."""
    if name == "latency":
        counts = np.diff(counts, prepend=0.0)
    rows = counts.reshape(5, -1) if name == "users" else counts
    bad = bool((counts < 0).any())
    if name in {"mature", "users"}:
        predictions, clicks, conversions = rows[0], rows[1], rows[2]
        bad = bool((rows[:3] < 0).any() or (clicks > predictions).any() or (conversions > predictions).any())
    if name == "mature":
        bad = bad or bool(rows[3] > min(rows[1], rows[2]))
    if name == "coverage":
        bad = bool(counts[1] > counts[0])
    return None if bad else counts
