"""A profile reads back as it was written, and anything else is refused in words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.errors import ConfigError
from mlcanary.formats.profile import read_profile, write_profile
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import (
    CategoricalReference,
    FeatureReference,
    NumericReference,
    Reference,
    categorical_reference,
    numeric_reference,
)
from mlcanary.records import ModelKey, Prediction


def equal(one: Reference, other: Reference) -> bool:
    """The same to the last bit."""
    return bool(_plain(one) == _plain(other))


def _plain(reference: Reference) -> Any:
    features = {name: _feature(feature) for name, feature in reference.features.items()}
    score = None if reference.score is None else _feature(reference.score)
    prediction = None if reference.prediction is None else _feature(reference.prediction)
    return list(features.items()), score, reference.rows, reference.model, prediction, reference.target_mean


def _feature(feature: FeatureReference) -> Any:
    if isinstance(feature, CategoricalReference):
        return feature.categories, feature.counts.tolist(), feature.missing, feature.tail, feature.complete
    arrays = (feature.edges.tolist(), feature.counts.tolist(), feature.means.tolist())
    return *arrays, feature.stddev, feature.missing, feature.min, feature.max


_NUMBERS = st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=30)
_NAMES = st.lists(st.text(max_size=5), min_size=1, max_size=30)
_FEATURE = st.builds(lambda x, n: numeric_reference(x, n, 2.0), _NUMBERS, st.integers(1, 10)) | st.builds(
    lambda x, n: categorical_reference(x, n, 1.0), _NAMES, st.integers(1, 5)
)
_FEATURES = st.dictionaries(st.text(max_size=8).filter(lambda name: name != "prediction"), _FEATURE, max_size=4)
_SCORES = st.none() | st.lists(st.floats(0, 1), min_size=1, max_size=20).map(lambda x: numeric_reference(x, 5))


@given(_FEATURES, _SCORES, st.none() | st.text(max_size=5), st.none() | _FEATURE, st.none() | st.floats(-1e9, 1e9))
def test_what_is_written_reads_back_equal(
    features: dict[str, FeatureReference],
    score: NumericReference | None,
    model: str | None,
    prediction: FeatureReference | None,
    target_mean: float | None,
) -> None:
    reference = Reference(features, score, 30, model, prediction, target_mean)
    text = write_profile(reference)
    assert text.endswith(b"\n")
    assert equal(read_profile(text.decode(), "p.json"), reference)
    assert write_profile(read_profile(text.decode(), "p.json")) == text


def test_numbers_in_exponent_form_read_back() -> None:
    reference = Reference({"tiny": numeric_reference(np.array([1e-7, 2e-7, 3e-7, 1e30]), 4)}, rows=4)
    text = write_profile(reference).decode()
    assert "e-" in text
    assert equal(read_profile(text, "p.json"), reference)


def _profile(**changes: Any) -> str:
    document: dict[str, Any] = {
        "mlcanary_profile": 1,
        "rows": 4,
        "features": {
            "age": {"kind": "numeric", "edges": [1.0, 2.0], "counts": [1, 2, 1], "means": [0, 1.5, 3], "stddev": 1.0},
            "plan": {"kind": "categorical", "categories": {"free": 3}, "other": 1},
        },
    }
    document.update(changes.pop("top", {}))
    document["features"]["age"].update(changes.pop("age", {}))
    document["features"]["plan"].update(changes.pop("plan", {}))
    return json.dumps(document, indent=1)


def test_a_profile_of_an_older_version_loads_without_range_and_tail() -> None:
    reference = read_profile(_profile(), "p.json")
    age, plan = reference.features["age"], reference.features["plan"]
    assert isinstance(age, NumericReference)
    assert isinstance(plan, CategoricalReference)
    assert (age.min, age.max, plan.complete, reference.prediction, reference.target_mean) == (
        None,
        None,
        False,
        None,
        None,
    )
    measure = FeatureMeasure(ModelPlan(reference=reference))
    measure.on_predictions([Prediction(ModelKey("m", "v"), 0.0, None, {"age": 1e6, "plan": "never"})])
    shown = {sample.name for sample in (*measure.counters(), *measure.gauges(60.0))}
    assert "mlcanary_window_feature_mean" in shown
    absent = {
        "mlcanary_feature_out_of_range_total",
        "mlcanary_feature_unseen_total",
        "mlcanary_window_feature_out_of_range_ratio",
        "mlcanary_window_feature_unseen_ratio",
    }
    assert shown & absent == set()


def test_a_profile_of_a_thousand_features_stays_small() -> None:
    rng = np.random.default_rng(1)
    numbers = {f"n{i}": numeric_reference(rng.normal(0, 1, 2000), 20) for i in range(900)}
    names = {f"c{i}": categorical_reference(rng.choice(list("abcdefgh"), 2000).tolist(), 50) for i in range(100)}
    assert len(write_profile(Reference({**numbers, **names}, rows=2000))) < 2_500_000


ERRORS = {
    "not a profile": (
        '{"rows": 1}',
        "p.json: found no profile; allowed: a file that `mlcanary profile` wrote",
    ),
    "another version": (
        _profile(top={"mlcanary_profile": 2}),
        "p.json:2: mlcanary_profile: found 2; allowed: 1",
    ),
    "no rows": (_profile(top={"rows": 0}), "p.json:3: rows: found 0; allowed: a whole number >= 1"),
    "edges out of order": (
        _profile(age={"edges": [2.0, 1.0]}),
        "p.json:7: features.age.edges: found edges out of order; allowed: finite numbers, strictly ascending",
    ),
    "edges that repeat": (
        _profile(age={"edges": [1.0, 1.0]}),
        "p.json:7: features.age.edges: found edges out of order; allowed: finite numbers, strictly ascending",
    ),
    "too few counts": (
        _profile(age={"counts": [1, 2]}),
        "p.json:11: features.age.counts: found 2 numbers; allowed: one per bin, 3 for these edges",
    ),
    "too many means": (
        _profile(age={"means": [1, 2, 3, 4]}),
        "p.json:16: features.age.means: found 4 numbers; allowed: one per bin, 3 for these edges",
    ),
    "a range upside down": (
        _profile(age={"min": 3.0, "max": 1.0}),
        "p.json:22: features.age.min: found 3.0; allowed: both min and max, in this order; max is 1.0",
    ),
    "half a range": (
        _profile(age={"min": 3.0}),
        "p.json:22: features.age.min: found 3.0; allowed: both min and max, in this order; max is None",
    ),
    "negative counts": (
        _profile(age={"counts": [1, -2, 1]}),
        "p.json:13: features.age.counts.1: found -2; allowed: a number >= 0.0",
    ),
    "nothing counted": (
        _profile(age={"counts": [0, 0, 0]}),
        "p.json:5: features.age: found no rows at all; allowed: a feature with at least one value",
    ),
    "no category counted": (
        _profile(plan={"categories": {"free": 0}, "other": 0}),
        "p.json:23: features.plan: found no rows at all; allowed: a feature with at least one value",
    ),
    "an unknown kind": (
        _profile(plan={"kind": "text"}),
        "p.json:24: features.plan.kind: found 'text'; allowed: categorical, numeric",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_profile_that_is_wrong_is_refused_in_words(name: str) -> None:
    text, message = ERRORS[name]
    with pytest.raises(ConfigError) as caught:
        read_profile(text, "p.json")
    assert str(caught.value) == message


def test_the_name_of_the_models_own_score_is_reserved() -> None:
    text = json.dumps(
        {"mlcanary_profile": 1, "rows": 1, "features": {"prediction": {"kind": "categorical", "categories": {"a": 1}}}}
    )
    with pytest.raises(ConfigError) as caught:
        read_profile(text, "p.json")
    assert str(caught.value) == (
        "p.json:1: features.prediction: found a feature of this name; "
        "allowed: any other name: this one stands for the model's own score"
    )
