"""Business events: gains and losses, what is known of a version that has sold nothing yet, and shares of traffic."""

from __future__ import annotations

from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.contract import Measure, Outcome
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.user_buckets import UserBucketMeasure
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction
from mlcanary.stats.user_buckets import BUCKETS

V1, V2 = ModelKey("m", "v1"), ModelKey("m", "v2")


def counts(measure: Measure, family: str) -> dict[tuple[str, ...], float]:
    """One family of counters by its own labels."""
    return {s.labels: s.value for s in measure.counters() if s.name == f"mlcanary_{family}"}


def test_gains_and_losses_are_two_rising_counters_and_squares_add_up() -> None:
    measure = BusinessMeasure(ModelPlan(conversions="buy"))
    measure.on_events([Outcome("buy", value, 0.0) for value in (3.0, -4.0, None)])
    assert counts(measure, "business_events_total") == {("click",): 0.0, ("buy",): 3.0}
    assert counts(measure, "business_value_total") == {("buy", "positive"): 3.0, ("buy", "negative"): 4.0}
    assert counts(measure, "business_value_squares_total") == {("buy",): 25.0}


def test_clicks_and_conversions_are_born_at_zero_and_are_no_rate_until_one_was_seen() -> None:
    measure = BusinessMeasure(ModelPlan())
    measure.on_predictions([Prediction(V1, 1.0)])
    assert counts(measure, "business_events_total") == {("click",): 0.0, ("purchase",): 0.0}
    assert counts(measure, "mature_events_total") == {("click",): 0.0, ("purchase",): 0.0}
    assert [(s.name, s.labels) for s in measure.gauges(60.0)] == [
        ("mlcanary_window_undefined", ("business", "no_events"))
    ]
    measure.on_events([Outcome("click", None, 1.0)])
    measure.on_predictions([Prediction(V1, 1.0, error="500"), Prediction(V1, 1.0)])
    shown = {s.name: s.value for s in measure.gauges(60.0) if s.labels == ()}
    assert shown == {"mlcanary_window_ctr_ratio": 0.5}, "a failed request cannot be clicked"


def test_money_that_comes_in_a_window_without_requests_is_not_lost() -> None:
    measure = BusinessMeasure(ModelPlan())
    measure.on_events([Outcome("purchase", 20.0, 0.0), Outcome("purchase", -5.0, 0.0)])
    assert [s.value for s in measure.gauges(60.0) if s.name == "mlcanary_window_gmv"] == [15.0]


def test_all_buckets_of_users_are_born_together_and_only_where_there_are_users() -> None:
    measure = UserBucketMeasure(ModelPlan())
    measure.on_predictions([Prediction(V1, 1.0)])
    measure.on_events([Outcome("purchase", 1.0, 1.0)])
    assert list(measure.counters()) == []
    measure.on_predictions([Prediction(V1, 1.0, user=BUCKETS * 3 + 7)])
    requests = counts(measure, "user_bucket_predictions_total")
    assert len(requests) == BUCKETS
    assert [name for name, n in requests.items() if n] == [("7",)]
    assert len(list(measure.counters())) == 6 * BUCKETS


def test_one_event_as_both_click_and_conversion_is_one_series() -> None:
    plan = ModelPlan(clicks="lead", conversions="lead")
    for measure in (BusinessMeasure(plan), UserBucketMeasure(plan)):
        measure.on_predictions([Prediction(V1, 1.0, user=7)])
        measure.on_events([Outcome("lead", 1.0, 1.0, user=7)])
        names = [(s.name, s.labels) for s in measure.counters()]
        assert len(names) == len(set(names))


def test_the_page_says_which_event_is_which_once_any_version_has_seen_it_and_what_share_each_should_have() -> None:
    monitor = Monitor(MonitorPlan(models={"m": ModelPlan(split={"v1": 0.95, "v2": 0.05})}), 0.0)
    monitor.feed([Prediction(V1, 1.0, "a"), Prediction(V2, 1.0, "b")], 1.0)

    def facts(name: str) -> dict[tuple[str, ...], float]:
        return {s.labels: s.value for s in monitor.samples(2.0) if s.name == f"mlcanary_{name}"}

    assert facts("expected_share_ratio") == {("m", "v1"): 0.95, ("m", "v2"): 0.05}
    assert facts("business_event_info") == {}
    monitor.feed([Label("a", 2.0, event="purchase", value=3.0)], 2.0)
    assert facts("business_event_info") == {("m", "purchase", "conversion"): 1.0}
