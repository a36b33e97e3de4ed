"""What single measures promise beyond the contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlcanary.catalog import NO_PREDICTION, OTHER, Task
from mlcanary.errors import ConfigError
from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.contract import Labeled, Measure, Outcome
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.losses import LossMeasure
from mlcanary.measures.multiclass import MulticlassMeasure
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.quality import QualityMeasure
from mlcanary.measures.reference import Reference, categorical_reference, edges_hash, numeric_reference
from mlcanary.measures.score import ScoreMeasure
from mlcanary.measures.traffic import TrafficMeasure
from mlcanary.records import ModelKey, Prediction, canonical_class
from mlcanary.stats.confusion import OTHER_WRONG

KEY = ModelKey("m", "v")


def request(error: str | None = None, predicted: str | None = None, **features: object) -> Prediction:
    """One request."""
    return Prediction(KEY, 0.0, None, features, predicted, None, None, error)


def counts(measure: Measure, name: str) -> dict[tuple[str, ...], float]:
    """Counters of one family by labels."""
    return {s.labels: s.value for s in measure.counters() if s.name == f"mlcanary_{name}"}


def gauges(measure: Measure) -> dict[str, float]:
    """Gauges without labels of their own."""
    return {s.name.removeprefix("mlcanary_window_"): s.value for s in measure.gauges(60.0) if not s.labels}


def reasons(measure: Measure) -> dict[str, str]:
    """Why figures are absent, by figure."""
    return dict(s.labels for s in measure.gauges(60.0) if s.name == "mlcanary_window_undefined")  # type: ignore[misc]


def test_classes_above_the_cap_are_other_and_told_once_per_name() -> None:
    measure = TrafficMeasure(ModelPlan(limits=Limits(classes=2)))
    measure.on_predictions([request(predicted=name) for name in ("a", "b", "c", "c", "d", "a")])
    expected = {(NO_PREDICTION,): 0.0, ("a",): 2.0, ("b",): 1.0, (OTHER,): 3.0}
    assert counts(measure, "predictions_total") == expected
    assert measure.take_folded() == {("classes", "c"), ("classes", "d")}
    assert measure.take_folded() == set()


def test_reasons_and_events_above_the_cap_are_other() -> None:
    limits = Limits(reasons=1, events=1)
    traffic, outcomes = TrafficMeasure(ModelPlan(limits=limits)), BusinessMeasure(ModelPlan(limits=limits))
    traffic.on_predictions([request(error=reason) for reason in ("500", "418", "451")])
    failed = counts(traffic, "prediction_errors_total")
    assert {name: n for name, n in failed.items() if n} == {("500",): 1.0, (OTHER,): 2.0}
    assert failed["503",] == 0.0, "born at zero, so that a first burst of them is growth"
    assert counts(traffic, "predictions_total") == {(NO_PREDICTION,): 3.0}
    for event in ("share", "save", "return", "click"):
        outcomes.on_events([Outcome(event, -2.0, 0.0)])
    expected = {("share",): 1.0, (OTHER,): 2.0, ("click",): 1.0, ("purchase",): 0.0}
    assert counts(outcomes, "business_events_total") == expected, "clicks and conversions are never folded"
    assert counts(outcomes, "business_value_total")[OTHER, "negative"] == 4.0
    assert traffic.take_folded() == {("reasons", "418"), ("reasons", "451")}
    assert outcomes.take_folded() == {("events", "save"), ("events", "return")}


def test_the_cap_on_classes_holds_for_the_confusion_matrix_also_after_a_restart() -> None:
    plan = ModelPlan(limits=Limits(classes=2))
    measure = QualityMeasure(plan)
    measure.on_labeled([Labeled(a, p, None, None, 0.0) for a, p in (("a", "b"), ("c", "a"), ("c", "d"))])
    restored = QualityMeasure(plan)
    restored.parts["confusion"].load(measure.parts["confusion"].dump())
    for found in (measure, restored):
        found.on_labeled([Labeled("e", "b", None, None, 0.0)])
        names = {name for pair in counts(found, "labeled_predictions_total") for name in pair}
        assert names == {"a", "b", OTHER, OTHER_WRONG}
        assert counts(found, "labeled_predictions_total")[OTHER, "b"] == 1.0
    assert measure.take_folded() == {("classes", "c"), ("classes", "d"), ("classes", "e")}


def test_two_classes_above_the_cap_are_right_only_where_they_are_the_same() -> None:
    measure = QualityMeasure(ModelPlan(task=Task.MULTICLASS, limits=Limits(classes=2)))
    pairs = [("a", "a"), ("b", "b"), ("c", "c"), ("c", "d"), ("d", "c"), ("d", "a"), (OTHER, "d"), ("e", OTHER_WRONG)]
    measure.on_labeled([Labeled(a, p, None, None, 0.0) for a, p in pairs])
    matrix = counts(measure, "labeled_predictions_total")
    assert sum(matrix.values()) == len(pairs)
    assert {pair: n for pair, n in matrix.items() if n} == {
        ("a", "a"): 1.0,
        ("b", "b"): 1.0,
        (OTHER, OTHER): 1.0,
        (OTHER, OTHER_WRONG): 4.0,
        (OTHER, "a"): 1.0,
    }
    assert gauges(measure)["accuracy_ratio"] == sum(a == p for a, p in pairs) / len(pairs)
    recall = {s.labels: s.value for s in measure.gauges(60.0) if s.name == "mlcanary_window_class_recall_ratio"}
    assert recall[OTHER,] == 1 / 6


def test_every_pair_of_known_classes_is_born_at_zero() -> None:
    measure = QualityMeasure(ModelPlan())
    measure.on_labeled([Labeled("1", "0", None, True, 0.0)])
    matrix = counts(measure, "labeled_predictions_total")
    assert matrix == {("0", "0"): 0.0, ("0", "1"): 0.0, ("1", "0"): 1.0, ("1", "1"): 0.0}


def test_precision_without_a_positive_prediction_is_absent_and_recall_is_zero() -> None:
    measure = QualityMeasure(ModelPlan())
    measure.on_labeled([Labeled("1", "0", None, True, 0.0), Labeled("0", "0", None, False, 0.0)])
    found = gauges(measure)
    assert (found["labels"], found["accuracy_ratio"], found["recall_ratio"], found["f1_ratio"]) == (2.0, 0.5, 0.0, 0.0)
    assert not {"precision_ratio", "lift_ratio", "matthews_correlation"} & set(found)
    assert reasons(measure) == {
        "precision": "no_positive_prediction",
        "lift": "no_positive_prediction",
        "matthews_correlation": "one_class",
    }


def test_figures_of_the_positive_class_need_to_know_which_one_it_is() -> None:
    rows = [Labeled("cat", "cat", None, None, 0.0), Labeled("dog", "cat", None, None, 0.0)]
    unknown, known = QualityMeasure(ModelPlan()), QualityMeasure(ModelPlan(positive="cat"))
    unknown.on_labeled(rows)
    known.on_labeled(rows)
    assert not {"precision_ratio", "recall_ratio", "f1_ratio", "lift_ratio"} & set(gauges(unknown))
    assert reasons(unknown)["precision"] == "unknown_positive_class"
    assert gauges(known)["precision_ratio"] == 0.5


def test_auc_is_absent_with_one_class_and_losses_are_not() -> None:
    score, losses = ScoreMeasure(ModelPlan()), LossMeasure(ModelPlan())
    for measure in (score, losses):
        measure.on_labeled([Labeled("1", "1", 0.5, True, 0.0)])
    assert "auc_ratio" not in gauges(score)
    assert gauges(losses) == {"log_loss_nats": pytest.approx(np.log(2)), "brier_score": 0.25}


def test_figures_of_the_score_say_why_they_are_absent() -> None:
    rows = {
        "no_labels": [],
        "no_scores": [Labeled("1", "1", None, True, 0.0)],
        "unknown_positive_class": [Labeled("cat", "cat", 0.5, None, 0.0)],
        "one_class": [Labeled("1", "1", 0.5, True, 0.0), Labeled("1", "1", None, True, 0.0)],
    }
    for reason, batch in rows.items():
        score, losses = ScoreMeasure(ModelPlan()), LossMeasure(ModelPlan())
        score.on_labeled(batch)
        losses.on_labeled(batch)
        assert reasons(score)["auc"] == reason
        assert reasons(losses) == ({} if reason == "one_class" else {"log_loss": reason, "brier_score": reason})
    multiclass = MulticlassMeasure(ModelPlan(task=Task.MULTICLASS))
    assert reasons(multiclass)["auc_macro"] == "no_labels"
    multiclass.on_labeled([Labeled("a", "a", None, None, 0.0, {"a": 0.0})])
    assert reasons(multiclass)["auc_macro"] == "no_scores"
    multiclass.on_labeled([Labeled("a", "a", None, None, 0.0, {"a": 0.5})])
    assert reasons(multiclass) == {"auc_macro": "one_class", "auc_weighted": "one_class"}


def test_classes_above_the_cap_are_one_class_of_probabilities() -> None:
    plan = ModelPlan(task=Task.MULTICLASS, limits=Limits(classes=2))
    measure = MulticlassMeasure(plan)
    given = {"a": 0.2, "b": 0.2, "c": 0.3, "d": 0.3}
    measure.on_labeled([Labeled(name, "a", None, None, 0.0, given) for name in "abcd"])
    inside = counts(measure, "class_score_bin_total")
    positives = {name: sum(n for (c, a, _), n in inside.items() if (c, a) == (name, "positive")) for name in "ab"}
    assert positives == {"a": 1.0, "b": 1.0}
    others = {edge: n for (c, actual, edge), n in inside.items() if (c, actual) == (OTHER, "positive") and n}
    ((upper, n),) = others.items()
    assert n == 2.0
    assert 0.6 <= float(upper) < 0.7
    assert measure.take_folded() == {("classes", "c"), ("classes", "d")}
    restored = MulticlassMeasure(replace(plan, limits=Limits(classes=9)))
    for name, part in measure.parts.items():
        restored.parts[name].load(part.dump())
    assert list(restored.counters()) == list(measure.counters())


def test_learnt_features_are_missed_only_after_they_were_seen() -> None:
    rows = [request(a=1), request(a=1, b=None), request(b=2), request(error="500"), request()]
    for batch in (1, 2, 5):
        measure = FeatureMeasure(ModelPlan())
        for i in range(0, len(rows), batch):
            measure.on_predictions(rows[i : i + batch])
        assert counts(measure, "feature_missing_total") == {("a",): 2.0, ("b",): 2.0}


def test_features_above_the_cap_are_left_out_and_told() -> None:
    measure = FeatureMeasure(ModelPlan(limits=Limits(features=2)))
    measure.on_predictions([request(a=1, b=1, c=1), request(d=1)])
    assert set(counts(measure, "feature_missing_total")) == {("a",), ("b",)}
    assert measure.take_folded() == {("features", "c"), ("features", "d")}


@pytest.mark.parametrize("wrong", ["12", [1], {"a": 1}, 10**400, float("inf"), float("nan")])
def test_a_value_that_is_no_finite_number_is_mistyped_and_so_missing_and_harms_no_other(wrong: object) -> None:
    reference = Reference({"a": numeric_reference([1.0, 2.0, 3.0, 4.0], 2)})
    measure = FeatureMeasure(ModelPlan(reference=reference))
    measure.on_predictions([request(a=1), request(a=wrong), request(a=3.5), request(a=True), request()])
    assert counts(measure, "feature_mistyped_total") == {("a",): 1.0}
    assert counts(measure, "feature_missing_total") == {("a",): 2.0}
    assert sum(counts(measure, "feature_bin_total").values()) == 3.0


def test_numbers_and_booleans_of_a_categorical_feature_are_its_names() -> None:
    reference = Reference({"a": categorical_reference(["1"] * 50 + ["0"] * 40 + ["x"], 2)})
    measure = FeatureMeasure(ModelPlan(reference=reference))
    measure.on_predictions([request(a=value) for value in (1, 1.0, True, False, "never seen", [1], None)])
    assert counts(measure, "feature_bin_total") == {("a", "1"): 3.0, ("a", "0"): 1.0, ("a", OTHER): 1.0}
    assert counts(measure, "feature_mistyped_total") == {("a",): 1.0}
    assert counts(measure, "feature_below_total") == {}


def test_below_counts_are_the_sum_of_the_bins_before() -> None:
    reference = Reference({"a": numeric_reference([1.0, 2.0, 3.0, 4.0], 4)})
    measure = FeatureMeasure(ModelPlan(reference=reference))
    measure.on_predictions([request(a=value) for value in (0, 1, 2, 2.5, 9)])
    inside = list(counts(measure, "feature_bin_total").values())
    below = list(counts(measure, "feature_below_total").values())
    assert below == [0.0, *np.cumsum(inside)[:-1].tolist()]


def test_equal_hashes_mean_equal_bins() -> None:
    one, two = Reference({"a": numeric_reference(range(100), 4)}), Reference({"a": numeric_reference(range(100), 5)})
    edges = ModelPlan().score_edges
    hashes = {edges_hash(edges, one), edges_hash(edges, two), edges_hash(edges, None), edges_hash(edges[1:], None)}
    assert len(hashes) == 4
    assert edges_hash(edges, one) == edges_hash(edges.copy(), Reference(dict(one.features), rows=7))
    assert all(len(text) == 12 for text in hashes)


@pytest.mark.parametrize(
    ("value", "name"),
    [(True, "1"), (False, "0"), (1, "1"), (1.0, "1"), ("1", "1"), (2.5, "2.5"), ("", ""), (None, None), ([], None)],
)
def test_a_class_has_one_spelling(value: object, name: str | None) -> None:
    assert canonical_class(value) == name


def test_a_profile_needs_rows_known_columns_and_probabilities() -> None:
    options = ProfileOptions
    with pytest.raises(ConfigError, match=r"^the file has no rows$"):
        profile_columns({"a": []}, options())
    with pytest.raises(ConfigError, match=r"^no column b; allowed: a$"):
        profile_columns({"a": [1]}, options(exclude=("b",)))
    with pytest.raises(
        ConfigError, match=r"^column a: found a list or an object; allowed: numbers, texts and booleans$"
    ):
        profile_columns({"a": [[1]]}, options())
    with pytest.raises(ConfigError, match=r"^column score: found a value outside 0..1; allowed: probabilities"):
        profile_columns({"score": [0.5, 1.5]}, options())


def test_a_profile_knows_numbers_names_missing_values_and_outputs_apart() -> None:
    columns: dict[str, list[Any]] = {
        "age": [1, 2.5, None, float("nan")],
        "zip": [10, 10, 20, None],
        "ok": ["yes", "no", "yes", "yes"],
        "empty": [None] * 4,
        "prediction": [1, 0, 1, 0],
        "score": [0.1, 0.2, None, 0.9],
    }
    found = profile_columns(columns, ProfileOptions(categorical=("zip",), bins=2))
    assert set(found.features) == {"age", "zip", "ok"}
    assert found.features["age"].missing == 2.0
    assert found.features["zip"].bins == ("10", "20", OTHER)
    assert found.features["ok"].counts.tolist() == [3.0, 1.0, 0.0]
    assert found.score is not None
    assert (found.score.counts.sum(), found.rows) == (3.0, 4)
