"""Values of features: learnt ones against NumPy, types, what the reference does not have, outputs, windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure_inputs import PLAN, feed
from mlcanary.catalog import OTHER, Task
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import (
    CategoricalReference,
    NumericReference,
    Reference,
    categorical_reference,
    edges_hash,
    numeric_reference,
)
from mlcanary.monitor.panel import Panel
from mlcanary.records import ModelKey, Prediction, Sample
from nasty_streams import EVERY_PREFIX, STREAMS, numbers

KEY = ModelKey("m", "v")


def request(features: dict[str, Any], **rest: Any) -> Prediction:
    """An answered request."""
    return Prediction(KEY, 0.0, None, features, **rest)


def shown(samples: Iterable[Sample], name: str) -> dict[tuple[str, ...], float]:
    """Values of a family by own labels."""
    return {s.labels: s.value for s in samples if s.name == f"mlcanary_{name}"}


def fed(plan: ModelPlan, batch: Sequence[Prediction]) -> FeatureMeasure:
    """A measure that saw the batch."""
    measure = FeatureMeasure(plan)
    measure.on_predictions(batch)
    return measure


@pytest.mark.parametrize("stream", STREAMS)
def test_moments_of_learnt_features_equal_numpy_at_every_prefix(stream: str) -> None:
    values = [7.5, *numbers(stream)]  # a feature is numeric if its first value is a number
    measure, before = FeatureMeasure(ModelPlan()), 0
    for n in (n for n in EVERY_PREFIX if n <= len(values)):
        measure.on_predictions([request({"x": value}) for value in values[before:n]])
        before = n
        x = np.array([v for v in values[:n] if isinstance(v, int | float) and math.isfinite(v)], dtype=np.float64)
        gauges = list(measure.gauges(60.0))
        rounding = 1e-9 + 1e-13 * x.mean() ** 2
        for name, value in (("mean", x.mean()), ("variance", x.var()), ("min", x.min()), ("max", x.max())):
            assert shown(gauges, f"window_feature_{name}") == {("x",): pytest.approx(value, rel=1e-9, abs=rounding)}
        assert shown(gauges, "window_feature_missing_ratio")[("x",)] == values[:n].count(None) / n


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_learnt_feature_is_numeric_if_its_first_value_is_a_number_in_any_batches(batch: int) -> None:
    rows: list[dict[str, Any]] = [
        {"number": None, "text": None, "flag": True},
        {"number": 3, "text": "4", "flag": 1},
        {"number": "5", "text": 6.0, "flag": 2.0},
        {"number": 7.0, "text": 8.0},
    ]
    measure = FeatureMeasure(ModelPlan())
    for i in range(0, len(rows), batch):
        measure.on_predictions([request(row) for row in rows[i : i + batch]])
    assert shown(measure.counters(), "feature_numbers_total") == {("number",): 2.0}
    assert shown(measure.gauges(60.0), "window_feature_mean") == {("number",): 5.0}
    assert shown(measure.facts(0.0), "feature_center") == {("number",): 0.0}


def test_a_change_of_type_shows_in_the_kinds() -> None:
    reference = Reference({"a": numeric_reference(range(100), 4)})
    values: list[Any] = [1, 2.5, True, "3", [4], {"b": 5}, None, "6"]
    measure = fed(ModelPlan(reference=reference), [request({"a": value}) for value in values])
    kinds = {"number": 2.0, "text": 2.0, "boolean": 1.0, "other": 2.0}
    assert shown(measure.counters(), "feature_values_total") == {("a", kind): n for kind, n in kinds.items()}
    assert shown(measure.counters(), "feature_mistyped_total") == {("a",): 4.0}
    assert shown(measure.gauges(60.0), "window_schema_changes")[("mistyped",)] == 1.0


def test_booleans_are_mistyped_where_the_reference_has_texts_and_texts_where_it_has_booleans() -> None:
    columns: dict[str, list[Any]] = {
        "text": ["True", "False"],
        "boolean": [True, False],
        "named": [True, False],
        "code": [1, 2],
        "rare": ["a", "a", "1"],
    }
    columns = {name: values * 2 for name, values in columns.items()}
    reference = profile_columns(columns, ProfileOptions(categories=1, categorical=("named", "code", "rare")))
    rows = [dict.fromkeys(columns, value) for value in (True, False, "True", None)]
    measure = fed(ModelPlan(reference=reference), [request(row) for row in rows])
    mistyped = {"text": 2.0, "boolean": 1.0, "named": 0.0, "code": 1.0, "rare": 1.0}
    assert shown(measure.counters(), "feature_mistyped_total") == {(name,): n for name, n in mistyped.items()}
    unseen = {"text": 0.0, "named": 1.0, "code": 1.0, "rare": 1.0}
    assert shown(measure.counters(), "feature_unseen_total") == {(name,): n for name, n in unseen.items()}
    assert shown(measure.counters(), "feature_missing_total") == {(name,): 1.0 + n for name, n in mistyped.items()}
    bins = shown(measure.counters(), "feature_bin_total")
    assert {name: sum(n for (of, _), n in bins.items() if of == name) for name in columns} == {
        name: 3.0 - wrong for name, wrong in mistyped.items()
    }
    assert shown(measure.gauges(60.0), "window_schema_changes")[("mistyped",)] == 1.0


def test_features_that_the_reference_does_not_have_are_counted_up_to_the_cap() -> None:
    reference = Reference({"a": numeric_reference(range(100), 4)})
    plan = ModelPlan(reference=reference, limits=Limits(features=2))
    rows: list[dict[str, Any]] = [{"a": 1, "b": None}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "d": 4, "e": 5}]
    measure = fed(plan, [request(row) for row in rows])
    assert shown(measure.counters(), "feature_unexpected_total") == {("b",): 2.0, ("c",): 1.0, (OTHER,): 2.0}
    assert measure.take_folded() == {("features", "d"), ("features", "e")}
    assert shown(measure.gauges(60.0), "window_schema_changes") == {
        ("new",): 3.0,
        ("missing",): 0.0,
        ("mistyped",): 0.0,
    }


def test_rare_names_of_the_reference_are_other_and_yet_not_unseen() -> None:
    reference = Reference({"a": categorical_reference(["x"] * 40 + ["y", OTHER], 1)})
    measure = fed(ModelPlan(reference=reference), [request({"a": name}) for name in ("x", "y", OTHER, "z", 7)])
    assert shown(measure.counters(), "feature_unseen_total") == {("a",): 2.0}
    gauges = list(measure.gauges(60.0))
    assert shown(gauges, "window_feature_unseen_ratio") == {("a",): 0.4}
    assert shown(gauges, "window_feature_category_ratio") == {("a", "x"): 0.2, ("a", OTHER): 0.8}


def test_numbers_outside_of_the_reference_and_beyond_all_bounds_are_out_of_range() -> None:
    reference = Reference({"a": numeric_reference([0.0, 1.0, 2e15], 4)})
    measure = fed(ModelPlan(reference=reference), [request({"a": value}) for value in (-1e-9, 0, 1, 2e15, 3e15)])
    assert shown(measure.counters(), "feature_out_of_range_total") == {("a",): 3.0}
    assert shown(measure.counters(), "feature_numbers_total") == {("a",): 3.0}
    assert shown(measure.gauges(60.0), "window_feature_max") == {("a",): 3e15}


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([1])


@given(st.lists(_VALUES, max_size=30))
def test_bin_numbers_are_row_by_row_and_what_the_measure_counts(column: list[object]) -> None:
    numeric, named = numeric_reference([0.0, 0.0, 1.0, 2.0, 3.0], 3), categorical_reference(["0", "a", "a"], 2)
    plan = ModelPlan(reference=Reference({"n": numeric, "c": named}))
    measure = fed(plan, [request({"n": value, "c": value}) for value in column])
    for name, reference in (("n", numeric), ("c", named)):
        found = reference.bin_numbers(column)
        assert len(found) == len(column)
        assert [reference.bin_numbers([value])[0] for value in column] == found.tolist()
        assert np.bincount(found[found >= 0], minlength=len(reference.bins)).tolist() == (
            measure.parts[f"bins {name}"].values.tolist()
        )
        wrong = sum(value is not None for value in column) - np.count_nonzero(found >= 0)
        assert measure.parts["values"].get(name, "mistyped") == wrong
        missing = shown(measure.counters(), "feature_missing_total").get((name,), 0.0)
        assert missing == len(column) - np.count_nonzero(found >= 0), "every row is in a bin, or its value is missing"


def test_the_output_is_a_number_or_a_class_as_the_task_says() -> None:
    columns = {"prediction": [float(i) for i in range(100)], "y": [float(i % 7) for i in range(100)]}
    options = ProfileOptions(score_bins=10, task=Task.REGRESSION, label_column="y")
    reference = profile_columns(columns, options)
    assert reference.target_mean == pytest.approx(np.mean(columns["y"]))
    regression = ModelPlan(reference=reference, task=Task.REGRESSION)
    batch = [request({}, predicted=text) for text in ("49.5", "59.5", "no number", None, "inf")]
    gauges = list(fed(regression, batch).gauges(60.0))
    assert shown(gauges, "window_feature_mean") == {("prediction",): 54.5}
    assert ("prediction",) in shown(gauges, "window_feature_ks_ratio")
    classes = profile_columns({"prediction": ["a", "a", "b"]}, ProfileOptions(task=Task.MULTICLASS))
    multiclass = fed(ModelPlan(reference=classes, task=Task.MULTICLASS), [request({}, predicted=c) for c in "abbc"])
    share = {("prediction", name): s for name, s in (("a", 0.25), ("b", 0.5), (OTHER, 0.25))}
    assert shown(multiclass.gauges(60.0), "window_feature_category_ratio") == share
    other_task = fed(ModelPlan(reference=classes, task=Task.REGRESSION), batch)
    assert shown(other_task.counters(), "feature_bin_total") == {}
    learnt = fed(ModelPlan(), [request({"prediction": "x"}, score=0.25), request({}, score=0.75)])
    assert shown(learnt.gauges(60.0), "window_feature_mean") == {("prediction",): 0.5}
    assert shown(learnt.counters(), "feature_missing_total") == {}


def test_equal_hashes_mean_equal_centres_and_ranges() -> None:
    one = numeric_reference([0.0, 1.0, 2.0, 3.0], 2)
    edges = ModelPlan().score_edges
    moved = NumericReference(
        one.edges, one.counts[::-1] * np.arange(1, 10), one.means, one.stddev, 0.0, one.min, one.max
    )
    wider = NumericReference(one.edges, one.counts, one.means, one.stddev, 0.0, -1.0, one.max)
    references = [Reference({"a": found}) for found in (one, moved, wider)]
    outputs = [Reference({"a": one}, prediction=one), Reference({"a": one}, prediction=moved)]
    assert len({edges_hash(edges, reference) for reference in (*references, *outputs)}) == 5


def test_a_window_forgets_its_extremes_and_its_quantiles_stay_between_them() -> None:
    reference = Reference({"a": numeric_reference(range(100), 10)})
    panel = Panel(KEY, ModelPlan(reference=reference), (("5m", 300.0), ("1h", 3600.0)), 0.0)
    for minute in range(61):
        level = 1000.0 if minute < 30 else 50.0
        panel.on_predictions([request({"a": level + minute})], 60.0 * minute)
        samples = list(panel.samples(60.0 * minute))
    for window, least, greatest in (("5m", 106.0, 110.0), ("1h", 80.0, 1029.0)):
        own = [s._replace(labels=s.labels[3:]) for s in samples if s.labels[2:3] == (window,)]
        assert shown(own, "window_feature_min") == {("a",): least}
        assert shown(own, "window_feature_max") == {("a",): greatest}
        upper = shown(own, "window_feature_quantile_upper")
        assert upper[("a", "95")] == greatest
        assert min(shown(own, "window_feature_quantile_lower").values()) == max(least, 80.0)
    assert shown(samples, "feature_center") == {(*KEY, "a"): 49.5}


def test_a_restart_begins_its_windows_and_their_extremes_anew() -> None:
    plan = ModelPlan(reference=Reference({"a": numeric_reference(range(100), 10)}))
    first, second = (Panel(KEY, plan, (("5m", 300.0),), 0.0) for _ in range(2))
    first.on_predictions([request({"a": 999.0})], 5.0)
    list(first.samples(10.0))
    second.load(first.dump(), 20.0)
    second.on_predictions([request({"a": 5.0})], 25.0)
    samples = list(second.samples(30.0))
    assert shown(samples, "window_feature_max") == {(*KEY, "5m", "a"): 5.0}
    assert shown(samples, "feature_numbers_total")[(*KEY, "a")] == 2.0


def test_every_value_is_a_plain_float_as_the_page_writes_it() -> None:
    for plan in (PLAN, replace(PLAN, reference=None)):
        measure = feed(FeatureMeasure(plan), 60)
        emitted = [*measure.counters(), *measure.facts(0.0), *measure.gauges(60.0)]
        assert {type(sample.value) for sample in emitted} == {float}


def test_a_reference_knows_its_mean_and_missing_share() -> None:
    found = numeric_reference([1.0, 2.0, 6.0], 2, missing=1.0)
    assert (found.mean, found.center, found.missing_ratio) == (3.0, 3.0, 0.25)
    assert (found.min, found.max) == (1.0, 6.0)
    huge = numeric_reference([1e300, 1e300], 2)
    assert huge.center == 1e15
    named = categorical_reference(["a"] * 40 + ["b"], 1, missing=41.0)
    assert isinstance(named, CategoricalReference)
    assert (named.tail, named.complete, named.missing_ratio) == (("b",), True, 0.5)
