"""Every fault is seen by a shipped figure at its critical value, and healthy features raise nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from drift_worlds import (
    FAULTS,
    HEALTHY,
    LIVE,
    MANY_NAMES,
    REFERENCE,
    Fault,
    chosen_and_counted_on_all_rows,
    figures,
    profiled,
    seen,
)
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


@pytest.mark.parametrize("world", MANY_NAMES)
@pytest.mark.parametrize("n", [1000, 8000])
def test_chance_does_not_choose_the_names_that_it_counts(world: str, n: int) -> None:
    """Simulated: over 8,000 rows, healthy windows keep under the critical values that the old choice passed."""
    rng = np.random.default_rng(9)
    passed: Counter[str] = Counter()
    for _ in range(DRAWS):
        found = seen(figures(profiled(MANY_NAMES[world](rng, 8000)), MANY_NAMES[world](rng, n)))
        passed.update(name for name, yes in found.items() if yes)
    assert passed.total() <= passed["PSI"] <= 1, passed  # PSI of hardly filled bins: 1 % of windows of 1,000 values


def test_names_chosen_and_counted_on_the_same_rows_cry_wolf() -> None:
    """The world that the test before is about: else it would show nothing."""
    rng = np.random.default_rng(9)
    codes = MANY_NAMES["400 codes, equally likely"]
    passed: Counter[str] = Counter()
    for _ in range(DRAWS):
        found = seen(figures(chosen_and_counted_on_all_rows(codes(rng, 8000)), codes(rng, 8000)))
        passed.update(name for name, yes in found.items() if yes)
    assert passed["MLCanaryFeatureChanged"] == DRAWS
    assert min(passed["PSI"], passed["chi-square"], passed["Le Cam"]) > DRAWS / 5
