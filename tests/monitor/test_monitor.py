"""Records in, samples out: batches, caps, restarts, reloads, and gauges against the records of the window."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from kept_joins import KeptJoin
from mlcanary.catalog import BY_NAME, OBJECTIVES, OTHER, Role
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record, Sample
from monitored_traffic import CANARY, STABLE, START, fed, plan, reference, traffic, value

RECORDS = traffic(1200)
END = START + 1000.0


def counters(monitor: Monitor) -> dict[tuple[str, str, tuple[str, ...]], float]:
    """Everything but the gauges of windows."""
    return {s[:3]: s.value for s in monitor.samples(END) if "window" not in BY_NAME[s.name].labels}


def same(one: Monitor, other: Monitor) -> None:
    """Both show the same counters, up to the rounding of sums."""
    left, right = counters(one), counters(other)
    assert left.keys() == right.keys()
    assert {key: v for key, v in left.items() if v != pytest.approx(right[key], rel=1e-9)} == {}


@pytest.mark.parametrize("with_reference", [True, False])
@pytest.mark.parametrize("maturity", [0.0, 30.0])
def test_records_in_batches_of_any_size_give_the_same_counts(with_reference: bool, maturity: float) -> None:
    the_plan = plan(with_reference=with_reference, maturity=maturity)
    whole = fed(RECORDS, the_plan, batch=10_000, now=END)
    for batch in (1, 13, 500):
        same(fed(RECORDS, the_plan, batch=batch, now=END), whole)


@settings(max_examples=25)
@given(st.integers(1, 40), st.data())
def test_caps_hold_in_batches_of_any_size(batch: int, data: st.DataObject) -> None:
    names = st.sampled_from(["a", "b", "c", "d", OTHER])
    requests = st.builds(
        lambda m, v, p, f: Prediction(ModelKey(m, v), START, None, {f: 1.0}, p), names, names, names, names
    )
    records: list[Record] = list(data.draw(st.lists(requests, max_size=40)))
    limits = Limits(models=2, versions=2, classes=2, features=2)
    capped = fed(records, plan(limits=limits), batch=batch)
    same(capped, fed(records, plan(limits=limits), batch=1000))
    assert len({key.model for key in capped.panels} - {OTHER}) <= 2
    versions = Counter(key.model for key in capped.panels if key.version != OTHER)
    assert all(n <= 2 for n in versions.values())
    total = sum(v for (name, _, _), v in counters(capped).items() if name == "mlcanary_predictions_total")
    assert total == len(records)


def test_names_above_a_cap_are_folded_and_each_is_counted_once() -> None:
    def request(model: str, version: str = "v", predicted: str = "0", feature: str = "f") -> Prediction:
        return Prediction(ModelKey(model, version), START, None, {feature: 1.0}, predicted)

    records: list[Record] = [
        request("a"),
        request("b"),
        request("c"),
        request("c"),
        request("d"),
        request("a", version="w"),
        request("a", version="x"),
        request("a", version="x"),
        request("a", predicted="1"),
        request("a", predicted="2"),
        request("a", predicted="2"),
        request("a", feature="g"),
        request("b", feature="g"),
    ]
    monitor = fed(records, plan(limits=Limits(models=2, versions=2, classes=2, features=1)), batch=3)
    samples = list(monitor.samples(END))
    limited = {s.labels[0]: s.value for s in samples if s.name == "mlcanary_series_limited_total"}
    assert limited == {"models": 2.0, "versions": 1.0, "classes": 1.0, "features": 2.0}
    assert value(samples, "predictions_total", OTHER, OTHER, "0") == 3.0
    assert value(samples, "predictions_total", "a", OTHER, "0") == 2.0
    assert value(samples, "predictions_total", "a", "v", OTHER) == 2.0


def test_a_flood_of_model_names_in_labels_makes_a_bounded_number_of_series() -> None:
    records: list[Record] = [Label(f"x{i}", START, f"model{i}", "1") for i in range(500)]
    monitor = fed(records, plan(limits=Limits(models=3)), now=END)
    found = {s.labels[0]: s.value for s in monitor.samples(END) if s.name == "mlcanary_labels_unmatched_total"}
    assert len(found) <= 5
    assert sum(found.values()) == 500.0


def test_labels_find_predictions_of_a_model_above_the_cap() -> None:
    records: list[Record] = []
    for model in ("a", "b"):
        records.append(Prediction(ModelKey(model, "v"), START, f"id-{model}", {}, "1", 0.9))
        records.append(Label(f"id-{model}", START + 1, model, "1"))
    samples = list(fed(records, MonitorPlan(limits=Limits(models=1))).samples(END))
    assert value(samples, "labeled_predictions_total", OTHER, OTHER, "1", "1") == 1.0


def test_duplicates_are_counted_and_nowhere_else() -> None:
    monitor = fed([*RECORDS, *RECORDS], plan(), now=END)
    once = fed(RECORDS, plan(), now=END)
    left, right = counters(monitor), counters(once)
    n = sum(isinstance(r, Prediction) for r in RECORDS)
    duplicates = {k: v for k, v in left.items() if k[0] == "mlcanary_duplicate_predictions_total"}
    assert sum(duplicates.values()) == n
    # A label of a failed request has nothing to be a duplicate of: it stays unmatched each time.
    elsewhere = {k for k in right if "duplicate" not in str(k) and k[0] != "mlcanary_labels_unmatched_total"}
    assert {k: left[k] for k in elsewhere if left[k] != pytest.approx(right[k])} == {}


def test_samples_are_rows_of_the_catalogue_and_no_series_comes_twice() -> None:
    samples = list(fed(RECORDS, plan(), now=END).samples(END))
    for sample in samples:
        assert len(sample.labels) == len(BY_NAME[sample.name].labels) + (sample.suffix == "_bucket"), sample
        assert math.isfinite(sample.value), sample
    keys = Counter(s[:3] for s in samples)
    assert max(keys.values()) == 1


def test_every_objective_is_published_for_every_model() -> None:
    samples = list(Monitor(plan(), START).samples(START))
    published = {s.labels[1]: s.value for s in samples if s.name == "mlcanary_objective_threshold"}
    assert published == {row.name: row.default for row in OBJECTIVES}


def test_limits_of_single_features_are_published_only_where_they_are_set() -> None:
    own = {"age": {"feature_psi": 0.5}, "plan": {"feature_change": 0.01, "feature_psi": 0.1}}
    model = replace(plan().models["churn"], feature_objectives=own)
    samples = Monitor(replace(plan(), models={"churn": model}), START).samples(START)
    published = {s.labels: s.value for s in samples if s.name == "mlcanary_feature_objective_threshold"}
    assert published == {
        ("churn", "feature_psi", "age"): 0.5,
        ("churn", "feature_change", "plan"): 0.01,
        ("churn", "feature_psi", "plan"): 0.1,
    }
    assert not any(s.name == "mlcanary_feature_objective_threshold" for s in Monitor(plan(), START).samples(START))


def test_the_reference_shares_add_up_and_below_is_their_running_sum() -> None:
    samples = list(Monitor(plan(), START).samples(START))
    for feature in ("age", "balance", "prediction"):
        shares = [s.value for s in samples if s.name.endswith("reference_ratio") and s.labels[1] == feature]
        below = [s.value for s in samples if s.name.endswith("reference_below_ratio") and s.labels[1] == feature]
        assert sum(shares) == pytest.approx(1.0)
        assert below == pytest.approx([0.0, *np.cumsum(shares)[:-1]])


def restarted(monitor: Monitor, the_plan: MonitorPlan, now: float = END) -> tuple[Monitor, list[str]]:
    """A new process that took over everything, through the form that is stored."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(monitor.dump()))
    other = Monitor(the_plan, now, stored=True)
    return other, other.load(state, KeptJoin().keep(monitor.drain_joins()).stored(), now)


@pytest.mark.parametrize("cut", [0, 1, 400, 1500, len(RECORDS)])
def test_a_restart_at_any_line_changes_no_counter(cut: int) -> None:
    the_plan = plan(maturity=30.0)
    straight = fed(RECORDS, the_plan, now=END)
    resumed, problems = restarted(fed(RECORDS[:cut], the_plan), the_plan)
    resumed.feed(RECORDS[cut:], END)
    resumed.advance(END, END)
    assert problems == []
    same(resumed, straight)


def test_a_restart_under_other_bin_edges_starts_those_versions_anew_and_says_so() -> None:
    other = MonitorPlan(models={"churn": ModelPlan(reference=reference(seed=2))})
    resumed, problems = restarted(fed(RECORDS, plan()), other)
    assert sorted(problems) == [f"churn/{v}: bin edges changed, its counters start anew" for v in ("v1", "v2")]
    assert value(resumed.samples(END), "label_joins_total", *STABLE, "matched") == 0.0


def test_a_reload_keeps_counters_and_windows_and_takes_the_new_objectives_and_roles() -> None:
    monitor = fed(RECORDS, plan())
    before = list(monitor.samples(END))
    model = replace(plan().models["churn"], objectives={"min_labels": 7.0}, roles={})
    assert monitor.replan(replace(plan(), models={"churn": model}), END) == []
    after = list(monitor.samples(END))
    static = {"mlcanary_objective_threshold", "mlcanary_model_info"}
    assert [s for s in after if s.name not in static] == [s for s in before if s.name not in static]
    assert value(after, "objective_threshold", "churn", "min_labels") == 7.0
    assert value(after, "model_info", *CANARY, "unassigned", "binary") == 1.0


def test_a_reload_with_other_windows_keeps_counters() -> None:
    monitor = fed(RECORDS, plan(), now=END)
    before = counters(monitor)
    assert monitor.replan(replace(plan(), windows=(("10m", 600.0),)), END) == []
    assert counters(monitor) == before
    windows = {s.labels[2] for s in monitor.samples(END) if BY_NAME[s.name].labels[2:3] == ("window",)}
    assert windows == {"10m"}


def test_a_reload_with_other_bin_edges_starts_anew_and_says_so() -> None:
    monitor = fed(RECORDS, plan())
    problems = monitor.replan(plan(with_reference=False), END)
    assert sorted(problems) == [f"churn/{v}: bin edges changed, its counters start anew" for v in ("v1", "v2")]
    monitor.feed(RECORDS, END)
    assert value(monitor.samples(END), "model_info", *STABLE, "baseline", "binary") == 1.0


@pytest.mark.parametrize("tick", [5.0, 15.0])
def test_gauges_of_a_window_equal_scikit_learn_over_its_records(tick: float) -> None:
    monitor = Monitor(plan(), START)
    samples: list[Sample] = []
    for i in range(1, int(660 / tick) + 1):
        now = START + i * tick
        monitor.feed([r for r in RECORDS if now - tick < r.ts <= now], now)
        samples = list(monitor.samples(now))
    end = START + int(660 / tick) * tick
    for key in (STABLE, CANARY):
        of_key = {r.id: r for r in RECORDS if isinstance(r, Prediction) and r.key == key}
        _compare_traffic(samples, key, [r for r in of_key.values() if end - 300 < r.ts <= end])
        joined = [
            (of_key[r.id], r.label)
            for r in RECORDS
            if isinstance(r, Label) and r.id in of_key and end - 300 < r.ts <= end and not of_key[r.id].error
        ]
        _compare_quality(samples, key, [(p, label) for p, label in joined if label is not None])


def _compare_traffic(samples: list[Sample], key: ModelKey, within: list[Prediction]) -> None:
    window = (*key, "5m")
    assert value(samples, "window_predictions", *window) == len(within)
    assert value(samples, "window_predictions_per_second", *window) == pytest.approx(len(within) / 300)
    answered = [p for p in within if p.error is None]
    ages = [p.features.get("age") for p in answered]
    missing = sum(age is None for age in ages) / len(ages)
    assert value(samples, "window_feature_missing_ratio", *window, "age") == pytest.approx(missing, abs=1e-9)
    base = np.random.default_rng(1).normal(40, 12, 2000)  # the first column that `reference()` draws
    exact = ks_2samp([age for age in ages if isinstance(age, float)], base, method="asymp")
    low = value(samples, "window_feature_ks_ratio", *window, "age")
    high = value(samples, "window_feature_ks_upper_bound_ratio", *window, "age")
    assert low is not None
    assert high is not None
    assert low <= exact.statistic <= high
    p95 = value(samples, "window_latency_seconds", *window, "95")
    assert p95 is not None
    assert p95 == pytest.approx(np.quantile([p.latency for p in within], 0.95), rel=0.6)


def _compare_quality(samples: list[Sample], key: ModelKey, joined: list[tuple[Prediction, str]]) -> None:
    window = (*key, "5m")
    y = np.array([label == "1" for _, label in joined])
    predicted = np.array([p.predicted == "1" for p, _ in joined])
    scores = np.array([p.score for p, _ in joined], dtype=np.float64)
    assert value(samples, "window_labels", *window) == y.size
    for name, oracle in (
        ("accuracy", accuracy_score),
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
    ):
        assert value(samples, f"window_{name}_ratio", *window) == pytest.approx(oracle(y, predicted), abs=1e-9)
    assert value(samples, "window_log_loss_nats", *window) == pytest.approx(log_loss(y, scores), abs=1e-9)
    auc, bound = (value(samples, f"window_auc_{name}ratio", *window) for name in ("", "error_bound_"))
    assert auc is not None
    assert bound is not None
    assert abs(auc - roc_auc_score(y, scores)) <= min(bound, 0.005)


def test_pending_last_times_and_capacity_are_shown() -> None:
    records: list[Record] = [
        Prediction(STABLE, START + 5, "a", {}, "1", 0.9),
        Prediction(STABLE, START + 3, "b", {}, "1", 0.9),
        Label("b", START + 9, "churn", "1"),
    ]
    samples = list(fed(records, plan()).samples(END))
    assert value(samples, "label_join_pending", *STABLE) == 1.0
    assert value(samples, "last_prediction_timestamp_seconds", *STABLE) == START + 5
    assert value(samples, "last_label_timestamp_seconds", *STABLE) == START + 9
    assert value(samples, "label_join_capacity") == 200_000
    assert value(samples, "window_accuracy_ratio", *STABLE, "5m") == 1.0
    assert value(samples, "window_auc_ratio", *STABLE, "5m") is None


def test_an_old_version_makes_room_for_a_new_one() -> None:
    """A model that is released every week must not lose its twenty-first version to the cap."""
    monitor = Monitor(MonitorPlan(limits=Limits(versions=3)), START)
    for week in range(6):
        now = START + week * 604_800.0
        monitor.feed([Prediction(ModelKey("m", f"v{week}"), now, f"r{week}", predicted="1")], now)
        monitor.advance(now + 100_000.0, now)
    assert {key.version for key in monitor.panels} == {"v3", "v4", "v5"}


def test_what_the_configuration_names_is_never_folded() -> None:
    named = ModelPlan(roles={"canary": Role.CANARY})
    monitor = Monitor(MonitorPlan(models={"ours": named}, limits=Limits(models=1, versions=1)), START)
    keys = [ModelKey("theirs", "v1"), ModelKey("ours", "v1"), ModelKey("ours", "canary"), ModelKey("ours", "v3")]
    monitor.feed([Prediction(key, START, None, predicted="1") for key in keys], START)
    assert set(monitor.panels) == {*keys[:3], ModelKey("ours", OTHER)}
