"""What the rules record about values of features, over seven restarting sidecars, against NumPy on the raw events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import NumericReference, Reference
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import ModelKey, Prediction
from replicated_release import (
    END,
    START,
    STEP,
    WARM_UP,
    Expected,
    hold,
    replica_of,
    restart_ticks,
    samples_of,
    scraped,
    windows_of,
)

Floats = NDArray[np.float64]
Rows = Sequence[Prediction]

KEY = ModelKey("churn", "v2")
CALM, LEARNT = ModelKey("calm", "v1"), ModelKey("learnt", "v1")
SEED = 18075  # restarts far apart: what a sidecar counts right after one must be less than what it lost
FEATURE, KIND, SCHEMA = (
    "model_version_feature:mlcanary_feature",
    "model_version_feature_kind:mlcanary_feature_values:ratio",
    "model_version:mlcanary_feature_schema:",
)
INDICATORS = ("Feature missing rate against the reference", "Value kinds", "Mistyped values")
"""Rows of the catalogue that only the rules give, and only this test holds."""


def profile() -> Reference:
    """A profile with a spike, a categorical feature with a tail, one that will be gone and one that changes type."""
    rng = np.random.default_rng(1)
    n = 2000
    x = np.where(rng.random(n) < 0.3, 0.0, np.round(rng.normal(40.0, 12.0, n), 3)).tolist()
    columns: dict[str, list[object]] = {
        "x": [None if i % 10 == 0 else value for i, value in enumerate(x)],
        "c": rng.choice(["DE", "FR", "PL", "IT"], n, p=[0.6, 0.3, 0.06, 0.04]).tolist(),
        "gone": rng.random(n).tolist(),
        "retyped": rng.random(n).tolist(),
        "score": rng.beta(2, 5, n).tolist(),
    }
    return profile_columns(columns, ProfileOptions(bins=6, score_bins=5, categories=2))


REFERENCE = profile()
CALM_REFERENCE = profile_columns({"x": list(range(10))}, ProfileOptions(bins=2))
PLAN = MonitorPlan({KEY.model: ModelPlan(reference=REFERENCE), CALM.model: ModelPlan(reference=CALM_REFERENCE)})


def requests(n: int = 3000) -> list[Prediction]:
    """Drifted traffic: missing and mistyped values, numbers out of range, names never seen, a feature more."""
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(START - WARM_UP, START + END, n))
    made = []
    for i, ts in enumerate(times.tolist()):
        x: object = 0.0 if rng.random() < 0.2 else float(rng.normal(44.0, 20.0))
        x = {3: None, 4: "n/a", 5: True, 6: [1]}.get(i % 17, x)
        features = {"x": x, "c": str(rng.choice(["DE", "FR", "IT", "US"])), "retyped": "7" if i % 4 else 0.5}
        features |= {"fresh": 1} if i % 3 == 0 else {}
        made.append(Prediction(KEY, ts, f"r{i}", features, "1", float(np.clip(rng.beta(3, 4), 0.03, 0.8))))
    return made


def finite(rows: Rows, feature: str) -> Floats:
    """Numbers of a feature; booleans are 0 and 1."""
    values = [row.score if feature == "prediction" else row.features.get(feature) for row in rows]
    return np.array([v for v in values if isinstance(v, int | float) and math.isfinite(v)], dtype=np.float64)


def of_numbers(rows: Rows, feature: str, w: str) -> Iterator[Expected]:
    """Moments, quantiles and range of a numeric feature."""
    labels = {**KEY._asdict(), "feature": feature}
    x = finite(rows, feature)
    reference = REFERENCE.watched[feature]
    assert isinstance(reference, NumericReference)
    assert reference.min is not None
    assert reference.max is not None
    for name, value in (("mean", x.mean()), ("variance", x.var()), ("stddev", x.std())):
        yield Expected(f"{FEATURE}_value:{name}{w}", float(value), labels)
    outside = float(np.mean((x < reference.min) | (x > reference.max)))
    yield Expected(f"{FEATURE}_out_of_range:ratio{w}", outside, labels)
    for percentile in (5, 25, 50, 75, 95):
        value = bucket_quantile(reference.edges, x, percentile / 100)
        yield Expected(f"{FEATURE}_value:p{percentile:02d}_{w}", value, labels)


def bucket_quantile(edges: Floats, x: Floats, q: float) -> float:
    """What Prometheus documents of `histogram_quantile`: linear in its bucket, an edge in an open one."""
    counts = np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1)
    reached = np.cumsum(counts)
    i = int(np.argmax(reached >= q * x.size))
    if i == len(edges):
        return float(edges[-1])
    if i == 0 and edges[0] <= 0:
        return float(edges[0])
    low = float(edges[i - 1]) if i else 0.0
    return float(low + (float(edges[i]) - low) * (q * x.size - (reached[i] - counts[i])) / counts[i])


def extremes(rows: Rows, feature: str, w: str) -> Iterator[Expected]:
    """Over what each sidecar has seen since it last began."""
    begun = [START + STEP * max(ticks) for ticks in restart_ticks(SEED)]
    x = finite([row for row in rows if row.ts > begun[replica_of(row)]], feature)
    for name, value in (("min", x.min()), ("max", x.max())):
        yield Expected(f"{FEATURE}_value:{name}{w}", float(value), {**KEY._asdict(), "feature": feature})


def of_names(rows: Rows, w: str) -> Iterator[Expected]:
    """Shares of categories, and of those that the reference never had."""
    labels = {**KEY._asdict(), "feature": "c"}
    found = [row.features["c"] for row in rows]
    yield Expected(f"{FEATURE}_unseen:ratio{w}", found.count("US") / len(found), labels)
    for name, count in (("DE", found.count("DE")), ("other", len(found) - found.count("DE") - found.count("FR"))):
        recorded = f"model_version_feature_bin:mlcanary_feature_bin:ratio_rate{w}"
        yield Expected(recorded, count / len(found), {**labels, "bin": name})


def of_types(rows: Rows, w: str) -> Iterator[Expected]:
    """Kinds, what is missing or mistyped, and what that makes of the schema."""
    for feature in ("x", "retyped"):
        labels = {**KEY._asdict(), "feature": feature}
        values = [row.features[feature] for row in rows]
        present = [value for value in values if value is not None]
        kinds: dict[str, set[type]] = {"number": {int, float}, "text": {str}, "boolean": {bool}, "other": {list}}
        for kind, types in kinds.items():
            share = sum(type(value) in types for value in present) / len(present)
            yield Expected(f"{KIND}{w}", share, {**labels, "kind": kind})
        wrong = 1 - finite(rows, feature).size / len(present)
        yield Expected(f"{FEATURE}_mistyped:ratio{w}", wrong, labels)
        absent = 1 - finite(rows, feature).size / len(values)
        yield Expected(f"{FEATURE}_missing:ratio{w}", absent, labels)
        yield Expected(f"{FEATURE}_missing:ratio_delta{w}", absent - (0.1 if feature == "x" else 0.0), labels)
    for change in ("new", "missing", "mistyped"):  # `fresh`, `gone` and `retyped`
        yield Expected(f"{SCHEMA}{change}{w}", 1.0, KEY._asdict())


def expected_of(rows: Sequence[Prediction]) -> Iterator[Expected]:
    """Everything that is recorded about values."""
    for w, inside in windows_of(rows).items():
        chosen = [row for row in inside if isinstance(row, Prediction)]
        for feature in ("x", "prediction"):
            yield from of_numbers(chosen, feature, w)
            yield from extremes(chosen, feature, w)
        yield from of_names(chosen, w)
        yield from of_types(chosen, w)


def calm(n: int = 400) -> list[Prediction]:
    """A model whose feature is that of its reference, and one without a reference, whose features are learnt."""
    rng = np.random.default_rng(3)
    made = []
    for i, ts in enumerate(np.sort(rng.uniform(START - WARM_UP, START + END, n)).tolist()):
        x = float(rng.normal(1e4, 30.0))
        made.append(Prediction(CALM, ts, f"calm {i}", {"x": 5.0}, "1"))
        made.append(Prediction(LEARNT, ts, f"learnt {i}", {"x": None if i % 9 == 0 else x, "c": "DE"}, "1"))
    return made


def test_recorded_values_equal_numpy_over_restarting_sidecars(tmp_path: Path) -> None:
    rows, others = requests(), calm()
    expected = list(expected_of(rows))
    for w, inside in windows_of(others).items():
        learnt = [row for row in inside if isinstance(row, Prediction) and row.key == LEARNT]
        x = finite(learnt, "x")
        labels = {**LEARNT._asdict(), "feature": "x"}
        expected.append(Expected(f"{FEATURE}_value:mean{w}", float(x.mean()), labels))
        # The centre is 0, so what rounding takes is a share of the squared mean: 1e-13 of 1e8.
        expected.append(Expected(f"{FEATURE}_value:variance{w}", float(x.var()), labels, within=1e-5 / x.var()))
        expected += [Expected(f"{SCHEMA}{change}{w}", 0.0, CALM._asdict()) for change in ("new", "missing", "mistyped")]
    series = scraped(PLAN, [*rows, *others], seed=SEED, families=("feature_min", "feature_max"))
    read = ("mlcanary_feature", "mlcanary_window_feature", "mlcanary_predictions", "mlcanary_prediction_errors")
    hold(tmp_path, {name: values for name, values in series.items() if name.startswith(read)}, expected)


def test_a_schema_without_a_reference_is_unknown_and_not_unchanged() -> None:
    samples = samples_of([row for row in calm() if row.key == LEARNT], PLAN)
    assert [s for s in samples if s.name == "mlcanary_window_schema_changes"] == []
    reasons = {s.labels[3:] for s in samples if s.name == "mlcanary_window_undefined"}
    assert ("schema_changes", "no_reference") in reasons
