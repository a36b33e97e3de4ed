"""Keeps the page under a number of series by leaving figures out, in a stated order. Pure.

Guarantee: what is left out is left out whole (a family of a class, or all of one feature), so that no sum over bins is
ever a part; it stays out until the next start or reload, since a series that comes and goes breaks `rate`; and it is
counted. Quality, traffic, labels and business figures of the whole are never left out.

Order: figures per segment, estimates without labels, user buckets, gauges of single features, joint drift, then
features from the last one of the reference profile upwards (the model's own output stays). So put the columns that
matter first. Limits from the configuration stay, those of features too: they are few, and no figures.
Cost: one pass over the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mlcanary.catalog import BY_NAME, PREDICTION_FEATURE, Group, business, estimated, joint_drift, segments
from mlcanary.records import Sample

Feature = tuple[str, str]
"""(model, feature)"""

ORDER: tuple[str, ...] = ("segments", "estimates", "user_buckets", "feature_gauges", "joint_drift", "features")
"""Classes of series, first what goes first."""


def class_of(name: str) -> str:
    """The class of a family in `ORDER`, or "" for what always stays."""
    row = BY_NAME[name]
    if row in segments.ROWS:
        return "segments"
    if row in estimated.ROWS:
        return "estimates"
    if row in business.ROWS and "bucket" in row.labels:
        return "user_buckets"
    if row in joint_drift.ROWS:
        return "joint_drift"
    if "feature" in row.labels and "objective" not in row.labels:
        return "feature_gauges" if row.group is Group.WINDOW else "features"
    return ""


_CLASSES: Mapping[str, str] = {name: class_of(name) for name in BY_NAME}
_FEATURE_AT: Mapping[str, int] = {
    name: BY_NAME[name].labels.index("feature") for name, kind in _CLASSES.items() if kind == "features"
}


class SeriesBudget:
    """What the page may hold. Only `features` are left out one by one; every other class goes as a whole."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.classes: set[str] = set()
        self.features: set[Feature] = set()
        self.dropped: Counter[str] = Counter()
        self._least = 0

    def exceeded(self, series: int) -> bool:
        """Whether `fit` must choose, for a page of so many series of which nothing that is out is a part."""
        return series > max(self.limit, self._least)

    @property
    def stays(self) -> Callable[[Sample], bool] | None:
        """Tells whether a sample is on the page; None while all are."""
        return self._stays if self.classes or self.features else None

    def fit(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The samples that stay. What goes joins `classes` or `features`, and its series are counted in `dropped`.

        Whoever makes the samples need not make those again: they would be left out again.
        """
        by_class = Counter(_CLASSES[sample.name] for sample in samples)
        total = len(samples) - sum(by_class[kind] for kind in self.classes)
        if total <= self.limit and not self.classes and not self.features:
            return samples
        for kind in ORDER[:-1]:
            if total > self.limit and kind not in self.classes and by_class[kind]:
                self.classes.add(kind)
                self.dropped[kind] += by_class[kind]
                total -= by_class[kind]
        by_feature = self._per_feature(samples)
        total -= sum(by_feature[feature] for feature in self.features)
        for feature in reversed(by_feature):
            if total <= self.limit:
                break
            if feature not in self.features and feature[1] != PREDICTION_FEATURE:
                self.features.add(feature)
                self.dropped["features"] += by_feature[feature]
                total -= by_feature[feature]
        kept = [sample for sample in samples if self._stays(sample)]
        self._least = len(kept)
        return kept

    def _stays(self, sample: Sample) -> bool:
        kind = _CLASSES[sample.name]
        if kind != "features":
            return kind not in self.classes
        return not self.features or (sample.labels[0], sample.labels[_FEATURE_AT[sample.name]]) not in self.features

    def _per_feature(self, samples: Sequence[Sample]) -> Counter[Feature]:
        """Series of each feature, features in the order in which they come: that of the reference profile."""
        found: Counter[Feature] = Counter()
        for sample in samples:
            at = _FEATURE_AT.get(sample.name)
            if at is not None:
                found[sample.labels[0], sample.labels[at]] += 1
        return found
