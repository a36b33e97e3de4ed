"""Features against the reference: counts per bin, missing and mistyped values, Kolmogorov-Smirnov distance.

Without a reference profile the feature names are learnt and missing values counted; drift needs a reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mlcanary.catalog import PREDICTION_FEATURE
from mlcanary.measures.contract import Measure, sample
from mlcanary.measures.drift import DRIFT_FAMILIES, Live, drift
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import FeatureReference, NumericReference
from mlcanary.records import Prediction, Sample, canonical_class
from mlcanary.stats.accumulator import Floats, Tally
from mlcanary.stats.roc_auc import below

_NUMBERS = {int, float}


class FeatureMeasure(Measure):
    """A vector of bin counts per feature of the reference; the model's own score is feature `prediction`."""

    families = (
        "mlcanary_feature_bin_total",
        "mlcanary_feature_below_total",
        "mlcanary_feature_missing_total",
        "mlcanary_feature_mistyped_total",
        "mlcanary_window_feature_missing_ratio",
        *DRIFT_FAMILIES,
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self._features, self._watched = _watched(plan)
        self._bin_labels = {name: watched.bins for name, watched in self._watched.items()}
        names: dict[tuple[str, ...], float] = {(name,): 0.0 for name in self._features}
        self.parts = {
            "rows": Tally({("rows",): 0.0}),
            "missing": Tally(dict(names)),
            "mistyped": Tally(dict(names)),
            **{f"bins {name}": watched.empty() for name, watched in self._watched.items()},
        }

    def replan(self, plan: ModelPlan) -> None:
        """Compare with the counts of the new plan's reference from now on."""
        super().replan(plan)
        self._features, self._watched = _watched(plan)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count every feature of every answered request."""
        rows = [p.features for p in batch if p.error is None]
        if not rows:
            return
        self.parts["rows"].add(("rows",), float(len(rows)))
        first_seen = self._learn(rows) if self.plan.reference is None else {}
        missing = self.parts["missing"]
        for name in [name for (name,) in missing.counts]:
            column = [row.get(name) for row in rows[first_seen.get(name, 0) :]]
            absent = column.count(None)
            if absent:
                missing.add((name,), float(absent))
            reference = self._features.get(name)
            if reference is not None and absent < len(column):
                self._count(name, reference, column)
        if PREDICTION_FEATURE in self._watched:
            scores = [p.score for p in batch if p.error is None and p.score is not None]
            if scores:
                self.parts[f"bins {PREDICTION_FEATURE}"].update_many(scores)

    def _learn(self, rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
        """Learn feature names, each with the row that had it first: before, nobody could miss it."""
        missing = self.parts["missing"]
        first_seen: dict[str, int] = {}
        for i, row in enumerate(rows):
            if len(row) <= len(missing.counts) and all((name,) in missing.counts for name in row):
                continue
            for name in row:
                if (name,) in missing.counts:
                    continue
                if len(missing.counts) < self.plan.limits.features:
                    missing.add((name,), 0.0)
                    first_seen[name] = i
                else:
                    self._folded.add(("features", name))
        return first_seen

    def _count(self, name: str, reference: FeatureReference, column: list[object]) -> None:
        """Bin the values of one feature; what is not of the reference's type is counted as mistyped."""
        bins = self.parts[f"bins {name}"]
        if isinstance(reference, NumericReference):
            if set(map(type, column)) <= _NUMBERS and (numeric := _finite(column)) is not None:
                bins.update_many(numeric)
                return
            present = [value for value in column if value is not None]
            numbers = [value for value in map(_number, present) if value is not None]
            if numbers:
                bins.update_many(numbers)
            wrong = len(present) - len(numbers)
        else:
            present = [value for value in column if value is not None]
            names = [text for text in map(canonical_class, present) if text is not None]
            if names:
                bins.update_many(names)
            wrong = len(present) - len(names)
        if wrong:
            self.parts["mistyped"].add((name,), float(wrong))

    def counters(self) -> Iterator[Sample]:
        """Bin and below counts, missing and mistyped values."""
        for name, watched in self._watched.items():
            counts = self.parts[f"bins {name}"].values
            labels = self._bin_labels[name]
            for label, count in zip(labels, counts.tolist(), strict=True):
                yield sample("feature_bin_total", (name, label), count)
            if isinstance(watched, NumericReference):
                for label, under in zip(labels, below(counts).tolist(), strict=True):
                    yield sample("feature_below_total", (name, label), under)
        for (name,), count in self.parts["missing"].items():
            yield sample("feature_missing_total", (name,), count)
        for (name,), count in self.parts["mistyped"].items():
            yield sample("feature_mistyped_total", (name,), count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Distance to the reference per numeric feature, share of missing values per feature."""
        rows, missing = self.parts["rows"].total(), self.parts["missing"].counts
        live = {name: Live(self.parts[f"bins {name}"].values, missing.get((name,)), rows) for name in self._watched}
        yield from drift(self._watched, live)
        if rows > 0:
            for (name,), count in self.parts["missing"].items():
                yield sample("window_feature_missing_ratio", (name,), count / rows)


def _watched(plan: ModelPlan) -> tuple[dict[str, FeatureReference], dict[str, FeatureReference]]:
    """References of the features, and the same with that of the model's score."""
    if plan.reference is None:
        return {}, {}
    features = dict(plan.reference.features)
    score = {} if plan.reference.score is None else {PREDICTION_FEATURE: plan.reference.score}
    return features, {**features, **score}


def _finite(column: list[object]) -> Floats | None:
    """Numbers as an array, or None if one of them is not finite as a float."""
    try:
        numbers = np.array(column, dtype=np.float64)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return numbers if np.isfinite(numbers).all() else None


def _number(value: object) -> float | None:
    """A finite number, or None for what a numeric feature cannot be. Booleans count as 0 and 1."""
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None
