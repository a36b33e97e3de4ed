"""A simulated release: raw events of two versions of one model, and the counters that seven sidecars make of them.

The events are the truth; expected figures are computed from them. The counters are counted here, independently of
the exporter, as the catalogue defines them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import LABEL_DELAY_BUCKETS, LATENCY_BUCKETS, NEGATIVE, OBJECTIVES, OTHER, POSITIVE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Key = tuple[str, tuple[tuple[str, str], ...]]

MODEL, BASELINE, CANARY = "clicks", "v1", "v2"
REPLICAS = 7
SCORE_EDGES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
AMOUNT_EDGES = np.array([20.0, 40.0, 60.0, 80.0, 100.0])
COUNTRIES = ("DE", "FR", "PL")
REFERENCE_ROWS = 5000


@dataclass(frozen=True)
class Events:
    """Requests to one version in order of time; arrays of shape (n,). `score` means nothing where `failed`."""

    version: str
    time: Floats
    replica: NDArray[np.int64]
    failed: Bools
    labeled: Bools
    positive: Bools
    score: Floats
    amount: Floats
    country: NDArray[np.str_]
    latency: Floats
    revenue: Floats

    @property
    def predicted(self) -> Bools:
        """The class that the version answered."""
        return self.score >= 0.5

    @property
    def loss(self) -> Floats:
        """Log loss of each request."""
        p = np.where(self.positive, self.score, 1 - self.score)
        return -np.log(p)

    def where(self, mask: Bools) -> Events:
        """The events of a mask."""
        columns = (getattr(self, name)[mask] for name in self.__dataclass_fields__ if name != "version")
        return Events(self.version, *columns)

    def within(self, start: float, end: float) -> Events:
        """The events in (start, end]."""
        return self.where((self.time > start) & (self.time <= end))


def simulate(
    version: str, rng: np.random.Generator, *, start: float, end: float, per_second: float, bad: bool
) -> Events:
    """Events of one version. A `bad` one reads the feature `amount` in another unit and fails a little more."""
    n = int((end - start) * per_second)
    truth = rng.normal(0.0, 1.5, n)
    seen = truth * (0.35 if bad else 1.0) + rng.normal(0.0, 0.5 if bad else 0.3, n)
    positive = rng.random(n) < 1 / (1 + np.exp(-truth))
    amount = np.clip(60 + 25 * truth + rng.normal(0, 5, n), 0, 150) * (0.6 if bad else 1.0)
    amount[rng.random(n) < 0.02] = np.nan
    failed = rng.random(n) < (0.03 if bad else 0.004)
    return Events(
        version=version,
        time=np.sort(rng.uniform(start, end, n)),
        replica=rng.integers(0, REPLICAS, n),
        failed=failed,
        labeled=~failed & (rng.random(n) < 0.8),
        positive=positive,
        score=np.clip(1 / (1 + np.exp(-seen)), 0.001, 0.999),
        amount=amount,
        country=rng.choice(np.array([*COUNTRIES, "IT"]), n, p=[0.5, 0.3, 0.15, 0.05]),
        latency=rng.lognormal(-3.8, 0.6, n),
        revenue=np.where(positive, rng.gamma(2.0, 3.0, n), 0.0) - np.where(rng.random(n) < 0.05, 4.0, 0.0),
    )


@dataclass(frozen=True)
class Profile:
    """The reference profile: shares of a bin, and for numbers shares under it and gaps between bins."""

    bins: Mapping[str, tuple[str, ...]]
    ratio: Mapping[str, Floats]
    gap: Mapping[str, Floats]
    stddev: Mapping[str, float]


def profile() -> Profile:
    """The reference of both features, from rows of its own."""
    rng = np.random.default_rng(1)
    reference = simulate("reference", rng, start=0, end=REFERENCE_ROWS, per_second=1, bad=False)
    amount = reference.amount[~np.isnan(reference.amount)]
    index = np.searchsorted(AMOUNT_EDGES, amount)
    means = np.array([amount[index == i].mean() for i in range(AMOUNT_EDGES.size + 1)])
    countries = np.array([(country_bin(reference.country) == name).mean() for name in (*COUNTRIES, OTHER)])
    return Profile(
        bins={"amount": edge_names(AMOUNT_EDGES), "country": (*COUNTRIES, OTHER)},
        ratio={"amount": np.bincount(index, minlength=means.size) / amount.size, "country": countries},
        gap={"amount": np.diff(means, prepend=means[:1]) / amount.std()},
        stddev={"amount": float(amount.std())},
    )


def country_bin(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """The category that a country is counted under."""
    return np.where(np.isin(values, COUNTRIES), values, OTHER)


def edge_names(edges: Floats) -> tuple[str, ...]:
    """Bins by their upper edge."""
    return (*(repr(float(edge)) for edge in edges), "+Inf")


class Scrapes:
    """Counters as Prometheus scrapes them: values at `instants`, which may lie anywhere, for each series.

    With `restart = (replica, i)` that replica begins again at zero right after the i-th scrape.
    """

    def __init__(self, instants: Floats, restart: tuple[int, int] | None = None) -> None:
        self.instants = instants
        self.series: dict[Key, Floats] = {}
        self._restart = restart

    def counter(self, name: str, events: Events, mask: Bools, weights: Floats | None = None, **labels: str) -> None:
        """Count the events of a mask, or add up their weights."""
        for replica in range(REPLICAS):
            chosen = mask & (events.replica == replica)
            sums = np.concatenate(([0.0], np.cumsum(np.ones(chosen.sum()) if weights is None else weights[chosen])))
            values = sums[np.searchsorted(events.time[chosen], self.instants, side="right")]
            if self._restart and self._restart[0] == replica:
                at = self._restart[1]
                before, after = values[at], values[at + 1] - values[at]
                assert after < before or before == 0, f"choose another seed: the reset of {name} {labels} is hidden"
                values = np.concatenate((values[: at + 1], values[at + 1 :] - before))
            of = {"model": MODEL, "version": events.version, **labels}
            self.put(name, values, job="mlcanary-exporter", instance=f"sidecar-{replica}:10877", **of)

    def put(self, name: str, values: Floats | float, **labels: str) -> None:
        """Any series; a number is a constant."""
        series = np.full(self.instants.shape, values) if isinstance(values, float) else values
        self.series[name, tuple(sorted(labels.items()))] = series


def count(scrapes: Scrapes, releases: Iterable[Events]) -> None:
    """All contract counters of the events."""
    for events in releases:
        _traffic(scrapes, events)
        _labels(scrapes, events)
        _features(scrapes, events)


def _traffic(scrapes: Scrapes, events: Events) -> None:
    ok = ~events.failed
    for text, mask in (("1", ok & events.predicted), ("0", ok & ~events.predicted), ("none", events.failed)):
        scrapes.counter("mlcanary_predictions_total", events, mask, predicted=text)
    scrapes.counter("mlcanary_prediction_errors_total", events, events.failed, reason="timeout")
    for upper in (*LATENCY_BUCKETS, np.inf):
        le = "+Inf" if np.isinf(upper) else repr(upper)
        scrapes.counter("mlcanary_prediction_latency_seconds_bucket", events, events.latency <= upper, le=le)
    every = np.ones_like(ok)
    scrapes.counter("mlcanary_prediction_latency_seconds_count", events, every)
    scrapes.counter("mlcanary_prediction_latency_seconds_sum", events, every, events.latency)
    sold = ok & (events.revenue != 0)
    scrapes.counter("mlcanary_business_events_total", events, sold, event="purchase")
    gain, loss = np.maximum(events.revenue, 0), np.maximum(-events.revenue, 0)
    scrapes.counter("mlcanary_business_value_total", events, sold, gain, event="purchase", sign=POSITIVE)
    scrapes.counter("mlcanary_business_value_total", events, sold, loss, event="purchase", sign=NEGATIVE)
    scrapes.counter("mlcanary_business_value_squares_total", events, sold, events.revenue**2, event="purchase")


def _labels(scrapes: Scrapes, events: Events) -> None:
    labeled, index = events.labeled, np.searchsorted(SCORE_EDGES, events.score)
    scrapes.counter("mlcanary_label_joins_total", events, labeled, result="matched")
    scrapes.counter("mlcanary_label_joins_total", events, ~labeled & ~events.failed, result="expired")
    for upper in (*LABEL_DELAY_BUCKETS, np.inf):
        le = "+Inf" if np.isinf(upper) else repr(upper)
        mask = labeled & (events.latency * 200 <= upper)
        scrapes.counter("mlcanary_label_delay_seconds_bucket", events, mask, le=le)
    for truth, actual in ((events.positive, "1"), (~events.positive, "0")):
        for answer, predicted in ((events.predicted, "1"), (~events.predicted, "0")):
            mask = labeled & truth & answer
            scrapes.counter("mlcanary_labeled_predictions_total", events, mask, actual=actual, predicted=predicted)
    for i, edge in enumerate(edge_names(SCORE_EDGES)):
        scrapes.counter(
            "mlcanary_labeled_score_bin_score_total", events, labeled & (index == i), events.score, bin=edge
        )
        for truth, name in ((events.positive, POSITIVE), (~events.positive, NEGATIVE)):
            here, under = labeled & truth & (index == i), labeled & truth & (index < i)
            scrapes.counter("mlcanary_labeled_score_bin_total", events, here, actual=name, bin=edge)
            scrapes.counter("mlcanary_labeled_score_below_total", events, under, actual=name, bin=edge)
    scrapes.counter("mlcanary_log_loss_sum", events, labeled, events.loss)
    scrapes.counter("mlcanary_log_loss_count", events, labeled)
    scrapes.counter("mlcanary_log_loss_squares_total", events, labeled, events.loss**2)


def _features(scrapes: Scrapes, events: Events) -> None:
    ok, absent = ~events.failed, np.isnan(events.amount)
    index = np.searchsorted(AMOUNT_EDGES, events.amount)
    for i, upper in enumerate(edge_names(AMOUNT_EDGES)):
        here, under = ok & ~absent & (index == i), ok & ~absent & (index < i)
        scrapes.counter("mlcanary_feature_bin_total", events, here, feature="amount", bin=upper)
        scrapes.counter("mlcanary_feature_below_total", events, under, feature="amount", bin=upper)
    for name in (*COUNTRIES, OTHER):
        here = ok & (country_bin(events.country) == name)
        scrapes.counter("mlcanary_feature_bin_total", events, here, feature="country", bin=name)
    scrapes.counter("mlcanary_feature_rows_total", events, ok)
    scrapes.counter("mlcanary_feature_missing_total", events, ok & absent, feature="amount")


def facts(scrapes: Scrapes, objectives: Mapping[str, float] | None = None) -> None:
    """Roles, limits and the reference, as each sidecar publishes them."""
    limits = {row.name: row.default for row in OBJECTIVES} | dict(objectives or {})
    reference = profile()
    for replica in range(REPLICAS):
        job = {"job": "mlcanary-exporter", "instance": f"sidecar-{replica}:10877"}
        for version, role in ((BASELINE, "baseline"), (CANARY, "canary")):
            info = {**job, "model": MODEL, "version": version, "role": role, "task": "binary"}
            scrapes.put("mlcanary_model_info", 1.0, **info)
        for name, limit in limits.items():
            scrapes.put("mlcanary_objective_threshold", limit, **job, model=MODEL, objective=name)
        scrapes.put("mlcanary_bin_edges_info", 1.0, **job, model=MODEL, edges="5f2a")
        for feature, bins in reference.bins.items():
            of = {**job, "model": MODEL, "feature": feature}
            ratios = reference.ratio[feature]
            scrapes.put("mlcanary_feature_reference_observations", float(REFERENCE_ROWS), **of)
            scrapes.put("mlcanary_feature_reference_missing_ratio", 0.02, **of)
            positions = np.cumsum(reference.gap.get(feature, np.zeros(len(bins))))
            positions = positions - ratios @ positions
            if feature in reference.stddev:
                scrapes.put("mlcanary_feature_reference_stddev", reference.stddev[feature], **of)
            for i, name in enumerate(bins):
                scrapes.put("mlcanary_feature_reference_ratio", float(ratios[i]), **of, bin=name)
                if feature in reference.gap:
                    below, gap = float(ratios[:i].sum()), float(reference.gap[feature][i])
                    scrapes.put("mlcanary_feature_reference_below_ratio", below, **of, bin=name)
                    scrapes.put("mlcanary_feature_reference_gap", gap, **of, bin=name)
                    scrapes.put("mlcanary_feature_reference_position", float(positions[i]), **of, bin=name)
