"""Does the baseline degrade against its own past? Then the cause is shared, and going back to it would not help. Pure.

Guarantee: only counts of the baseline are looked at, so no fault of the canary alone shows here. A measure is degraded
while it is worse than before by more than its margin AND by more than 4.26 standard errors (as in the windowed rules:
by chance 2e-5 per look), over the last 5, 10, ... 30 minutes or the newest 200 observations: the longest is sure, the
others quick. It recovers with the baseline; what has lasted for 6 hours is no incident but the new past.
Input: the steps, see `BaselineWatch.update`; before is what the baseline had counted when the canary began, where that
is 200 observations, else the first 200 that were judged.
Cost: O(inputs) per step, and once in 5 minutes; 27 numbers per measure and feature.
Error: users who send many requests make a false word likelier; it suspends for half an hour at most.
A rate that moves with the hour (CTR at night) is told too, once it lies under its mean by the margin: a season.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog.judge import MARGINS, RELATIVE_MARGINS, Family
from mlcanary.catalog.objectives import OBJECTIVES
from mlcanary.judge.contract import FEATURE, Step, Structure
from mlcanary.judge.gates.sub_windows import SubWindows
from mlcanary.judge.measures.registry import latency_edges
from mlcanary.judge.sentences import percent, spelled
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.share_change import share_change

ENOUGH = 200.0
"""Observations under which nothing is said."""

BEYOND_CHANCE = 4.26
MISSING_MARGIN = 0.05
"""Share of a feature's values that may go missing beyond what was usual: the objective feature_missing_ratio."""
COVERAGE_MARGIN = 0.10
LASTING = 6 * 3600.0
"""Judged seconds after which a shared cause is taken for the normal state: a baseline that has slowly drifted away
from its past must not keep every canary from a verdict, and arms that are compared at the same time stay comparable.
"""


_SLOTS, _SLOT_SECONDS = 6, 300.0
_BEFORE, _PENDING, _NEWEST = 0, 1 + _SLOTS, 2 + _SLOTS
"""Rows of a series: before, the sub-windows, the newest observations up to 200, the 200 before those."""
_ROWS = 3 + _SLOTS
_COVERAGE = "label_coverage"
_FALLS = frozenset({"ndcg", "ctr", "cvr", "conversion", "value", _COVERAGE})
"""Series of which less is worse."""
_MEANS = frozenset({"log_loss", "squared_error", "ndcg", "value"})
_NAMES = {"errors": "failed requests", "slow": "slow requests", "accuracy": "wrong predictions"}

Sums = tuple[float, float, float]
"""Observations, their sum, and the sum of their squares."""


@dataclass(slots=True)
class BaselineWatch:
    """What the baseline did before and does now. `margins`: by measure, in its unit; absent: the objective.

    >>> watch = BaselineWatch({})
    >>> born = {"requests": Structure(("answered", "failed"), (9_900.0, 100.0))}
    >>> for i in range(1, 6):
    ...     watch.update(Step(30.0 * i - 30, 30.0 * i, {}, {"requests": (800.0, 200.0)}, born if i == 1 else {}))
    >>> watch.degraded()
    ('failed requests 20.00 %, before 1.00 %',)
    """

    margins: dict[str, float] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    """Measure or feature/NAME -> its place in `series` and `limits`."""
    series: Floats = field(default_factory=lambda: np.zeros((0, _ROWS, 3)))
    """Observations, sum, squares, in rows as above; shape (S, 9, 3)."""
    limits: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    """1 where more is worse and -1 where less is, margin, and 1 where that is a part of the past; shape (S, 3)."""
    since: dict[str, float] = field(default_factory=dict)
    """Series that are degraded now -> end of the step at which they began to be."""
    words: list[str] = field(default_factory=list)
    """What is said of these."""
    first: dict[str, Floats] = field(default_factory=dict)
    """Latencies by bucket until it is known which are slow."""
    slow_from: int = -1
    """First bucket of slow requests; -1: not known yet."""
    classes: int = 0
    ring: SubWindows = field(default_factory=lambda: SubWindows(_SLOTS, _SLOT_SECONDS))

    def update(self, step: Step) -> None:
        """Add what the baseline gained in a step. Steps whose counts are not trusted must not be given."""
        for name, structure in step.born.items():
            self._remember(name, structure)
        slot, emptied = self.ring.turn(step.end)
        self.series[:, [1 + i for i in emptied]] = 0.0
        gained = dict(self._gained(step))
        if gained:
            places = np.array([self._place(name) for name in gained])
            self._add(places, 1 + slot, np.array(list(gained.values())))
        found = {name: now for name, now in self._look().items() if not self._lasts(name, now, step.end)}
        self.since = {name: self.since.get(name, step.end) for name in found}
        self.words = [_in_words(name, now, self.series[self.places[name], _BEFORE]) for name, now in found.items()]

    def degraded(self) -> tuple[str, ...]:
        """What of the baseline is worse than before, in words; empty while nothing is."""
        return tuple(self.words)

    def concerned(self) -> tuple[Family, ...]:
        """Families that a cause of what is worse now may concern: each its own, and what rests on it."""
        found = {family for name in self.since for family in _CONCERNED.get(name.partition("/")[0], (Family.QUALITY,))}
        return tuple(family for family in Family if family in found)

    def _lasts(self, name: str, now: Floats, end: float) -> bool:
        """Whether a series has been degraded for so long that it is the past from now on."""
        if end - self.since.get(name, end) < LASTING:
            return False
        rows = self.series[self.places[name]]
        half_hour = rows[1 : 1 + _SLOTS].sum(axis=0)
        rows[_BEFORE] = half_hour if half_hour[0] >= ENOUGH else now
        return True

    def _look(self) -> dict[str, Floats]:
        """Series that are worse than before, and the sums that show it."""
        order = 1 + np.argsort(-self.ring.numbers, kind="stable")
        before, pending = self.series[:, _BEFORE], self.series[:, _PENDING]
        newest = pending + np.where(pending[:, :1] < ENOUGH, self.series[:, _NEWEST], 0.0)
        windows = np.concatenate([self.series[:, order].cumsum(axis=1), newest[:, None]], axis=1)
        usual = before[:, 1] / np.maximum(before[:, 0], 1.0)
        sign, margin, relative = self.limits.T
        margin = margin * np.where(relative > 0, np.abs(usual), 1.0)
        excess = sign[:, None] * (windows[..., 1] / np.maximum(windows[..., 0], 1.0) - usual[:, None])
        enough = (windows[..., 0] >= ENOUGH) & (before[:, 0] >= ENOUGH)[:, None]
        suspect = enough & (excess > margin[:, None])
        found = {}
        for name, i in self.places.items():
            for now in windows[i, suspect[i]][::-1]:
                if sign[i] * _standard_errors(name, now, before[i]) > BEYOND_CHANCE:
                    found[name] = now
                    break
        return found

    def _gained(self, step: Step) -> Iterator[tuple[str, Sums]]:
        for name, counts in step.baseline.items():
            if name == "latency" and self.slow_from < 0:
                self._learn_slow(counts)
            else:
                yield from self._observed(name, counts)

    def _place(self, name: str) -> int:
        """Place of a series, which begins if it is new."""
        if name not in self.places:
            self.places[name] = len(self.places)
            limits = [-1.0 if name in _FALLS else 1.0, _margin(name, self.margins), float(name in RELATIVE_MARGINS)]
            self.series = np.concatenate([self.series, np.zeros((1, _ROWS, 3))])
            self.limits = np.concatenate([self.limits, [limits]])
        return self.places[name]

    def _remember(self, name: str, structure: Structure) -> None:
        """Take what an input had counted before as its past."""
        if name == "confusion":
            self.classes = len(structure.cells)
        if name == "latency":
            self._learn_slow(structure.history)
            return
        for series, sums in self._observed(name, structure.history):
            place = self._place(series)
            if sums[0] >= ENOUGH:
                self.series[place, _BEFORE] = sums

    def _learn_slow(self, counts: tuple[float, ...]) -> None:
        """Choose the slow buckets once 200 latencies are known, as the measure `slow` does."""
        if not counts:
            return
        seen = self.first.get("latency", np.zeros(len(counts))) + np.asarray(counts)
        total = float(seen.sum())
        self.first["latency"] = seen
        if total < ENOUGH:
            return
        edges, primary = latency_edges(seen)
        if edges:
            self.slow_from = edges[primary] + 1
            place = self._place("slow")
            self.series[place, _BEFORE] = _share(total, float(seen[self.slow_from :].sum()))

    def _observed(self, name: str, counts: tuple[float, ...]) -> list[tuple[str, Sums]]:
        """Series of an input, and what its counts add to them."""
        if not counts:
            return []
        if name.startswith(FEATURE):
            return [(name, _share(sum(counts), counts[-1]))]
        if name == "latency":
            return [("slow", _share(sum(counts), sum(counts[self.slow_from :])))]
        if name == "confusion":
            total = sum(counts)
            right = sum(counts[:: self.classes + 2])
            return [("accuracy", _share(total, total - right))]
        return _SERIES[name](counts) if name in _SERIES else []

    def _add(self, places: NDArray[np.intp], slot: int, sums: Floats) -> None:
        """Add to the past of a series until that is enough, then to what came after it."""
        rows = self.series[places]
        past = rows[:, _BEFORE, 0] < ENOUGH
        full = ~past & (rows[:, _PENDING, 0] >= ENOUGH)
        rows[full, _NEWEST] = rows[full, _PENDING]
        rows[full, _PENDING] = 0.0
        rows[past, _BEFORE] += sums[past]
        rows[~past, slot] += sums[~past]
        rows[~past, _PENDING] += sums[~past]
        self.series[places] = rows


def _share(trials: float, events: float) -> Sums:
    return trials, events, events


def _mean(name: str, counts: tuple[float, ...]) -> list[tuple[str, Sums]]:
    return [(name, (counts[0], counts[1], counts[2]))]


def _mature(counts: tuple[float, ...]) -> list[tuple[str, Sums]]:
    n, clicks, conversions, clicked, value, squares = counts
    shares = [("ctr", _share(n, clicks)), ("cvr", _share(clicks, clicked)), ("conversion", _share(n, conversions))]
    return [*shares, ("value", (n, value, squares))]


_SERIES: dict[str, Callable[[tuple[float, ...]], list[tuple[str, Sums]]]] = {
    "requests": lambda counts: [("errors", _share(counts[0] + counts[1], counts[1]))],
    "coverage": lambda counts: [(_COVERAGE, _share(counts[0], counts[1]))],
    "mature": _mature,
    **{name: partial(_mean, name) for name in ("log_loss", "squared_error", "ndcg")},
}
"""Input of fixed layout -> its series."""


_CONCERNED: dict[str, tuple[Family, ...]] = {
    "errors": (Family.ERRORS,),
    "slow": (Family.LATENCY,),
    **dict.fromkeys(("ctr", "cvr", "conversion", "value"), (Family.BUSINESS,)),
    "feature": (Family.FEATURES, Family.QUALITY, Family.BUSINESS),
    _COVERAGE: (Family.QUALITY, Family.BUSINESS),
}
"""Series -> families; figures of quality concern quality."""


def _margin(name: str, margins: Mapping[str, float]) -> float:
    if name.startswith(FEATURE):
        return MISSING_MARGIN
    if name == _COVERAGE:
        return COVERAGE_MARGIN
    return margins[name] if name in margins else _OBJECTIVES[MARGINS.get(name, "business_drop")]


_OBJECTIVES = {objective.name: objective.default for objective in OBJECTIVES}


def _standard_errors(name: str, now: Floats, before: Floats) -> float:
    """Difference now minus before in standard errors."""
    (n, total, squares), (m, total_0, squares_0) = (map(float, now), map(float, before))
    if name not in _MEANS:
        return share_change(total, n, total_0, m) if 0 < total + total_0 < n + m else 0.0
    difference = total / n - total_0 / m
    # Few values of a skewed kind (orders, losses) often lack the large ones, and then seem to hardly vary.
    usual = max(squares_0 / m - (total_0 / m) ** 2, 0.0)
    variance = max(squares / n - (total / n) ** 2, usual) / n + usual / m
    return difference / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, difference)


def _in_words(name: str, now: Floats, before: Floats) -> str:
    figure, usual = float(now[1] / now[0]), float(before[1] / before[0])
    if name.startswith(FEATURE):
        return f"feature {name.removeprefix(FEATURE)} missing in {percent(figure)}, before {percent(usual)}"
    words = _NAMES.get(name, spelled(name))
    if name in _MEANS:
        return f"{words} {figure:.4g}, before {usual:.4g}"
    return f"{words} {percent(figure)}, before {percent(usual)}"
