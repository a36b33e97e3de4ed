"""Every fault is seen by a shipped figure at its critical value, and healthy features raise nothing."""

from __future__ import annotations

import numpy as np
import pytest

from drift_worlds import FAULTS, HEALTHY, LIVE, REFERENCE, Fault, figures, profiled, seen
from mlcanary.measures.drift import Live, drift
from mlcanary.measures.feature_stack import FeatureStack
from mlcanary.measures.reference import numeric_reference
from mlcanary.records import one_by_one

DRAWS = 20


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name} of {fault.feature}")
def test_every_fault_is_seen_on_2000_values(fault: Fault) -> None:
    rng = np.random.default_rng(7)
    spoken = 0
    for _ in range(DRAWS):
        reference = profiled(HEALTHY[fault.feature](rng, REFERENCE))
        spoken += seen(figures(reference, fault.broken(rng, LIVE)))["MLCanaryFeatureChanged"]
    assert spoken >= DRAWS - 1


@pytest.mark.parametrize("feature", HEALTHY)
def test_nothing_is_seen_in_a_healthy_feature(feature: str) -> None:
    rng = np.random.default_rng(8)
    for _ in range(DRAWS):
        found = seen(figures(profiled(HEALTHY[feature](rng, REFERENCE)), HEALTHY[feature](rng, LIVE)))
        assert not any(found.values()), found


def test_a_constant_reference_has_a_distance_in_its_own_unit_only() -> None:
    reference = numeric_reference(np.full(10_000, 0.1), 20)
    live = Live(np.zeros((1, reference.counts.size)), np.zeros(1), 100.0)
    live.counts[0, -1] = 100.0
    found = {(s.name, *s.labels): s.value for s in one_by_one(drift(FeatureStack({"x": reference}), live))}
    assert found["mlcanary_window_feature_wasserstein", "x"] == pytest.approx(0.0, abs=1e-6)
    assert ("mlcanary_window_feature_wasserstein_stddevs", "x") not in found
    assert found["mlcanary_window_undefined", "feature_wasserstein_stddevs", "no_spread"] == 1.0


def test_what_is_undefined_is_named_once() -> None:
    reference = numeric_reference(np.arange(100.0), 20)
    empty, stack = Live(np.zeros((2, reference.counts.size)), np.full(2, np.nan), 0.0), {"a": reference, "b": reference}
    shown = [(s.name, *s.labels) for s in one_by_one(drift(FeatureStack(stack), empty))]
    assert shown == [("mlcanary_window_undefined", "feature_drift", "no_values")]
    nothing = Live(np.zeros((0, 1)), np.zeros(0), 0.0)
    assert [s.labels for s in one_by_one(drift(FeatureStack({}), nothing))] == [("feature_drift", "no_reference")]
