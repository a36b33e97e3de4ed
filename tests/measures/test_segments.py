"""Figures per segment are those of the whole over the rows of that segment, under a cap and above a minimum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from mlcanary.catalog import OTHER
from mlcanary.measures.contract import Labeled, Outcome
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.quality import QualityMeasure
from mlcanary.measures.reference import Reference, categorical_reference
from mlcanary.measures.segments import SegmentMeasure
from mlcanary.records import ModelKey, Prediction

KEY = ModelKey("m", "v")
PLAN = ModelPlan(segments=("country", "device"))


def rows(n: int, seed: int = 5) -> list[Labeled]:
    """Labelled predictions of three countries and two devices."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        positive = bool(rng.random() < 0.3)
        score = float(rng.beta(4, 3) if positive else rng.beta(2, 5))
        place = (str(rng.choice(["DE", "FR", "PL"], p=[0.6, 0.35, 0.05])), str(rng.choice(["web", "app"])))
        label = str(int(positive))
        made.append(Labeled(label, str(int(score >= 0.5)), score, positive, 0.0, segments=place))
    return made


def shown(measure: SegmentMeasure, name: str) -> dict[tuple[str, ...], float]:
    """Gauges of one family by segment and value."""
    return {s.labels: s.value for s in measure.gauges(60.0) if s.name == f"mlcanary_window_segment_{name}"}


def test_quality_of_a_segment_equals_scikit_learn_on_its_rows() -> None:
    measure, labeled = SegmentMeasure(PLAN), rows(3000)
    measure.on_labeled(labeled)
    accuracy, auc, loss = (shown(measure, name) for name in ("accuracy_ratio", "auc_ratio", "log_loss_nats"))
    bound = shown(measure, "auc_error_bound_ratio")
    for i, segment in enumerate(PLAN.segments):
        for value in sorted({x.segments[i] for x in labeled}):
            own = [x for x in labeled if x.segments[i] == value]
            actual = [x.positive for x in own]
            assert accuracy[segment, value] == pytest.approx(accuracy_score(actual, [x.predicted == "1" for x in own]))
            assert loss[segment, value] == pytest.approx(log_loss(actual, [x.score for x in own]), rel=1e-9)
            assert abs(auc[segment, value] - roc_auc_score(actual, [x.score for x in own])) <= bound[segment, value]
            assert bound[segment, value] < 0.05


def test_segments_add_up_to_the_whole() -> None:
    measure, whole, labeled = SegmentMeasure(PLAN), QualityMeasure(PLAN), rows(500)
    measure.on_labeled(labeled)
    whole.on_labeled(labeled)
    total = {s.labels: s.value for s in whole.counters()}
    for segment in PLAN.segments:
        summed: dict[tuple[str, ...], float] = {}
        for s in measure.counters():
            if s.name == "mlcanary_segment_labeled_predictions_total" and s.labels[0] == segment:
                summed[s.labels[2:]] = summed.get(s.labels[2:], 0.0) + s.value
        assert summed == total


def test_a_segment_with_few_labels_shows_requests_and_no_quality() -> None:
    plan = replace(PLAN, objectives={"segment_min_labels": 100.0})
    measure, labeled = SegmentMeasure(plan), rows(400)
    measure.on_labeled(labeled)
    measure.on_predictions([Prediction(KEY, 0.0, None, {"country": "PL"}, "1", 0.7)])
    assert ("country", "DE") in shown(measure, "accuracy_ratio")
    assert ("country", "PL") not in shown(measure, "accuracy_ratio")
    assert shown(measure, "predictions")["country", "PL"] == 1.0


def test_values_above_the_cap_are_other_and_those_of_the_reference_always_have_room() -> None:
    reference = Reference({"country": categorical_reference(["DE"] * 5 + ["FR"] * 4 + ["PL"], 50)})
    plan = replace(PLAN, reference=reference, limits=Limits(segment_values=3))
    measure = SegmentMeasure(plan)
    countries = ["XX", "YY", "PL", "FR", "DE", "XX"]
    measure.on_predictions([Prediction(KEY, 0.0, None, {"country": c, "device": "web"}, "1") for c in countries])
    found = {labels[1]: n for labels, n in shown(measure, "predictions").items() if labels[0] == "country"}
    assert found == {OTHER: 3.0, "PL": 1.0, "FR": 1.0, "DE": 1.0}
    assert {cap for cap, _ in measure.take_folded()} == {"segment_values"}


def test_a_prediction_that_lacks_the_feature_is_in_the_segment_none() -> None:
    measure = SegmentMeasure(PLAN)
    measure.on_predictions([Prediction(KEY, 0.0, None, {"device": "web"}, "1")])
    assert shown(measure, "predictions") == {("country", "none"): 1.0, ("device", "web"): 1.0}


def test_a_restart_and_a_window_keep_segments_apart() -> None:
    measure, labeled = SegmentMeasure(PLAN), rows(900)
    measure.on_labeled(labeled[:500])
    dumped: dict[str, Any] = {name: part.dump() for name, part in measure.parts.items()}
    restored = SegmentMeasure(PLAN)
    restored.adopt(dumped)
    for name, part in restored.parts.items():
        part.load(msgspec.msgpack.decode(msgspec.msgpack.encode(dumped[name])))
    before = restored.copy()
    for each in (measure, restored):
        each.on_labeled(labeled[500:])
        each.on_events([Outcome("click", None, 0.0, segments=("DE", "web"))])
    assert list(restored.counters()) == list(measure.counters())
    alone = SegmentMeasure(PLAN)
    alone.on_labeled(labeled[500:])
    window = {s[:3]: s.value for s in restored.minus(before).gauges(60.0)}
    assert all(window[s[:3]] == pytest.approx(s.value, rel=1e-9) for s in alone.gauges(60.0))


def test_without_configured_segments_nothing_is_measured() -> None:
    measure = SegmentMeasure(ModelPlan())
    measure.on_labeled(rows(10))
    measure.on_predictions([Prediction(KEY, 0.0, None, {"country": "DE"}, "1")])
    assert list(measure.counters()) == []
    assert measure.parts == {}
