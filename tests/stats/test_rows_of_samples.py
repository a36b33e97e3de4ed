"""Rows of samples at once give what each gives alone, and bins that only fill up a row change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.binned_quantile import binned_quantile, binned_quantiles
from mlcanary.stats.chi_square import chi_square, chi_square_from_counts
from mlcanary.stats.ks import ks, ks_critical, ks_from_counts
from mlcanary.stats.le_cam import le_cam, le_cam_from_counts
from mlcanary.stats.moments import Moments, means, moment_sums, variances
from mlcanary.stats.psi import psi, psi_from_counts
from mlcanary.stats.roc_auc import below
from mlcanary.stats.share_change import largest_rise, largest_share_change
from mlcanary.stats.total_variation import total_variation, total_variation_from_counts
from mlcanary.stats.wasserstein import (
    wasserstein,
    wasserstein_critical,
    wasserstein_from_counts,
    wasserstein_unit_critical,
)

ROWS, BINS, FILLED = 5, 7, 4
GAPS = np.array([0.0, 1.0, 0.5, 2.0, 0.25, 1.0, 3.0])
POINTS = np.array([False, True, False, False, True, False, False])
EDGES = np.array([-2.0, 0.0, 0.5, 3.0, 4.0, 9.0])

Alone = Callable[[Floats, Floats], Any]
AtOnce = Callable[[Floats, Floats, int], Any]


def counts() -> st.SearchStrategy[Floats]:
    """A matrix with empty bins and, now and then, an empty row."""
    row = st.lists(st.integers(0, 4) | st.integers(0, 500), min_size=BINS, max_size=BINS) | st.just([0] * BINS)
    return st.lists(row, min_size=ROWS, max_size=ROWS).map(lambda rows: np.array(rows, dtype=np.float64))


def filled(values: Floats, more: int, rest: float = 0.0) -> Floats:
    """The same rows with `more` places at their end."""
    return np.concatenate([values, np.full((*values.shape[:-1], more), rest)], axis=-1)


STATISTICS: dict[str, tuple[Alone, AtOnce]] = {
    "psi": (psi_from_counts, lambda a, b, _: psi(a, b)),
    "le_cam": (le_cam_from_counts, lambda a, b, _: le_cam(a, b)),
    "total_variation": (total_variation_from_counts, lambda a, b, _: total_variation(a, b)),
    "chi_square": (chi_square_from_counts, lambda a, b, _: chi_square(a, b)),
    "ks": (
        lambda a, b: ks_from_counts(a, b, POINTS),
        lambda a, b, more: ks(a, b, filled(POINTS.astype(float), more, 1.0) > 0),
    ),
    "wasserstein": (
        lambda a, b: wasserstein_from_counts(a, b, GAPS),
        lambda a, b, more: wasserstein(a, b, filled(GAPS, more)),
    ),
    "largest_rise": (
        largest_share_change,
        lambda a, b, more: largest_rise(a, b, np.arange(BINS + more) < BINS),
    ),
}


@pytest.mark.parametrize("more", [0, FILLED])
@pytest.mark.parametrize("name", STATISTICS)
@given(counts(), counts())
def test_rows_of_a_matrix_are_what_each_is_alone(name: str, more: int, a: Floats, b: Floats) -> None:
    alone, at_once = STATISTICS[name]
    found = at_once(filled(a, more), filled(b, more), more)
    fields = found if isinstance(found, tuple) else (found,)
    for i in range(ROWS):
        one = alone(a[i], b[i])
        row = [float(field[i]) for field in fields]
        if one is None:
            assert np.isnan(row[0])
        else:
            assert row == pytest.approx(one if isinstance(one, tuple) else (one,), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("more", [0, FILLED])
@given(counts(), st.lists(st.floats(0, 5), min_size=2 * ROWS, max_size=2 * ROWS))
def test_quantiles_of_rows_are_those_of_each(more: int, counted: Floats, beyond: list[float]) -> None:
    least, greatest = EDGES[0] - np.array(beyond[:ROWS]), EDGES[-1] + np.array(beyond[ROWS:])
    edges, qs = filled(np.tile(EDGES, (ROWS, 1)), more, np.inf), (0.05, 0.5, 1.0)
    found = binned_quantiles(edges, filled(counted, more), qs, least, greatest)
    for i in range(ROWS):
        for j, q in enumerate(qs):
            one = binned_quantile(EDGES, counted[i], q, float(least[i]), float(greatest[i]))
            if one is None:
                assert np.isnan(found.value[i, j])
            else:
                assert [float(field[i, j]) for field in found] == pytest.approx(one, rel=1e-12)


@given(st.lists(st.floats(0.1, 9.9), min_size=1, max_size=9), st.floats(0.01, 1.0))
def test_a_quantile_of_fractions_of_counts_is_within_the_numbers(weights: list[float], q: float) -> None:
    """Sums of weights need not be whole, and the next whole rank may lie beyond all of them."""
    found = binned_quantile(np.arange(1.0, len(weights)), np.array(weights), q, 0.0, 10.0)
    assert found is not None
    assert 0.0 <= found.lower <= found.value <= found.upper <= 10.0


@given(counts(), st.integers(1, 1000))
def test_critical_distances_of_rows_are_those_of_each(reference: Floats, n: int) -> None:
    reference += 1.0
    noise = 1 / n + 1 / reference.sum(axis=-1)
    gaps = filled(GAPS, FILLED)
    critical = np.sqrt(noise) * wasserstein_unit_critical(filled(reference, FILLED), gaps, 1e-5)
    distances = ks_critical(noise, 1e-5)
    for i in range(ROWS):
        assert critical[i] == pytest.approx(wasserstein_critical(reference[i], GAPS, float(noise[i]), 1e-5), rel=1e-12)
        assert distances[i] == pytest.approx(ks_critical(float(noise[i]), 1e-5), rel=1e-15)


def test_moments_of_rows_are_those_of_each() -> None:
    numbers = np.array([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0], [np.nan] * 3])
    centers = np.array([2.0, 0.0, 1.0])
    sums = moment_sums(numbers, centers)
    rows = [Moments(*row) for row in sums.tolist()]
    for found, alone in (
        (means(sums, centers), [m.mean(c) for m, c in zip(rows, centers.tolist(), strict=True)]),
        (variances(sums), [m.variance() for m in rows]),
    ):
        assert found[:2].tolist() == alone[:2]
        assert np.isnan(found[2])
        assert alone[2] is None


@given(counts())
def test_counts_below_of_rows_are_those_of_each(counted: Floats) -> None:
    assert below(counted).tolist() == [[float(row[:i].sum()) for i in range(BINS)] for row in counted]
