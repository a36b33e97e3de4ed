"""What the counts of an input mean: found when the input is first seen, and from then on where each counter goes.

Guarantee: pure functions of the counters that a baseline has shown. Cells are fixed at birth: a class that comes later
is "other", a bin that comes later has no place. `place` gives the columns; `settle` turns them into counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mlcanary.catalog import ANSWERED, NEGATIVE, NO_PREDICTION, OTHER, POSITIVE
from mlcanary.judge.contract import FEATURE, Structure
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.pages import Own
from mlcanary.stats.accumulator import Floats

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
ARRIVED, LOST = ("matched", "assumed"), ("expired", "evicted")
MEANINGS = ("click", "conversion")
MISSING = "missing"


@dataclass(slots=True)
class Known:
    """What is known of a model when inputs are sought. `ripe`: families of `TRIALS` with enough trials of the baseline;
    `events`: meaning -> names of events.

    `matured`: predictions wait for their labels, so that the join of labels sees cohorts of equal age; `references`:
    feature -> bin -> share; `rows` and `missing`: of the reference by feature.
    """

    families: dict[str, dict[Own, int]]
    ripe: frozenset[str] = frozenset()
    events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    matured: bool = False
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)


TRIALS = (read.LATENCY, read.CONFUSION, read.MATURE)
"""Families whose cells or whose use depend on what was counted: which edges, which classes, whether users are named."""

RIPENING = frozenset({"latency", "confusion", "mature"})
"""The inputs that wait for them."""

ENOUGH = 200.0
"""Trials of the baseline from which that is settled; a measure of shares is not judged before either."""


def ripe(families: Families, totals: Floats) -> frozenset[str]:
    """Families of `TRIALS` of which enough is counted in `totals`, values by slot."""

    def trials(family: str) -> float:
        slots = families.get(family, {})
        if family == read.LATENCY:  # its buckets are cumulative
            return max((float(totals[slot]) for slot in slots.values()), default=0.0)
        return sum(float(totals[slot]) for slot in slots.values())

    return frozenset(family for family in TRIALS if trials(family) >= ENOUGH)


def inputs(known: Known) -> Iterator[tuple[str, Structure]]:
    """Every input that the counters allow, with its cells and without its history; users before mature.

    `known.families` are those that the baseline has shown.
    """
    families = known.families
    if read.PREDICTIONS in families:
        yield "requests", Structure(("answered", "failed"), ())
    if read.LATENCY in known.ripe:
        yield "latency", Structure(_ascending(le for (le,) in families[read.LATENCY]), ())
    if read.CONFUSION in known.ripe:
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
    if known.events and read.MATURE in known.ripe:
        if read.USERS in families:
            yield "users", Structure(_ascending(bucket for (bucket,) in families[read.USERS]), ())
        yield "mature", Structure(MATURE, ())
    yield from _coverage_of(known)
    yield from _features_of(known)


def _coverage_of(known: Known) -> Iterator[tuple[str, Structure]]:
    """From the join where predictions mature; else from the cohort whose wait is over, all of equal age as well."""
    if known.matured and read.JOINS in known.families:
        yield "coverage", Structure(DECIDED, ())
    elif not known.matured and read.COHORT in known.families:
        ages = [age for (age,) in known.families.get(read.COHORT_LABELED, {})]
        if ages:
            yield "coverage", Structure((COHORT[0], COHORT[1] + max(ages, key=float)), ())


def _features_of(known: Known) -> Iterator[tuple[str, Structure]]:
    bins: dict[str, list[str]] = {}
    for feature, label in known.families.get(read.BINS, {}):
        bins.setdefault(feature, []).append(label)
    for feature in sorted(bins):
        labels = bins[feature]
        named = OTHER in labels  # every list of categories ends in it, and no number is called so
        cells = (*sorted(set(labels) - {OTHER}), OTHER) if named else _ascending(labels)
        kind = "categorical" if named else "numeric"
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


@dataclass(frozen=True, slots=True)
class _View:
    """Slots of the counters of both arms. `events`: meaning -> names; `bins`: feature -> label -> slot."""

    families: Families
    events: Mapping[str, tuple[str, ...]]
    bins: Mapping[str, Mapping[str, int]]

    def of(self, family: str) -> Iterable[tuple[Own, int]]:
        """Own labels and slot of every series of a family."""
        return self.families.get(family, {}).items()

    def one(self, column: int, family: str, *own: str, sign: float = 1.0) -> Iterator[Goal]:
        """The goal of one counter, none where it has never been seen."""
        slot = self.families.get(family, {}).get(own)
        if slot is not None:
            yield column, slot, sign


def place(
    cells: Mapping[str, Own], families: Families, events: Mapping[str, tuple[str, ...]]
) -> dict[str, list[Goal] | None]:
    """Where each counter of each input goes; None if a counter of the input has no place among its cells.

    `cells`: of every input; `families`: the counters of both arms; `events`: meaning -> names.
    """
    bins: dict[str, dict[str, int]] = {}
    for (feature, label), slot in families.get(read.BINS, {}).items():
        bins.setdefault(feature, {})[label] = slot
    view = _View(families, events, bins)
    found: dict[str, list[Goal] | None] = {}
    for name, own in cells.items():
        try:
            found[name] = list(_feature(name, own, view) if name.startswith(FEATURE) else _GOALS[name](own, view))
        except KeyError:  # a counter that the cells do not know
            found[name] = None
    return found


def _columns(cells: Own) -> dict[str, int]:
    return {cell: i for i, cell in enumerate(cells)}


def _requests(cells: Own, view: _View) -> Iterator[Goal]:
    for (predicted,), slot in view.of(read.PREDICTIONS):
        yield int(predicted == NO_PREDICTION), slot, 1.0


def _latency(cells: Own, view: _View) -> Iterator[Goal]:
    column = _columns(cells)
    for (le,), slot in view.of(read.LATENCY):
        yield column[le], slot, 1.0


def _confusion(cells: Own, view: _View) -> Iterator[Goal]:
    """The last column of the matrix holds what is wrong among classes without a name."""
    column, other = _columns(cells), len(cells) - 1
    for (actual, predicted), slot in view.of(read.CONFUSION):
        row, answer = column.get(actual, other), column.get(predicted, other)
        if row == answer == other and actual != predicted:
            answer = len(cells)
        yield row * (len(cells) + 1) + answer, slot, 1.0


def _scores(cells: Own, view: _View) -> Iterator[Goal]:
    column, row = _columns(cells), {POSITIVE: 0, NEGATIVE: len(cells)}
    for (actual, label), slot in view.of(read.SCORES):
        yield row[actual] + column[label], slot, 1.0


def _feature(name: str, cells: Own, view: _View) -> Iterator[Goal]:
    column, feature = _columns(cells[:-1]), name.removeprefix(FEATURE)  # a category may be called "missing"
    for label, slot in view.bins.get(feature, {}).items():
        yield column[label], slot, 1.0
    yield from view.one(len(cells) - 1, read.FEATURE_MISSING, feature)


def _users(cells: Own, view: _View) -> Iterator[Goal]:
    """Rows: predictions, clicks, conversions, value, squared value."""
    column, size = _columns(cells), len(cells)
    for (bucket,), slot in view.of(read.USERS):
        yield column[bucket], slot, 1.0
    for (bucket, event), slot in view.of(read.USER_EVENTS):
        for row, meaning in enumerate(MEANINGS, 1):
            if event in view.events.get(meaning, ()):
                yield row * size + column[bucket], slot, 1.0
    for (bucket, sign), slot in view.of(read.USER_VALUE):
        yield 3 * size + column[bucket], slot, _SIGNS[sign]
    for (bucket,), slot in view.of(read.USER_SQUARES):
        yield 4 * size + column[bucket], slot, 1.0


def _mature(cells: Own, view: _View) -> Iterator[Goal]:
    yield from view.one(0, read.MATURE)
    for column, meaning in enumerate(MEANINGS, 1):
        for event in view.events.get(meaning, ()):
            yield from view.one(column, read.MATURE_EVENTS, event)
    yield from view.one(3, read.MATURE_BOTH)
    for event in view.events.get(MEANINGS[1], ()):
        for sign, factor in _SIGNS.items():
            yield from view.one(4, read.MATURE_VALUE, event, sign, sign=factor)
        yield from view.one(5, read.MATURE_SQUARES, event)


_SIGNS = {POSITIVE: 1.0, NEGATIVE: -1.0}


def _coverage(cells: Own, view: _View) -> Iterator[Goal]:
    if cells != DECIDED:
        yield from view.one(0, read.COHORT)
        yield from view.one(1, read.COHORT_LABELED, cells[1].removeprefix(COHORT[1]))
        return
    for result in (*ARRIVED, *LOST):
        yield from view.one(0, read.JOINS, result)
    for result in ARRIVED:
        yield from view.one(1, read.JOINS, result)


def _residuals(cells: Own, view: _View) -> Iterator[Goal]:
    yield from view.one(0, read.RESIDUALS)
    for sign in ("over", "under"):
        yield from view.one(1, read.RESIDUAL_SQUARES, sign)
    yield from view.one(2, read.RESIDUAL_POWERS)


def _ndcg(cells: Own, view: _View) -> Iterator[Goal]:
    k = cells[0].partition("@")[2]
    yield from view.one(0, read.RANKINGS, k)
    yield from view.one(1, read.FIGURES, "ndcg", k)
    yield from view.one(2, read.FIGURE_SQUARES, "ndcg", k)


def _loss(name: str) -> Callable[[Own, _View], Iterator[Goal]]:
    def goals(cells: Own, view: _View) -> Iterator[Goal]:
        for column, part in enumerate(("_count", "_sum", "_squares_total")):
            yield from view.one(column, f"mlcanary_{name}{part}")

    return goals


_GOALS: Mapping[str, Callable[[Own, _View], Iterator[Goal]]] = {
    "requests": _requests,
    "latency": _latency,
    "confusion": _confusion,
    "scores": _scores,
    "users": _users,
    "mature": _mature,
    "coverage": _coverage,
    "squared_error": _residuals,
    "ndcg": _ndcg,
    **{name: _loss(name) for name in LOSSES},
}


def width(name: str, cells: Own) -> int:
    """Columns of an input."""
    size = len(cells)
    return {"confusion": size * (size + 1), "scores": 2 * size, "users": 5 * size}.get(name, size)


INTRICATE = frozenset({"latency", "mature", "users", "coverage"})
"""Inputs whose columns must be settled; of the others it is enough that none is below 0."""


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
