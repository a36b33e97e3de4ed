"""Intervals over users hold what they promise where users are not alike; `bench/interval_coverage.py` has more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clustered_users import World, coverage, false_alarms, mismatches
from mlcanary.stats.ratio import mean, proportion, ratio
from mlcanary.stats.user_buckets import BUCKETS, STUDENT_95, clustered


def test_the_interval_over_users_holds_the_click_rate_where_that_over_requests_does_not() -> None:
    held = coverage(World(2000, "lognormal", 5.0), draws=600, seed=1)["CTR"]
    assert 0.93 <= held.users <= 0.97
    assert held.events < 0.75


def test_both_intervals_hold_it_where_users_are_alike() -> None:
    held = coverage(World(2000, "Poisson", 500.0), draws=600, seed=2)["CTR"]
    assert 0.93 <= held.users <= 0.97
    assert 0.93 <= held.events <= 0.97


def test_two_equal_versions_differ_as_seldom_as_promised() -> None:
    told = false_alarms(World(4000, "lognormal", 5.0), World(1000, "lognormal", 5.0), draws=500, seed=5)["CTR"]
    assert told.users <= 0.08
    assert told.events > 0.25


def test_heavy_sticky_users_do_not_make_a_correct_split_look_wrong() -> None:
    right = mismatches(World(5000, "lognormal", 5.0), 500, 3, configured=0.05, actual=0.05)
    assert right.users <= 0.01
    assert right.requests > 0.2
    wrong = mismatches(World(20_000, "lognormal", 5.0), 100, 4, configured=0.05, actual=0.08)
    assert wrong.users >= 0.95


def test_the_quantile_is_that_of_t_with_one_degree_less_than_buckets() -> None:
    assert pytest.approx(stats.t.ppf(0.975, BUCKETS - 1), rel=1e-12) == STUDENT_95


def test_few_users_have_no_spread() -> None:
    """A single user would have a standard error of 0, which is the contrary of certain."""
    one = np.zeros(BUCKETS)
    one[5] = 100.0
    found = clustered(one / 4, one)
    assert found is not None
    assert found == (0.25, None)
    assert clustered(one, np.zeros(BUCKETS)) is None


def test_what_has_no_trials_has_no_rate() -> None:
    assert proportion(3, 0) is None
    assert ratio(3, 0, both=0) is None
    assert mean(0.0, 0.0, 0) is None
    assert mean(3.0, 9.0, 1) == (3.0, None)
