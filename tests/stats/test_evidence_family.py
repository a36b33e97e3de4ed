"""Means of evidence, e-Bonferroni and e-BH keep their laws for any input, evidence of nothing included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.stats.evidence_family import e_bh, e_bonferroni, mean_log_e

LOGS = st.lists(st.one_of(st.floats(-800.0, 800.0), st.just(-math.inf)), min_size=1, max_size=12)
ALPHA = st.sampled_from([0.01, 0.05, 0.2])


@given(LOGS)
def test_the_mean_lies_between_the_largest_and_its_share(values: list[float]) -> None:
    found = float(mean_log_e(np.array(values)))
    assert not math.isnan(found)
    assert found <= max(values) + 1e-9
    assert found >= max(values) - math.log(len(values)) - 1e-9


@given(LOGS, st.integers(0, 11), st.floats(0.0, 50.0))
def test_more_evidence_of_one_never_lowers_the_mean(values: list[float], index: int, more: float) -> None:
    raised = np.array(values)
    raised[index % len(values)] += more
    assert float(mean_log_e(raised)) >= float(mean_log_e(np.array(values))) - 1e-9


@given(LOGS, ALPHA)
def test_a_mean_that_is_no_smaller_than_bonferroni_fires_with_it(values: list[float], alpha: float) -> None:
    log_e = np.array(values)
    if (log_e >= math.log(len(values) / alpha) + 1e-9).any():
        assert e_bonferroni(log_e, None, alpha).any()
        assert float(mean_log_e(log_e)) >= -math.log(alpha)


@given(LOGS, ALPHA)
def test_e_bh_names_at_least_whom_e_bonferroni_names(values: list[float], alpha: float) -> None:
    log_e = np.array(values)
    named = e_bh(log_e, alpha)
    assert set(np.flatnonzero(log_e >= math.log(len(values) / alpha))) <= set(named)
    assert list(log_e[named]) == sorted(log_e[named], reverse=True)
    if len(named):
        assert log_e[named].min() >= math.log(len(values) / (alpha * len(named)))


@given(LOGS, ALPHA)
def test_e_bh_takes_the_largest_number_that_passes(values: list[float], alpha: float) -> None:
    log_e, size = np.array(values), len(values)
    ordered = sorted(values, reverse=True)
    passing = [k for k in range(1, size + 1) if ordered[k - 1] >= math.log(size / (alpha * k))]
    assert len(e_bh(log_e, alpha)) == max(passing, default=0)


def test_weights_are_shares_of_the_error_budget() -> None:
    log_e = np.log([24.9, 200.1])
    assert e_bonferroni(log_e, (8.0, 1.0), 0.05).tolist() == [True, True]
    assert e_bonferroni(log_e, (1.0, 8.0), 0.05).tolist() == [False, True]
    assert float(mean_log_e(np.log([1.0, 5.0]), (3.0, 1.0))) == pytest.approx(math.log(2.0))


def test_families_are_combined_over_the_last_axis() -> None:
    log_e = np.array([[0.0, -math.inf], [-math.inf, -math.inf]])
    assert mean_log_e(log_e).tolist() == [-math.log(2.0), -math.inf]
    assert e_bonferroni(log_e, None, 0.05).tolist() == [[False, False], [False, False]]
    assert e_bh(np.array([-math.inf]), 0.05).tolist() == []
