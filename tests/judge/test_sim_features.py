"""In small: healthy features are called changed no more often than promised, changed ones are found within the bars."""

from __future__ import annotations

import numpy as np
import pytest

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.chi_square import chi_square_from_counts
from mlcanary.stats.psi import psi_from_counts
from sim.bars import SEED, Rate
from sim.feature_worlds import (
    BINS,
    CATEGORIES,
    CONTAMINATION,
    FINE,
    IMPUTED,
    NONE,
    SCALE,
    Change,
    below_the_edges,
    chi_square,
    coarse,
    fewer_of_the_first,
    fixed_size_of_ks,
    psi,
    shift,
    twice_as_many_of_a_rare_one,
)
from sim.features import (
    ALPHA,
    BAR,
    Healthy,
    categorical_delay,
    categorical_healthy,
    family_healthy,
    family_stop,
    numeric_delay,
    numeric_healthy,
    reference_delay,
    reference_healthy,
)


def chance() -> np.random.Generator:
    """The same for every test."""
    return np.random.default_rng(SEED)


def told(value: object) -> str:
    """A change by its name, for the names of tests."""
    return value.name if isinstance(value, Change) else str(value)


def assert_held_where_practice_did_not(found: Healthy) -> None:
    """The promise holds on a stream on which the usual test, looked at each time, breaks its own."""
    assert found.ours.held, found
    name, share = max(found.practice.items(), key=lambda item: item[1])
    broken = Rate(name, round(share * found.ours.runs), found.ours.runs, ALPHA)
    assert not broken.held, found


@pytest.mark.parametrize(("rows", "block"), [(10_000, 50), (1_000, 4_000)])
def test_a_healthy_feature_is_seldom_told_from_its_reference(rows: int, block: int) -> None:
    assert_held_where_practice_did_not(reference_healthy(rows, 25, block, 150, chance()))


def test_healthy_categories_of_two_arms_are_seldom_told_apart() -> None:
    assert_held_where_practice_did_not(categorical_healthy(25, 100, 1, 100, chance()))


def test_healthy_numbers_of_two_arms_are_seldom_told_apart() -> None:
    assert_held_where_practice_did_not(numeric_healthy(15, 100, 1, 60, chance()))


def test_users_who_send_equal_rows_do_not_deceive() -> None:
    assert_held_where_practice_did_not(categorical_healthy(30, 50, 5, 60, chance()))
    assert_held_where_practice_did_not(numeric_healthy(25, 50, 5, 40, chance()))


def test_many_healthy_features_together_are_seldom_told_apart() -> None:
    assert_held_where_practice_did_not(family_healthy(10, 5, 100, 30, chance()))


@pytest.mark.parametrize(("change", "fixed"), [(shift(0.2), 300), (SCALE, 700), (CONTAMINATION, 1000)], ids=told)
def test_changes_are_told_from_a_reference_within_the_bar(change: Change, fixed: int) -> None:
    assert reference_delay(change, 10_000, fixed, 60, chance()).ratio <= BAR


@pytest.mark.parametrize(("change", "fixed"), [(shift(0.2), 540), (IMPUTED, 4000)], ids=told)
def test_changed_numbers_are_found_within_the_bar(change: Change, fixed: int) -> None:
    assert numeric_delay(change, fixed, 12, chance()).ratio <= BAR


@pytest.mark.parametrize(("change", "fixed"), [(shift(0.5), 46), (SCALE, 690)], ids=told)
def test_fixed_sizes_are_those_that_the_bars_are_about(change: Change, fixed: int) -> None:
    assert fixed_size_of_ks(change, 10_000, 200, chance()) == pytest.approx(fixed, rel=0.15)


def test_changed_categories_are_found_within_the_bar() -> None:
    assert categorical_delay("top", fewer_of_the_first, 10, chance()).ratio <= BAR
    assert categorical_delay("rare", twice_as_many_of_a_rare_one, 10, chance()).ratio <= BAR


def test_the_guilty_one_of_many_is_named_and_nobody_else() -> None:
    stop = family_stop(shift(0.5), 2, 10, 50, 20, chance())
    assert stop.false_discovery_rate <= ALPHA
    assert stop.discovered > 0.4
    assert np.isfinite(stop.rows).all()


def test_edges_at_the_quantiles_of_a_reference_lie_where_order_statistics_do() -> None:
    """Means and variances of uniform order statistics, k (1) and k (m + 1 - k) / ((m + 1)^2 (m + 2))."""
    below = coarse_edges(below_the_edges(1_000, 2_000, chance()))
    place = np.arange(1, BINS) * (1_000 / BINS)
    np.testing.assert_allclose(below.mean(axis=0), place / 1_001, atol=0.001)
    np.testing.assert_allclose(below.var(axis=0), place * (1_001 - place) / (1_001**2 * 1_002), rtol=0.15)


def coarse_edges(below: Floats) -> Floats:
    """Probabilities below the edges of the coarse bins."""
    found: Floats = np.cumsum(coarse(NONE.shares(below)), axis=-1)[:, :-1]
    return found


def test_tests_of_many_runs_are_those_of_the_package() -> None:
    rng = chance()
    one, other = rng.multinomial(300, CATEGORIES, size=5), rng.multinomial(500, CATEGORIES, size=5)
    for k in range(5):
        alone = chi_square_from_counts(one[k].astype(np.float64), other[k].astype(np.float64))
        assert alone is not None
        assert chi_square(one, other)[k] == pytest.approx(alone.statistic, rel=1e-9)
        assert psi(one, CATEGORIES)[k] == pytest.approx(
            psi_from_counts(one[k].astype(np.float64), CATEGORIES), rel=1e-9
        )


def test_shares_of_changed_features_are_probabilities() -> None:
    below = np.arange(1, FINE) / FINE
    for change in (shift(0.5), SCALE, CONTAMINATION, IMPUTED):
        shares = change.shares(below)
        assert (shares >= 0).all()
        assert shares.sum() == pytest.approx(1.0)
    assert coarse(IMPUTED.shares(below)).max() == pytest.approx(0.95 / BINS + 0.05)
    for changed in (fewer_of_the_first(CATEGORIES), twice_as_many_of_a_rare_one(CATEGORIES)):
        assert changed.sum() == pytest.approx(1.0)
    assert fewer_of_the_first(CATEGORIES)[0] == pytest.approx(0.25)
    assert twice_as_many_of_a_rare_one(CATEGORIES)[7] == pytest.approx(0.07)
