"""What the values of features are like in one window: a pure function of counts, extremes and the reference."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlcanary.catalog import PREDICTION_FEATURE
from mlcanary.measures.contract import sample, undefined
from mlcanary.measures.reference import CategoricalReference, FeatureReference, NumericReference
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.binned_quantile import binned_quantile
from mlcanary.stats.moments import Moments
from mlcanary.stats.named_rows import NamedRows

PERCENTILES = (5, 25, 50, 75, 95)

GAUGES = (
    "mlcanary_window_feature_missing_ratio",
    "mlcanary_window_feature_mean",
    "mlcanary_window_feature_variance",
    "mlcanary_window_feature_stddev",
    "mlcanary_window_feature_min",
    "mlcanary_window_feature_max",
    "mlcanary_window_feature_quantile",
    "mlcanary_window_feature_quantile_lower",
    "mlcanary_window_feature_quantile_upper",
    "mlcanary_window_feature_out_of_range_ratio",
    "mlcanary_window_feature_unseen_ratio",
    "mlcanary_window_feature_category_ratio",
    "mlcanary_window_schema_changes",
    "mlcanary_window_undefined",
)
"""Families of `FeatureWindow.samples`."""


@dataclass(frozen=True)
class FeatureWindow:
    """What came in: answered requests, counters by feature, extremes, names that the reference does not have.

    `watched` are the references by feature, None without a profile; `bins` the live counts over their bins.
    """

    rows: float
    values: NamedRows
    extremes: Mapping[str, tuple[float, float]]
    unexpected: Collection[str]
    watched: Mapping[str, FeatureReference] | None
    bins: Mapping[str, Floats]

    def samples(self) -> Iterator[Sample]:
        """Every gauge that is defined, and for those of which none is, why."""
        if self.rows <= 0:
            yield undefined("features", "no_predictions")
            return
        for name in self.values.names:
            if name != PREDICTION_FEATURE:
                yield sample("window_feature_missing_ratio", (name,), self.values.get(name, "missing") / self.rows)
        without = "no_reference" if self.watched is None else "no_numbers"
        yield from _or_say("feature_mean", self._moments(), "no_numbers")
        yield from _or_say("feature_quantile", self._quantiles(), without)
        yield from _or_say("feature_out_of_range_ratio", self._out_of_range(), without)
        yield from _or_say("feature_category_ratio", self._categories(), "no_categories")
        yield from _or_say("feature_unseen_ratio", self._unseen(), "no_complete_categories")
        yield from _or_say("schema_changes", self._schema(), "no_reference")

    def _center(self, name: str) -> float:
        watched = (self.watched or {}).get(name)
        return watched.center if isinstance(watched, NumericReference) else 0.0

    def _moments(self) -> Iterator[Sample]:
        for name in self.values.names:
            moments = Moments(
                *(self.values.get(name, field) for field in ("numbers", "positive", "negative", "squares"))
            )
            mean, variance = moments.mean(self._center(name)), moments.variance()
            if mean is not None and variance is not None:
                yield sample("window_feature_mean", (name,), mean)
                yield sample("window_feature_variance", (name,), variance)
                yield sample("window_feature_stddev", (name,), math.sqrt(variance))
        for name, (least, greatest) in self.extremes.items():
            yield sample("window_feature_min", (name,), least)
            yield sample("window_feature_max", (name,), greatest)

    def _numeric(self) -> Iterator[tuple[str, NumericReference, Floats]]:
        for name, watched in (self.watched or {}).items():
            if isinstance(watched, NumericReference) and self.bins[name].sum() > 0:
                yield name, watched, self.bins[name]

    def _categorical(self) -> Iterator[tuple[str, CategoricalReference, Floats]]:
        for name, watched in (self.watched or {}).items():
            if isinstance(watched, CategoricalReference) and self.bins[name].sum() > 0:
                yield name, watched, self.bins[name]

    def _quantiles(self) -> Iterator[Sample]:
        for name, watched, counts in self._numeric():
            if name not in self.extremes:
                continue
            for percentile in PERCENTILES:
                found = binned_quantile(watched.edges, counts, percentile / 100, *self.extremes[name])
                if found is not None:
                    labels = (name, str(percentile))
                    yield sample("window_feature_quantile", labels, found.value)
                    yield sample("window_feature_quantile_lower", labels, found.lower)
                    yield sample("window_feature_quantile_upper", labels, found.upper)

    def _out_of_range(self) -> Iterator[Sample]:
        for name, watched, counts in self._numeric():
            if watched.min is not None:
                ratio = self.values.get(name, "outside") / float(counts.sum())
                yield sample("window_feature_out_of_range_ratio", (name,), ratio)

    def _categories(self) -> Iterator[Sample]:
        for name, watched, counts in self._categorical():
            for category, ratio in zip(watched.bins, (counts / counts.sum()).tolist(), strict=True):
                yield sample("window_feature_category_ratio", (name, category), ratio)

    def _unseen(self) -> Iterator[Sample]:
        for name, watched, counts in self._categorical():
            if watched.complete:
                yield sample("window_feature_unseen_ratio", (name,), self.values.get(name, "unseen") / counts.sum())

    def _schema(self) -> Iterator[Sample]:
        if self.watched is None:
            return
        missing = mistyped = 0
        for name in self.watched.keys() - {PREDICTION_FEATURE}:
            absent = self.values.get(name, "missing")
            missing += absent >= self.rows
            mistyped += 2 * self.values.get(name, "mistyped") > self.rows - absent
        for change, count in (("new", len(self.unexpected)), ("missing", missing), ("mistyped", mistyped)):
            yield sample("window_schema_changes", (change,), float(count))


def _or_say(figure: str, samples: Iterable[Sample], reason: str) -> Iterator[Sample]:
    """The samples, or why there is none."""
    found = list(samples)
    yield from found or (undefined(figure, reason),)
