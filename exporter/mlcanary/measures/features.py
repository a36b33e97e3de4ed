"""Features: their values, what is missing or of another type, and the counts over the bins of the reference.

Without a reference profile the feature names are learnt, and a feature whose first value is a number has mean, variance
and extremes; bins, ranges and drift need a reference. The model's own output is the feature `prediction`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import NoneType
from typing import NamedTuple

import numpy as np

from mlcanary.catalog import FEATURES, PREDICTION_FEATURE, Task
from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import Measure, names_counted, run, sample
from mlcanary.measures.drift import DRIFT_FAMILIES, Live, drift
from mlcanary.measures.feature_columns import NameCounts, NumberColumns, bin_counts, kept_range, outside
from mlcanary.measures.feature_gauges import GAUGES, KINDS, MOMENTS, FeatureWindow, has_all_names, has_range, unusable
from mlcanary.measures.feature_stack import Cells, chosen, stack_of
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import (
    CategoricalReference,
    FeatureReference,
    NumericReference,
    Reference,
    floats_of,
)
from mlcanary.records import Prediction, Run, Sample, Shown, one_by_one
from mlcanary.stats.accumulator import Floats, Tally
from mlcanary.stats.extremes import Extremes
from mlcanary.stats.moments import moment_sums
from mlcanary.stats.named_rows import NamedRows
from mlcanary.stats.roc_auc import below

FIELDS = ("missing", "mistyped", "outside", "unseen", "numeric", *KINDS, *MOMENTS)
"""Counters of a feature. `numeric` is above 0 where a learnt feature began with a number."""

_MISSING, _MISTYPED, _OUTSIDE, _UNSEEN, _NUMERIC = range(5)
_KINDS, _MOMENTS = slice(5, 9), slice(9, 13)
_KIND = {int: "number", float: "number", str: "text", bool: "boolean"}
_NUMBER = FIELDS.index("number")
_ABSENT_OR_NUMBER = frozenset({int, float, NoneType})
_NUMERIC_TASKS = frozenset({Task.BINARY, Task.REGRESSION})
_BLOCK = 32
"""Features whose numbers are held as one array at a time: enough to pay for numpy's calls, small for its caches."""


class _Cells(NamedTuple):
    """Bins that are shown, and those of numbers."""

    all: Cells
    numeric: Cells


class FeatureMeasure(Measure):
    """A row of counters per feature, and a vector of bin counts per feature of the reference."""

    stage = FEATURES
    families = (
        "mlcanary_feature_bin_total",
        "mlcanary_feature_below_total",
        "mlcanary_feature_missing_total",
        "mlcanary_feature_mistyped_total",
        "mlcanary_feature_values_total",
        "mlcanary_feature_numbers_total",
        "mlcanary_feature_deviation_total",
        "mlcanary_feature_deviation_squares_total",
        "mlcanary_feature_center",
        "mlcanary_feature_out_of_range_total",
        "mlcanary_feature_unseen_total",
        "mlcanary_feature_unexpected_total",
        *dict.fromkeys((*DRIFT_FAMILIES, *GAUGES)),
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self._watched = _watched(plan)
        self._hidden: frozenset[str] = frozenset()
        self._stack_up()
        self._gauges_hidden = False
        output = (PREDICTION_FEATURE,) if plan.task in _NUMERIC_TASKS else ()
        self.parts = {
            "rows": Tally({("rows",): 0.0}),
            "values": NamedRows.empty(FIELDS, dict.fromkeys([*self._watched, *output])),
            "unexpected": Tally(),
            **{f"bins {name}": watched.empty() for name, watched in self._watched.items()},
        }
        self.slots = {"extremes": Extremes()}

    def leave_out(self, classes: Collection[str], features: Collection[str]) -> None:
        """Make no samples of these features, and no gauges at all if the class says so."""
        self._hidden, self._gauges_hidden = frozenset(features), "feature_gauges" in classes
        self._stack_up()

    def _stack_up(self) -> None:
        """What the samples of the features need of their references."""
        self._stack = stack_of(self._watched, profiled=self.plan.reference is not None)
        shown = np.array([name not in self._hidden for name in self._watched], dtype=bool)
        self._cells = _Cells(self._stack.cells.among(shown), self._stack.numeric_cells.among(shown))

    def replan(self, plan: ModelPlan) -> None:
        """Compare with the counts of the new plan's reference from now on."""
        super().replan(plan)
        self._watched = _watched(plan)
        self._stack_up()

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count every feature of every answered request."""
        answered = [p for p in batch if p.error is None]
        if not answered:
            return
        rows = [p.features for p in answered]
        self.parts["rows"].add(("rows",), float(len(rows)))
        first_seen = self._meet(rows)
        outputs = _outputs(self.plan.task, answered)
        if self.plan.task in _NUMERIC_TASKS:  # a state of before the task was changed does not know it
            self.parts["values"].learn(PREDICTION_FEATURE)
        names = list(self.parts["values"].names)
        for start in range(0, len(names), _BLOCK):
            self._count(
                {
                    name: outputs if name == PREDICTION_FEATURE else [row.get(name) for row in rows]
                    for name in names[start : start + _BLOCK]
                },
                first_seen,
            )

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count every feature of columns, whose types are known beforehand."""
        features = batch.features
        if self.plan.reference is None or PREDICTION_FEATURE in {*features.numbers, *features.texts.names}:
            super().on_prediction_columns(batch)
            return
        self.parts["rows"].add(("rows",), float(len(batch)))
        for name, count in features.strange.items():
            self.parts["unexpected"].add(self.capped("unexpected", name, "features"), float(count))
        names, matrix = features.numbers, features.matrix
        if self.plan.task is Task.BINARY:
            self.parts["values"].learn(PREDICTION_FEATURE)
            names, matrix = (*names, PREDICTION_FEATURE), np.concatenate([matrix, batch.score[None, :]])
        texts = features.texts.counts()
        if self.plan.task is Task.MULTICLASS and PREDICTION_FEATURE in self._watched:
            texts[PREDICTION_FEATURE] = Counter(dict(names_counted(batch.predicted, batch.classes)))
        table = np.zeros((len(names) + len(texts), len(FIELDS)))
        if names:
            self._count_sorted(names, NumberColumns.of(matrix, np.array(list(map(self._center, names)))), table)
        for (name, counts), gained in zip(texts.items(), table[len(names) :], strict=True):
            self._count_names(name, counts, gained)
        self.parts["values"].add_rows([*names, *texts], table)

    def _count_sorted(self, names: Sequence[str], numbers: NumberColumns, table: Floats) -> None:
        width = numbers.ordered.shape[1]
        rows = table[: len(names)]
        rows[:, _MISSING], rows[:, _MISTYPED] = numbers.missing, numbers.infinite
        rows[:, _NUMBER], rows[:, _MOMENTS] = width - numbers.missing, numbers.sums
        for i, name in enumerate(names):
            present = numbers.present(i)
            watched = self._watched.get(name)
            if not len(present):
                continue
            self.slots["extremes"].update(name, float(present[0]), float(present[-1]))
            if isinstance(watched, NumericReference):
                self.parts[f"bins {name}"].values += bin_counts(present, watched)
                rows[i, _OUTSIDE] = outside(present, *kept_range(watched))
            elif not self.parts["values"].of(name)[_KINDS].any():
                rows[i, _NUMERIC] = 1.0

    def _count_names(self, name: str, counts: Mapping[str | None, int], gained: Floats) -> None:
        watched = self._watched[name]
        assert isinstance(watched, CategoricalReference)  # noqa: S101 - the layout of the columns says so
        found = NameCounts.of(counts, watched)
        self.parts[f"bins {name}"].values += found.bins
        gained[_MISSING], gained[_UNSEEN] = found.missing, found.unseen
        gained[FIELDS.index("text")] = sum(counts.values()) - found.missing

    def _meet(self, rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
        """Learn or count names that are not known; where learnt, each with the row that had it first."""
        known = self.parts["values"].names
        strange: Counter[str] = Counter()
        for layout, count in Counter(map(tuple, rows)).items():
            for name in layout:
                if name not in known or name == PREDICTION_FEATURE:
                    strange[name] += count
        if self.plan.reference is None:
            return self._learn(rows, strange) if strange else {}
        for name, count in strange.items():
            self.parts["unexpected"].add(self.capped("unexpected", name, "features"), float(count))
        return {}

    def _learn(self, rows: Sequence[Mapping[str, object]], strange: Mapping[str, int]) -> dict[str, int]:
        """Learn feature names; before the row that had one first, nobody could miss it."""
        values: NamedRows = self.parts["values"]
        room = self.plan.limits.features - len(values.names.keys() - {PREDICTION_FEATURE})
        first_seen: dict[str, int] = {}
        for i, row in enumerate(rows):
            for name in row:
                if name not in strange or name in first_seen:
                    continue
                if len(first_seen) < room and name != PREDICTION_FEATURE:
                    first_seen[name] = i
                else:
                    self._folded.add(("features", name))
        values.learn(*first_seen)
        return first_seen

    def _count(self, columns: Mapping[str, list[object]], first_seen: Mapping[str, int]) -> None:
        """Count the values of some features, given row by row."""
        values: NamedRows = self.parts["values"]
        known = values.values[[values.names[name] for name in columns]]
        numeric: list[bool] = (known[:, _NUMERIC] > 0).tolist()
        typed: list[bool] = (known[:, _KINDS].sum(axis=1) > 0).tolist()
        table = np.zeros(known.shape)
        numbers: dict[str, Floats] = {}
        for i, (name, column) in enumerate(columns.items()):
            gained = table[i]
            types = set(map(type, column))
            absent = column.count(None) if NoneType in types else 0
            gained[_MISSING] = absent - first_seen.get(name, 0)
            if absent == len(column):
                continue
            _count_kinds(types, column, absent, gained)
            watched = self._watched.get(name)
            if isinstance(watched, CategoricalReference):
                bins = watched.bin_numbers(column)
                placed = bins[bins >= 0]
                self.parts[f"bins {name}"].add(placed)
                gained[_MISTYPED] = len(column) - absent - len(placed)
                if watched.complete:
                    gained[_UNSEEN] = watched.unseen(column, bins)
            elif watched is None and not typed[i]:  # the first value ever decides what a learnt feature is
                first = next(value for value in column if value is not None)
                numeric[i] = _kind(type(first)) == "number"
                gained[_NUMERIC] = float(numeric[i])
            if numeric[i] or isinstance(watched, NumericReference):
                numbers[name] = floats_of(column, types)
                gained[_MISTYPED] = len(column) - absent  # those that are numbers are taken off below
        if numbers:
            self._count_numbers(numbers, dict(zip(columns, table, strict=True)))
        values.add_rows(list(columns), table)

    def _count_numbers(self, numbers: Mapping[str, Floats], gained: Mapping[str, Floats]) -> None:
        """Bins, moments, range and extremes of numeric features; what is not finite is no number."""
        matrix = np.stack(list(numbers.values()))
        absent = ~np.isfinite(matrix)
        if absent.any():
            matrix[absent] = np.nan
        counts = (matrix.shape[1] - absent.sum(axis=1)).tolist()
        least, greatest = np.fmin.reduce(matrix, axis=1).tolist(), np.fmax.reduce(matrix, axis=1).tolist()
        sums = moment_sums(matrix, np.array([self._center(name) for name in numbers]))
        for i, (name, count) in enumerate(zip(numbers, counts, strict=True)):
            gained[name][_MISTYPED] -= count
            gained[name][_MOMENTS] = sums[i]
            if count == 0:
                continue
            self.slots["extremes"].update(name, least[i], greatest[i])
            watched = self._watched.get(name)
            if isinstance(watched, NumericReference):
                present = matrix[i] if count == matrix.shape[1] else matrix[i][~absent[i]]
                self.parts[f"bins {name}"].update_many(present)
                low, high = kept_range(watched)
                if least[i] < low or greatest[i] > high:
                    gained[name][_OUTSIDE] = np.count_nonzero((present < low) | (present > high))

    def _center(self, name: str) -> float:
        watched = self._watched.get(name)
        return watched.center if isinstance(watched, NumericReference) else 0.0

    def _numeric_names(self) -> Iterator[str]:
        """Features that are measured as numbers."""
        values: NamedRows = self.parts["values"]
        for name, flag in zip(values.names, values.column("numeric").tolist(), strict=True):
            if (flag or isinstance(self._watched.get(name), NumericReference)) and name not in self._hidden:
                yield name

    def counters(self) -> Iterator[Sample]:
        """Bin and below counts, sums for the moments, and what is missing, mistyped, out of range or unheard of."""
        return one_by_one(self.counter_runs())

    def counter_runs(self) -> Iterator[Shown]:
        """The same, a run for each family."""
        stack, values = self._stack, self.parts["values"]
        totals, under = self._counts(), self._cells.numeric
        yield from run("feature_bin_total", self._cells.all.labels, self._cells.all.of(totals))
        yield from run("feature_below_total", under.labels, under.of(below(totals)))
        yield from self._value_counters()
        yield from self._moment_counters()
        for name, watched in stack.watched.items():
            if name in self._hidden:
                continue
            if has_range(watched):
                yield sample("feature_out_of_range_total", (name,), values.get(name, "outside"))
            elif has_all_names(watched):
                yield sample("feature_unseen_total", (name,), values.get(name, "unseen"))
        for (name,), count in self.parts["unexpected"].items():
            yield sample("feature_unexpected_total", (name,), count)

    def _counts(self) -> Floats:
        """The bins of all watched features, a row for each."""
        return self._stack.filled([self.parts[f"bins {name}"].values for name in self._stack.names])

    def _value_counters(self) -> Iterator[Run]:
        values: NamedRows = self.parts["values"]
        names = [name for name in values.names if name != PREDICTION_FEATURE and name not in self._hidden]
        rows = values.values[[values.names[name] for name in names]]
        lacking = unusable(values, self._watched)[[values.names[name] for name in names]]
        yield from run("feature_missing_total", [(name,) for name in names], lacking)
        watched = np.array([name in self._watched for name in names], dtype=bool)
        yield from run("feature_mistyped_total", chosen([(name,) for name in names], watched), rows[watched, _MISTYPED])
        kinds = [(name, kind) for name in names for kind in KINDS]
        yield from run("feature_values_total", kinds, rows[:, _KINDS].ravel())

    def _moment_counters(self) -> Iterator[Run]:
        values: NamedRows = self.parts["values"]
        names = list(self._numeric_names())
        sums = values.values[[values.names[name] for name in names], _MOMENTS]
        labels = [(name,) for name in names]
        signed = [(name, sign) for name in names for sign in ("positive", "negative")]
        yield from run("feature_numbers_total", labels, sums[:, 0])
        yield from run("feature_deviation_total", signed, sums[:, 1:3].ravel())
        yield from run("feature_deviation_squares_total", labels, sums[:, 3])

    def facts(self, now: float) -> Iterator[Sample]:
        """What the deviations are taken from."""
        for name in self._numeric_names():
            yield sample("feature_center", (name,), self._center(name))

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Drift, and what the values of the window are like."""
        return one_by_one(self.gauge_runs(seconds))

    def gauge_runs(self, seconds: float) -> Iterator[Shown]:
        """The same, a run for each family."""
        if self._gauges_hidden:
            return
        counts, rows = self._counts(), self.parts["rows"].total()
        values: NamedRows = self.parts["values"]
        known = dict(zip(values.names, unusable(values, self._watched).tolist(), strict=True))
        missing = [math.nan if name == PREDICTION_FEATURE else known.get(name, 0.0) for name in self._stack.names]
        yield from drift(self._stack, Live(counts, np.array(missing), rows))
        yield from FeatureWindow(
            rows,
            values,
            self.slots["extremes"].of,
            {name for (name,), count in self.parts["unexpected"].items() if count > 0},
            self._stack,
            counts,
        ).runs()


def _watched(plan: ModelPlan) -> dict[str, FeatureReference]:
    """References of the features, and that of the model's output."""
    if plan.reference is None:
        return {}
    output = _output_reference(plan.task, plan.reference)
    return {**plan.reference.features, **({} if output is None else {PREDICTION_FEATURE: output})}


def _output_reference(task: Task, reference: Reference) -> FeatureReference | None:
    """The reference of what the task gives, if the profile was made for it."""
    if task is Task.BINARY:
        return reference.score
    wanted = {Task.REGRESSION: NumericReference, Task.MULTICLASS: CategoricalReference}.get(task)
    return reference.prediction if wanted is not None and isinstance(reference.prediction, wanted) else None


def _outputs(task: Task, answered: Sequence[Prediction]) -> list[object]:
    """What the model gave, row by row: a score, a class or a number; None where it gave none."""
    if task is Task.BINARY:
        return [p.score for p in answered]
    return [p.predicted if task is Task.MULTICLASS else _predicted_number(p.predicted) for p in answered]


def _predicted_number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _kind(kind: type) -> str:
    return _KIND.get(kind, "other")


def _count_kinds(types: set[type], column: Sequence[object], absent: int, gained: Floats) -> None:
    """Count values by their kind in JSON."""
    if types <= _ABSENT_OR_NUMBER:
        gained[_NUMBER] = len(column) - absent
        return
    for found, count in Counter(map(type, column)).items():
        if found is not NoneType:
            gained[FIELDS.index(_kind(found))] += count
