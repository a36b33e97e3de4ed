"""Label age, mature and provisional figures of seven restarting sidecars, from the raw labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score

from mlcanary.catalog import INDICATORS, LABEL_AGES, LABEL_DELAY_BUCKETS, Role
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.contract import Labeled
from mlcanary.measures.label_age import LabelAgeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record
from replicated_release import END, START, WARM_UP, WINDOWS, Expected, hold, scraped

MATURITY = 900.0
ROLES = {"v1": Role.BASELINE, "v2": Role.CANARY}
PLAN = MonitorPlan(
    models={
        "plain": ModelPlan(join=JoinPolicy(MATURITY, 86_400.0), roles=ROLES),
        "sales": ModelPlan(join=JoinPolicy(MATURITY, 86_400.0, "0"), roles=ROLES),
    },
    windows=(),
)
V = "model_version:mlcanary_"
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Release:
    """Requests of one version: times from promtool's 0, whether predicted positive, and two labels each.

    A label with an infinite delay never comes; the second one, if any, is the final word.
    """

    time: Floats
    chosen: Flags
    first: Flags
    second: Flags
    delay: Floats
    later: Floats
    failed: Flags

    def where(self, mask: Flags) -> Release:
        """Those rows alone."""
        return Release(*(getattr(self, column.name)[mask] for column in fields(self)))

    @property
    def final(self) -> tuple[Flags, Floats]:
        """Class and delay of the last label that came in time; infinite without one."""
        corrected = self.later <= MATURITY
        delay = np.where(corrected, self.later, np.where(self.delay <= MATURITY, self.delay, np.inf))
        return np.where(corrected, self.second, self.first), delay


def release(seed: int, n: int, rate: float) -> Release:
    """Exponential delays of 10 minutes; an eighth is corrected, an eighth fails."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < rate
    delay = np.where(rng.random(n) < 0.8, np.maximum(0.5, rng.exponential(600.0, n)), np.inf)
    later = np.where(rng.random(n) < 0.125, delay + rng.exponential(300.0, n), np.inf)
    second = rng.random(n) < 0.5
    return Release(
        np.sort(rng.uniform(-WARM_UP, END, n)),
        rng.random(n) < 0.3,
        first,
        second,
        delay,
        later,
        rng.random(n) < 0.125,
    )


RELEASES = {
    ModelKey("plain", "v1"): release(1, 3000, 0.30),
    ModelKey("plain", "v2"): release(2, 1500, 0.25),
    ModelKey("sales", "v1"): release(3, 2000, 0.20),
    ModelKey("sales", "v2"): release(4, 1500, 0.15),
}


def records(key: ModelKey, r: Release) -> Iterator[Record]:
    """Log lines."""
    for i in range(r.time.size):
        at, name = START + float(r.time[i]), f"{key.model}-{key.version}-{i}"
        if r.failed[i]:
            yield Prediction(key, at, name, error="503")
            continue
        yield Prediction(key, at, name, predicted=str(int(r.chosen[i])))
        for delay, positive in ((r.delay[i], r.first[i]), (r.later[i], r.second[i])):
            if np.isfinite(delay):
                yield Label(name, at + float(delay), key.model, str(int(positive)))


def test_recorded_series_equal_the_raw_labels(tmp_path: Path) -> None:
    lines = [line for key, r in RELEASES.items() for line in records(key, r)]
    expected: list[Expected] = []
    for window, seconds in WINDOWS.items():
        for key, r in RELEASES.items():
            labels = {"model": key.model, "version": key.version}
            answered = r.where(~r.failed)
            grown = answered.where(_within(answered.time + MATURITY, seconds))
            expected += _delays(grown, window, labels)
            expected += _rates(grown, window, labels, assumed=key.model == "sales")
            expected += _provisional(answered, window, seconds, labels)
        for model in PLAN.models:
            expected += _comparison(model, window, seconds)
    hold(tmp_path, scraped(PLAN, lines, seed=2, joins=True), expected)
    assert len(expected) == 2 * (4 * (6 + 5 + 4) + 2 * 4)


def _within(time: Floats, seconds: float) -> Flags:
    return (time > END - seconds) & (time <= END)


def _delays(grown: Release, w: str, labels: dict[str, str]) -> Iterator[Expected]:
    _, delay = grown.final
    curve = stats.ecdf(np.where(np.isfinite(delay), delay, 1e12)).cdf
    ages = [age for age in LABEL_AGES if age <= MATURITY]
    for age in ages:
        coverage = float(curve.evaluate(age))
        yield Expected(f"model_version_age:mlcanary_label_age:coverage{w}", coverage, {**labels, "age": f"{age:.0f}"})
    came = delay[np.isfinite(delay)]
    uppers = (0.0, *LABEL_DELAY_BUCKETS)
    cumulated = np.array([(came <= upper).sum() for upper in uppers])
    median = float(np.interp(came.size / 2, cumulated, uppers))
    lowest = max(u for u in uppers if u <= np.median(came))
    assert lowest <= median <= min(u for u in uppers if u >= np.median(came)), "same bucket as the exact median"
    yield Expected(f"{V}label_delay_seconds:p50_{w}", median, labels)
    yield Expected(f"{V}label_age_predictions:rate{w}", grown.time.size / WINDOWS[w], labels)
    yield Expected(f"{V}mature_labels:rate{w}", _counted(grown, labels)[0].size / WINDOWS[w], labels)


def _counted(grown: Release, labels: dict[str, str]) -> tuple[Flags, int]:
    """Classes of those with a final label, or with an assumed one, and the size of the cohort."""
    positive, delay = grown.final
    if labels["model"] == "sales":
        return positive & np.isfinite(delay), positive.size
    return positive[np.isfinite(delay)], positive.size


def _rates(grown: Release, w: str, labels: dict[str, str], *, assumed: bool) -> Iterator[Expected]:
    classes, cohort = _counted(grown, labels)
    for name, whole in (("positive_ratio", classes.size), ("positive_per_prediction", cohort)):
        share = classes.sum() / whole
        yield Expected(f"{V}mature_labels:{name}{w}", share, labels)
        yield Expected(f"{V}mature_labels:{name}_stderr{w}", np.sqrt(share * (1 - share) / whole), labels)
    yield Expected(f"{V}label_joins:coverage{w}", 1.0 if assumed else classes.size / cohort, labels)


def _provisional(answered: Release, w: str, seconds: float, labels: dict[str, str]) -> Iterator[Expected]:
    """First labels that came in the window, of predictions that were not mature when it did."""
    early = answered.where((answered.delay <= MATURITY) & _within(answered.time + answered.delay, seconds))
    asked = _within(answered.time, seconds).sum()
    yield Expected(f"{V}provisional_labeled_predictions:count{w}", early.time.size, labels)
    accuracy = accuracy_score(early.first, early.chosen)
    yield Expected(f"{V}provisional_labeled_predictions:accuracy{w}", accuracy, labels)
    yield Expected(f"{V}provisional_labels:positive_ratio{w}", early.first.mean(), labels)
    yield Expected(f"{V}provisional_labels:positive_per_prediction{w}", early.first.sum() / asked, labels)


def _comparison(model: str, w: str, seconds: float) -> Iterator[Expected]:
    """Canary minus baseline: the unpooled z of two proportions is Welch's t without Bessel's correction."""
    labels = {"model": model, "version": "v2"}
    arms = []
    for version in ("v2", "v1"):
        answered = RELEASES[ModelKey(model, version)].where(~RELEASES[ModelKey(model, version)].failed)
        grown = answered.where(_within(answered.time + MATURITY, seconds))
        classes, cohort = _counted(grown, {"model": model})
        arms.append((classes.astype(float), np.pad(classes.astype(float), (0, cohort - classes.size))))
    for i, name in enumerate(("positive_ratio", "positive_per_prediction")):
        ours, theirs = arms[0][i], arms[1][i]
        z = (ours.mean() - theirs.mean()) / np.hypot(stats.sem(ours, ddof=0), stats.sem(theirs, ddof=0))
        yield Expected(f"{V}mature_labels:{name}_delta{w}", ours.mean() - theirs.mean(), labels)
        yield Expected(f"{V}mature_labels:{name}_zscore{w}", z, labels)


def test_the_median_of_one_sidecar_lies_in_the_bucket_of_the_exact_median() -> None:
    metric = next(row.metric for row in INDICATORS if row.name == "median label delay")
    measure = LabelAgeMeasure(ModelPlan())
    delays = np.random.default_rng(7).lognormal(6.0, 2.0, 500)
    for i, delay in enumerate(delays.tolist()):
        assumed = Labeled("0", "1", None, False, 1e6, assumed=True)
        measure.on_labeled([Labeled("1", "1", None, True, delay), assumed, assumed])
        found = {s.name: s.value for s in measure.gauges(60.0)}[f"mlcanary_{metric}"]
        exact = float(np.quantile(delays[: i + 1], 0.5, method="inverted_cdf"))
        buckets = [0.0, *LABEL_DELAY_BUCKETS]
        low, high = max(u for u in buckets if u < exact), min(u for u in buckets if u >= exact)
        assert low <= found <= high
