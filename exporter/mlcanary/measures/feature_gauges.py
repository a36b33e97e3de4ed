"""What the values of features are like in one window: a pure function of counts, extremes and the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlcanary.catalog import PREDICTION_FEATURE
from mlcanary.measures.contract import run, sample, undefined
from mlcanary.measures.feature_stack import PERCENTILES, FeatureStack, chosen
from mlcanary.measures.reference import CategoricalReference, FeatureReference, NumericReference
from mlcanary.records import Run, Sample, Shown
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.binned_quantile import binned_quantiles
from mlcanary.stats.moments import means, variances
from mlcanary.stats.named_rows import NamedRows

KINDS = ("number", "text", "boolean", "other")
"""Kinds of values in JSON, by each of which a feature's values are counted."""

MOMENTS = ("numbers", "positive", "negative", "squares")
"""Counters of a feature that its moments are made of, in the order of `stats.moments`."""

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
    "mlcanary_window_feature_mistyped_ratio",
    "mlcanary_window_feature_category_ratio",
    "mlcanary_window_schema_changes",
    "mlcanary_window_undefined",
)
"""Families of `FeatureWindow.runs`."""


@dataclass(frozen=True)
class FeatureWindow:
    """What came in: answered requests, counters by feature, extremes, names that the reference does not have.

    `stack` are the references, without a feature where there is no profile; `bins` the live counts over their bins.
    """

    rows: float
    values: NamedRows
    extremes: Mapping[str, tuple[float, float]]
    unexpected: Collection[str]
    stack: FeatureStack
    bins: Floats

    def runs(self) -> Iterator[Shown]:
        """Every gauge that is defined, and for those of which none is, why."""
        if self.rows <= 0:
            yield undefined("features", "no_predictions")
            return
        yield from self._missing()
        without = "no_reference" if not self.stack.profiled else "no_numbers"
        yield from _or_say("feature_mean", self._moments(), "no_numbers")
        yield from _or_say("feature_quantile", self._quantiles(), without)
        yield from _or_say("feature_out_of_range_ratio", self._out_of_range(), without)
        yield from self._mistyped()
        yield from _or_say("feature_category_ratio", self._categories(), "no_categories")
        yield from _or_say("feature_unseen_ratio", self._unseen(), "no_complete_categories")
        yield from _or_say("schema_changes", self._schema(), "no_reference")

    @cached_property
    def _totals(self) -> Floats:
        totals: Floats = self.bins.sum(axis=-1)
        return totals

    def _missing(self) -> Iterator[Run]:
        labels = [(name,) for name in self.values.names]
        requested = np.array([name != PREDICTION_FEATURE for name in self.values.names], dtype=bool)
        ratios = unusable(self.values, self.stack.watched)[requested] / self.rows
        yield from run("window_feature_missing_ratio", chosen(labels, requested), ratios)

    def _center(self, name: str) -> float:
        watched = self.stack.watched.get(name)
        return watched.center if isinstance(watched, NumericReference) else 0.0

    def _moments(self) -> Iterator[Run]:
        names = self.values.names
        sums = np.stack([self.values.column(field) for field in MOMENTS], axis=-1)
        mean, variance = means(sums, np.array(list(map(self._center, names)))), variances(sums)
        defined = sums[:, 0] > 0
        labels = chosen([(name,) for name in names], defined)
        yield from run("window_feature_mean", labels, mean[defined])
        yield from run("window_feature_variance", labels, variance[defined])
        yield from run("window_feature_stddev", labels, np.sqrt(variance[defined]))
        if self.extremes:
            labels, least, greatest = [(name,) for name in self.extremes], *np.array([*self.extremes.values()]).T
            yield from run("window_feature_min", labels, least)
            yield from run("window_feature_max", labels, greatest)

    def _quantiles(self) -> Iterator[Run]:
        stack = self.stack
        known = [self.extremes.get(name, _UNKNOWN) for (name,) in stack.numeric_labels]
        counts = self.bins[stack.numeric]
        shown = np.array([each is not _UNKNOWN for each in known], dtype=bool) & (self._totals[stack.numeric] > 0)
        if not shown.any():
            return
        least, greatest = np.array(known)[shown].T
        found = binned_quantiles(stack.edges[shown], counts[shown], [p / 100 for p in PERCENTILES], least, greatest)
        labels = chosen(stack.percentile_labels, np.repeat(shown, len(PERCENTILES)))
        yield from run("window_feature_quantile", labels, found.value.ravel())
        yield from run("window_feature_quantile_lower", labels, found.lower.ravel())
        yield from run("window_feature_quantile_upper", labels, found.upper.ravel())

    def _shares(self, figure: str, field: str, has: Callable[[FeatureReference], bool]) -> Iterator[Run]:
        """A counter of the features that have it, as a share of their values."""
        rows = [i for i, each in enumerate(self.stack.watched.values()) if self._totals[i] > 0 and has(each)]
        counts = np.array([self.values.get(self.stack.names[i], field) for i in rows])
        yield from run(figure, [self.stack.labels[i] for i in rows], counts / self._totals[rows])

    def _out_of_range(self) -> Iterator[Run]:
        return self._shares("window_feature_out_of_range_ratio", "outside", has_range)

    def _mistyped(self) -> Iterator[Run]:
        """Of all values, those without a bin too; the output is no feature of anybody's log."""
        names = [name for name in self.stack.names if name != PREDICTION_FEATURE and name in self.values.names]
        if not self.stack.profiled or not names:
            return
        found = self.values.values[[self.values.names[name] for name in names]]
        kinds = [self.values.fields.index(kind) for kind in KINDS]
        values = found[:, kinds].sum(axis=1)
        shares = found[:, self.values.fields.index("mistyped")] / np.where(values > 0, values, 1.0)
        labels = chosen([(name,) for name in names], values > 0)
        yield from run("window_feature_mistyped_ratio", labels, shares[values > 0])

    def _categories(self) -> Iterator[Run]:
        cells = self.stack.categorical_cells.among(self._totals > 0)
        yield from run("window_feature_category_ratio", cells.labels, cells.of(self.bins) / self._totals[cells.rows])

    def _unseen(self) -> Iterator[Run]:
        return self._shares("window_feature_unseen_ratio", "unseen", has_all_names)

    def _schema(self) -> Iterator[Sample]:
        if not self.stack.profiled:
            return
        known = self.values.names
        absences = dict(zip(known, self.values.column("missing").tolist(), strict=True))
        strange = dict(zip(known, self.values.column("mistyped").tolist(), strict=True))
        missing = mistyped = 0
        for name in self.stack.watched.keys() - {PREDICTION_FEATURE}:
            absent = absences.get(name, 0.0)
            missing += absent >= self.rows
            mistyped += 2 * strange.get(name, 0.0) > self.rows - absent
        for change, count in (("new", len(self.unexpected)), ("missing", missing), ("mistyped", mistyped)):
            yield sample("window_schema_changes", (change,), float(count))


_UNKNOWN = (math.nan, math.nan)


def unusable(values: NamedRows, watched: Collection[str]) -> Floats:
    """Rows without a value that can be placed, of each feature in the order of `values`: absent, null or mistyped.

    Only a feature of the reference, `watched`, can be mistyped: what a log does by itself has no right type.
    """
    wrong = values.column("mistyped") * np.array([name in watched for name in values.names], dtype=bool)
    found: Floats = values.column("missing") + wrong
    return found


def has_range(reference: FeatureReference) -> bool:
    """Whether it says between which numbers its rows were."""
    return isinstance(reference, NumericReference) and reference.min is not None


def has_all_names(reference: FeatureReference) -> bool:
    """Whether it can tell a rare name from one that it never had."""
    return isinstance(reference, CategoricalReference) and reference.complete


def _or_say(figure: str, samples: Iterable[Shown], reason: str) -> Iterator[Shown]:
    """The samples, or why there is none."""
    found = list(samples)
    yield from found or (undefined(figure, reason),)
