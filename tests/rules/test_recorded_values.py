"""Recorded series against scikit-learn and scipy on the raw events: seven sidecars, one of them restarting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from mlcanary.catalog import OTHER
from promtool_cases import Values, case, check, expression, series_name
from replicated_release import HERE, Expected, hold, in_company
from side_by_side import placed
from simulated_release import (
    AMOUNT_EDGES,
    BASELINE,
    CANARY,
    COUNTRIES,
    MODEL,
    REFERENCE_ROWS,
    SCORE_EDGES,
    Events,
    Floats,
    Scrapes,
    count,
    country_bin,
    facts,
    profile,
    simulate,
)

WARM_UP, END, STEP = 1800.0, 3600.0, 15.0
SLOW = 0.05
WINDOWS = {"5m": 300.0, "1h": 3600.0}
RESTART = (2, 228)
"""Sidecar 2 begins again after the scrape at 57 minutes: inside both windows."""

V, C, S = "model_version:", "model_version_class:mlcanary_labeled_predictions:", "model_version:mlcanary_labeled_score:"
F = "model_version_feature:mlcanary_feature:"
Labels = Mapping[str, str]
Ints = NDArray[np.int64]


class Score(NamedTuple):
    """AUC over the score bins, its DeLong variance, and half the share of pairs that share a bin."""

    auc: float
    variance: float
    bound: float


@pytest.fixture(scope="module")
def releases() -> tuple[Events, Events]:
    """Baseline and canary, an hour and a warm-up long."""
    rng = np.random.default_rng(11)
    return (
        simulate(BASELINE, rng, start=-WARM_UP, end=END, per_second=6.0, bad=False),
        simulate(CANARY, rng, start=-WARM_UP, end=END, per_second=1.5, bad=True),
    )


@pytest.fixture(scope="module")
def series(releases: tuple[Events, Events]) -> dict[str, Values]:
    """What Prometheus holds of them."""
    scrapes = Scrapes(np.arange(0.0, END + 1, STEP), RESTART)
    count(scrapes, releases)
    facts(scrapes, {"latency_seconds": SLOW})
    return {series_name(name, dict(labels)): values.tolist() for (name, labels), values in scrapes.series.items()}


def test_recorded_series_equal_the_raw_events(
    tmp_path: Path, releases: tuple[Events, Events], series: dict[str, Values]
) -> None:
    expected: list[Expected] = []
    for window, seconds in WINDOWS.items():
        baseline, canary = (events.within(END - seconds, END) for events in releases)
        expected += _of_version(baseline, window)
        expected += _of_version(canary, window)
        expected += _comparison(canary, baseline, window)
    for events in releases:
        expected += _burnt(events)
    hold(tmp_path, series, [e._replace(labels={"model": MODEL, **e.labels}) for e in expected])
    assert len(expected) > 150


def test_nothing_is_compared_with_a_version_in_another_place(
    tmp_path: Path, releases: tuple[Events, Events], series: dict[str, Values]
) -> None:
    compared = {e.name for w in WINDOWS for e in _comparison(releases[1], releases[0], w)}
    names = sorted(name for name in compared if re.search("delta|zscore|comparable|psi_baseline", name))
    every, cases = in_company(series), []
    for role in ("baseline", "canary"):
        roles = placed({name: values for name, values in series.items() if f'role="{role}"' in name}, HERE)
        here = {name: values for name, values in every.items() if name not in roles}
        assert len(here) < len(every)
        asked = [expression(series_name(name, {"model": MODEL, **HERE}), "1h") for name in names]
        cases.append(case("15s", here, asked))
    check(tmp_path, "20m", cases, records=names)


def test_score_bins_lose_little(releases: tuple[Events, Events]) -> None:
    """The AUC of ten bins, which the test above takes as the truth, is close to that of the raw scores."""
    for events in releases:
        labeled = events.where(events.labeled)
        binned = _score(labeled).auc
        assert binned == pytest.approx(roc_auc_score(labeled.positive, labeled.score), abs=0.01)


def _of_version(events: Events, w: str) -> Iterator[Expected]:
    v = {"version": events.version}
    labeled, answered = events.where(events.labeled), events.where(~events.failed)
    n, k = labeled.time.size, events.time.size
    right = (labeled.predicted == labeled.positive).mean()
    yield Expected(f"{V}mlcanary_prediction_errors:ratio{w}", events.failed.mean(), v)
    yield Expected(f"{V}mlcanary_predictions:rate{w}", k / WINDOWS[w], v)
    yield Expected(f"{V}mlcanary_labeled_predictions:count{w}", n, v)
    yield Expected(f"{V}mlcanary_labeled_predictions:accuracy{w}", right, v)
    yield Expected(f"{V}mlcanary_labeled_predictions:accuracy_stderr{w}", np.sqrt(right * (1 - right) / n), v)
    yield Expected(f"{V}mlcanary_label_joins:coverage{w}", n / answered.time.size, v)
    parts = precision_recall_fscore_support(labeled.positive, labeled.predicted, labels=[False, True])
    for i, name in enumerate("01"):
        for part, recorded in zip(parts, (f"precision{w}", f"recall{w}", f"f1_{w}"), strict=False):
            yield Expected(C + recorded, part[i], {**v, "class": name})
    yield Expected(f"{V}mlcanary_log_loss:mean{w}", labeled.loss.mean(), v)
    yield Expected(f"{V}mlcanary_log_loss:mean_stderr{w}", stats.sem(labeled.loss), v)
    score, index = _score(labeled), np.searchsorted(SCORE_EDGES, labeled.score)
    yield Expected(f"{S}auc{w}", score.auc, v)
    yield Expected(f"{S}auc_stderr{w}", np.sqrt(score.variance), v)
    yield Expected(f"{S}auc_error_bound{w}", score.bound, v)
    yield Expected(f"{S}average_precision{w}", average_precision_score(labeled.positive, index), v)
    yield Expected(f"{S}ks{w}", stats.ks_2samp(index[labeled.positive], index[~labeled.positive]).statistic, v)
    yield Expected(f"{S}ece{w}", _calibration_error(labeled, index), v)
    yield Expected(f"{S}rarer_class{w}", min(labeled.positive.sum(), n - labeled.positive.sum()), v)
    yield Expected(
        f"{V}mlcanary_prediction_latency_seconds:p95_{w}", float(np.quantile(events.latency, 0.95)), v, within=0.03
    )
    missing = np.isnan(answered.amount)
    yield Expected(
        f"model_version_feature:mlcanary_feature_missing:ratio{w}", missing.mean(), {**v, "feature": "amount"}
    )
    for feature, counts in _bins(answered).items():
        yield from _drift(counts, feature, w, {**v, "feature": feature})
    event = {**v, "event": "purchase"}
    revenue = np.where(events.failed, 0.0, events.revenue)
    yield Expected(
        f"model_version_event:mlcanary_business_events:per_prediction{w}", np.count_nonzero(revenue) / k, event
    )
    yield Expected(f"model_version_event:mlcanary_business_value:mean{w}", revenue.mean(), event)
    yield Expected(f"model_version_event:mlcanary_business_value:mean_stderr{w}", stats.sem(revenue), event)


def _burnt(events: Events) -> Iterator[Expected]:
    """Shares of failed and of slow requests: an hour of them in longer windows, too."""
    for window, seconds in {**WINDOWS, "30m": 1800.0, "2h": END, "6h": END, "1d": END}.items():
        part, of = events.within(END - seconds, END), {"version": events.version}
        if window not in WINDOWS:
            yield Expected(f"{V}mlcanary_prediction_errors:ratio{window}", part.failed.mean(), of)
        slow = (part.latency > SLOW).mean()
        yield Expected(f"{V}mlcanary_prediction_latency_seconds:slow_ratio{window}", slow, of)


def _drift(counts: Floats, feature: str, w: str, labels: Labels) -> Iterator[Expected]:
    reference, n = profile(), counts.sum()
    expected, live, degrees = reference.ratio[feature], counts / n, counts.size - 1
    table = np.array([counts, expected * REFERENCE_ROWS])
    chisquare = stats.chi2_contingency(table[:, table.any(axis=0)], correction=False).statistic
    yield Expected(f"{F}psi{w}", _psi(live, expected), labels)
    yield Expected(f"{F}chisquare{w}", chisquare, labels)
    # Wilson and Hilferty's quantile lies a few percent above the exact one: fewer false alarms, never more.
    critical = float(stats.chi2.isf(1e-5, degrees)) * 1.03
    noise = critical * (1 / n + 1 / REFERENCE_ROWS)
    yield Expected(f"{F}chisquare_critical{w}", critical, labels, within=0.03)
    yield Expected(f"{F}psi_critical{w}", noise, labels, within=0.03 * noise)
    if feature in reference.gap:
        under = np.abs(np.cumsum(live - expected)[:-1])
        yield Expected(f"{F}ks{w}", under.max(), labels)
        places = np.cumsum(reference.gap[feature])
        yield Expected(f"{F}wasserstein{w}", stats.wasserstein_distance(places, places, live, expected), labels)


def _comparison(canary: Events, baseline: Events, w: str) -> Iterator[Expected]:
    v = {"version": canary.version}
    ours, theirs = canary.where(canary.labeled), baseline.where(baseline.labeled)
    right, right_theirs = ((e.predicted == e.positive).mean() for e in (ours, theirs))
    spread = right * (1 - right) / ours.time.size + right_theirs * (1 - right_theirs) / theirs.time.size
    yield Expected(f"{V}mlcanary_labeled_predictions:accuracy_delta{w}", right - right_theirs, v)
    yield Expected(f"{V}mlcanary_labeled_predictions:accuracy_zscore{w}", (right - right_theirs) / np.sqrt(spread), v)
    a, b = _score(ours), _score(theirs)
    yield Expected(f"{S}auc_delta{w}", a.auc - b.auc, v)
    yield Expected(f"{S}auc_delta_upper{w}", a.auc - b.auc + a.bound + b.bound, v)
    yield Expected(f"{S}auc_zscore{w}", (a.auc - b.auc) / np.sqrt(a.variance + b.variance), v)
    yield Expected(f"{V}mlcanary_log_loss:mean_delta{w}", ours.loss.mean() - theirs.loss.mean(), v)
    welch = stats.ttest_ind(ours.loss, theirs.loss, equal_var=False).statistic
    yield Expected(f"{V}mlcanary_log_loss:mean_zscore{w}", welch, v)
    delta = canary.failed.mean() - baseline.failed.mean()
    table = [[e.failed.sum(), e.failed.size - e.failed.sum()] for e in (canary, baseline)]
    z = np.sign(delta) * np.sqrt(stats.chi2_contingency(table, correction=False).statistic)
    yield Expected(f"{V}mlcanary_prediction_errors:ratio_delta{w}", delta, v)
    yield Expected(f"{V}mlcanary_prediction_errors:ratio_zscore{w}", z, v)
    share = canary.time.size / (canary.time.size + baseline.time.size)
    yield from _comparable((ours, theirs), (canary, baseline), w)
    for version, part in ((canary.version, share), (baseline.version, 1 - share)):
        yield Expected(f"{V}mlcanary_predictions:share{w}", part, {"version": version})
    live = {name: _bins(e.where(~e.failed)) for name, e in (("canary", canary), ("baseline", baseline))}
    for feature in ("amount", "country"):
        one, other = live["canary"][feature], live["baseline"][feature]
        psi = _psi(one / one.sum(), other / other.sum())
        yield Expected(f"{F}psi_baseline{w}", psi, {**v, "feature": feature})


def _comparable(labeled: Sequence[Events], every: Sequence[Events], w: str) -> Iterator[Expected]:
    """How many of both versions count, and of the canary: enough everywhere, and of each class."""
    for name, parts in (("labeled_predictions", labeled), ("predictions", every)):
        for events in parts:
            of = {"version": events.version}
            yield Expected(f"{V}mlcanary_{name}:measurable{w}", events.time.size, of)
        yield Expected(f"{V}mlcanary_{name}:comparable{w}", parts[0].time.size, {"version": parts[0].version})
    yield Expected(f"{S}comparable{w}", labeled[0].time.size, {"version": labeled[0].version})


def _score(labeled: Events) -> Score:
    """Over bin numbers as scores, ties included; variance after DeLong, DeLong and Clarke-Pearson (1988)."""
    index = np.searchsorted(SCORE_EDGES, labeled.score)
    ups, downs = index[labeled.positive], index[~labeled.positive]
    variance = _placements(ups, downs).var() / (ups.size - 1) + _placements(downs, ups).var() / (downs.size - 1)
    size = SCORE_EDGES.size + 1
    tied = np.bincount(ups, minlength=size) @ np.bincount(downs, minlength=size) / (ups.size * downs.size)
    score = Score(float(roc_auc_score(labeled.positive, index)), float(variance), float(tied) / 2)
    assert abs(score.auc - roc_auc_score(labeled.positive, labeled.score)) <= score.bound
    return score


def _placements(values: Ints, others: Ints) -> Floats:
    """Share of `others` under each value, ties half."""
    ordered = np.sort(others)
    sides = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    return (sides[0] + sides[1]) / (2 * others.size)


def _calibration_error(labeled: Events, index: Ints) -> float:
    gaps = [abs(labeled.score[index == i].sum() - labeled.positive[index == i].sum()) for i in np.unique(index)]
    return float(sum(gaps) / labeled.time.size)


def _psi(live: Floats, expected: Floats) -> float:
    p, q = np.maximum(live, 1e-4), np.maximum(expected, 1e-4)
    return float(((p - q) * np.log(p / q)).sum())


def _bins(answered: Events) -> dict[str, Floats]:
    amount = np.searchsorted(AMOUNT_EDGES, answered.amount[~np.isnan(answered.amount)])
    country = country_bin(answered.country)
    return {
        "amount": np.bincount(amount, minlength=AMOUNT_EDGES.size + 1).astype(float),
        "country": np.array([(country == name).sum() for name in (*COUNTRIES, OTHER)], dtype=float),
    }
