"""Buckets of users over mature predictions: their sums are those of the cohort, and they know who came back."""

from __future__ import annotations

import numpy as np

from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.contract import Matured, Measure
from mlcanary.measures.mature_users import MatureUserMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.stats.user_buckets import BUCKETS


def counts(measure: Measure, family: str) -> dict[tuple[str, ...], float]:
    """One family of counters by its own labels."""
    return {s.labels: s.value for s in measure.counters() if s.name == f"mlcanary_{family}"}


def cohort(rng: np.random.Generator, size: int, *, named: bool = True) -> list[Matured]:
    """Mature predictions with clicks, purchases and money of either sign."""
    made = []
    for i in range(size):
        events: dict[str, float | None] = {}
        if rng.random() < 0.3:
            events["click"] = None
        if rng.random() < 0.1:
            events["purchase"] = float(np.round(rng.normal(20.0, 30.0), 2))
        if rng.random() < 0.05:
            events["scroll"] = 1.0
        made.append(Matured(float(i), None, events, int(rng.integers(0, 2**63)) if named else None))
    return made


def test_sums_over_buckets_are_the_figures_of_the_cohort() -> None:
    rows = cohort(np.random.default_rng(4), 700)
    by_user, whole = MatureUserMeasure(ModelPlan()), BusinessMeasure(ModelPlan())
    by_user.on_matured(rows)
    whole.on_matured(rows)
    assert sum(counts(by_user, "mature_user_bucket_predictions_total").values()) == len(rows)
    for event in ("click", "purchase"):
        of_event = {k: v for k, v in counts(by_user, "mature_user_bucket_events_total").items() if k[1] == event}
        assert len(of_event) == BUCKETS
        assert sum(of_event.values()) == counts(whole, "mature_events_total")[event,]
    for sign in ("positive", "negative"):
        money = [v for k, v in counts(by_user, "mature_user_bucket_value_total").items() if k[1] == sign]
        np.testing.assert_allclose(sum(money), counts(whole, "mature_value_total")["purchase", sign], rtol=1e-12)
    squares = sum(counts(by_user, "mature_user_bucket_value_squares_total").values())
    np.testing.assert_allclose(squares, counts(whole, "mature_value_squares_total")["purchase",], rtol=1e-12)


def test_a_user_is_in_the_same_bucket_whatever_happens() -> None:
    measure = MatureUserMeasure(ModelPlan())
    user = 5 * BUCKETS + 9
    measure.on_matured([Matured(1.0, None, {"click": None}, user), Matured(2.0, None, {"purchase": 3.0}, user)])
    assert {k: v for k, v in counts(measure, "mature_user_bucket_predictions_total").items() if v} == {("9",): 2.0}
    assert {k: v for k, v in counts(measure, "mature_user_bucket_events_total").items() if v} == {
        ("9", "click"): 1.0,
        ("9", "purchase"): 1.0,
    }


def test_there_are_no_series_without_users_or_without_outcomes() -> None:
    measure = MatureUserMeasure(ModelPlan())
    measure.on_matured(cohort(np.random.default_rng(5), 50, named=False))
    assert list(measure.counters()) == []
    measure.on_matured([Matured(1.0, None, {}, 7)])
    assert list(measure.counters()) == []
    measure.on_matured([Matured(2.0, None, {"click": None}, 7)])
    assert counts(measure, "mature_user_bucket_predictions_total")["7",] == 2.0, "those before are not lost"
