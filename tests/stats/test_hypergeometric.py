"""log M of the hypergeometric law against exact sums of whole numbers, and laws of it."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.stats.hypergeometric import log_factorial, log_mgf

TILTS = np.array([-5.12, -3.0, -1.3, -0.2, -0.01, 0.01, 0.05, 0.4, 2.56, 5.12])


def enumerated(n_c: int, n_b: int, m: int, tilts: np.ndarray) -> list[float]:
    """By definition: whole binomials, 50 digits."""
    with localcontext() as context:
        context.prec = 50
        weights = {x: math.comb(n_c, x) * math.comb(n_b, m - x) for x in range(max(0, m - n_b), min(n_c, m) + 1)}
        all_ = Decimal(math.comb(n_c + n_b, m))
        factors = [Decimal(float(theta)).exp() for theta in tilts]
        return [float((sum((w * f**x for x, w in weights.items()), Decimal(0)) / all_).ln()) for f in factors]


@st.composite
def tables(draw: st.DrawFn, largest: int) -> tuple[int, int, int]:
    """Margins of a block: n_c, n_b, m."""
    n_c, n_b = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    return n_c, n_b, draw(st.integers(0, n_c + n_b))


@settings(max_examples=150, deadline=None)
@given(tables(150))
def test_it_is_the_sum_over_all_tables(table: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(log_mgf(*table, TILTS), enumerated(*table, TILTS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("m", [0, 1, 2, 7, 149, 150, 151, 293, 299, 300])
@pytest.mark.parametrize("n_c", [0, 1, 3, 150, 297, 300])
def test_edges_are_exact_as_well(n_c: int, m: int) -> None:
    np.testing.assert_allclose(log_mgf(n_c, 300 - n_c, m, TILTS), enumerated(n_c, 300 - n_c, m, TILTS), atol=1e-12)


@pytest.mark.parametrize(("n_c", "m"), [(50_000, 10_000), (5000, 3000), (50_000, 50_000), (20, 99_000)])
def test_large_counts_are_right_to_a_billionth(n_c: int, m: int) -> None:
    """Against the logarithm of every term, summed from the largest down in extended precision of the sum."""
    n_b, x = 100_000 - n_c, np.arange(max(0, m - 100_000 + n_c), min(n_c, m) + 1)
    steps = (np.log(n_c - x[:-1]) - np.log(x[1:])) + (np.log(m - x[:-1]) - np.log(n_b - m + x[1:]))
    weights = np.concatenate([[0.0], np.cumsum(steps.astype(np.longdouble))])
    weights -= weights.max()
    whole = math.fsum(np.exp(weights).tolist())
    for theta, found in zip(TILTS, log_mgf(n_c, n_b, m, TILTS), strict=True):
        tilted = weights + np.longdouble(theta) * x
        top = tilted.max()
        expected = float(top) + math.log(math.fsum(np.exp(tilted - top).tolist())) - math.log(whole)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("theta", [-5.12, -1.0, 1.0, 5.12])
def test_a_large_tilt_loses_no_mass_far_from_the_mean(theta: float) -> None:
    """A window about the mean of the untilted law would end long before the mode of the tilted one."""
    n_c = n_b = 500
    mean, sd = 250.0, math.sqrt(500 * 0.25 * 0.5)
    near = [x for x in range(501) if abs(x - mean) < 12 * sd]
    terms = (Decimal(math.comb(n_c, x) * math.comb(n_b, 500 - x)) * Decimal(theta * x).exp() for x in near)
    cut = sum(terms, Decimal(0))
    short = float((cut / math.comb(1000, 500)).ln())
    found = float(log_mgf(n_c, n_b, 500, [theta])[0])
    assert found == pytest.approx(enumerated(n_c, n_b, 500, np.array([theta]))[0], abs=1e-11)
    assert found >= short - 1e-11
    assert (found > short + 1.0) == (abs(theta) > 2.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(tables(400), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_bits_of_a_row_depend_on_that_row_alone(rows: list[tuple[int, int, int]], seed: int) -> None:
    n_c, n_b, m = np.array(rows, dtype=np.int64).T
    together = log_mgf(n_c, n_b, m, TILTS)
    for row, expected in zip(rows, together, strict=True):
        assert log_mgf(*row, TILTS).tobytes() == expected.tobytes()
    order = np.random.default_rng(seed).permutation(TILTS.size)
    assert log_mgf(n_c, n_b, m, TILTS[order]).tobytes() == together[:, order].tobytes()
    own = np.tile(TILTS, (len(rows), 1))
    assert log_mgf(n_c, n_b, m, own).tobytes() == together.tobytes()


def test_a_batch_of_several_chunks_has_the_bits_of_its_rows() -> None:
    rng = np.random.default_rng(3)
    n_c, n_b = rng.integers(0, 700, (2, 40, 50))
    m = rng.binomial(n_c + n_b, rng.uniform(0, 1, n_c.shape))
    found = log_mgf(n_c, n_b, m, TILTS)
    assert found.shape == (40, 50, TILTS.size)
    assert found[::7, ::9].tobytes() == log_mgf(n_c[::7, ::9], n_b[::7, ::9], m[::7, ::9], TILTS).tobytes()


@settings(max_examples=100, deadline=None)
@given(tables(3000), st.floats(-400, 400))
def test_it_is_finite_convex_and_zero_at_zero(table: tuple[int, int, int], theta: float) -> None:
    at = np.array([theta, theta / 2, 0.0])
    far, half, none = log_mgf(*table, at)
    assert none == 0.0
    assert math.isfinite(far)
    assert half <= far / 2 + 1e-9 * (1 + abs(far))


@settings(max_examples=100, deadline=None)
@given(tables(300))
def test_swapping_the_arms_mirrors_it(table: tuple[int, int, int]) -> None:
    """The baseline has the m - x other events."""
    n_c, n_b, m = table
    np.testing.assert_allclose(log_mgf(n_b, n_c, m, -TILTS), log_mgf(n_c, n_b, m, TILTS) - TILTS * m, atol=1e-11)


def test_what_can_only_be_one_way_is_told_exactly() -> None:
    n_c, n_b, m = np.array([[0, 9, 4], [9, 0, 4], [5, 5, 0], [5, 6, 11]]).T
    expected = TILTS * np.array([0, 4, 0, 5])[:, None]
    np.testing.assert_allclose(log_mgf(n_c, n_b, m, TILTS), expected, atol=1e-14)


def test_nothing_in_nothing_out() -> None:
    none = np.zeros(0)
    assert log_mgf(none, none, none, TILTS).shape == (0, TILTS.size)


def test_log_factorials_are_the_same_looked_up_and_calculated() -> None:
    small = np.array([0.0, 1.0, 170.0, 32_000.0])
    both = log_factorial(np.append(small, 1e9))
    assert log_factorial(small).tobytes() == both[:-1].tobytes()
    assert both[2] == pytest.approx(math.log(math.factorial(170)), rel=1e-15)
