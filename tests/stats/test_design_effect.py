"""The design effect: independent blocks give 1, clusters their size, a lasting shift nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.stats.design_effect import DesignEffect

NUMBERS = st.floats(-10, 10) | st.just(float("nan"))


def fed(values: list[float], assumed: float = 1.0) -> DesignEffect:
    effect = DesignEffect(assumed=assumed)
    for z in values:
        effect.update(z)
    return effect


@given(st.lists(NUMBERS, max_size=60))
def test_it_is_the_mean_of_squared_successive_differences(values: list[float]) -> None:
    known = np.array([z for z in values if not np.isnan(z)])
    for assumed in (1.0, 2.5):
        expected = (float((np.diff(known) ** 2).sum()) / 2 + 4 * assumed) / (max(known.size - 1, 0) + 4)
        assert float(fed(values, assumed).phi) == pytest.approx(max(1.0, expected), rel=1e-12)


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=20, max_size=30))
def test_side_by_side_is_each_alone(rows: list[list[float]]) -> None:
    effect = DesignEffect((3,))
    for row in rows:
        effect.update(row)
    assert effect.phi.tolist() == [float(fed([row[i] for row in rows]).phi) for i in range(3)]


def test_independent_blocks_give_one_and_a_shift_adds_nothing() -> None:
    z = np.random.default_rng(5).standard_normal(20_000)
    for shift in (0.0, 3.0):
        assert float(fed((z + shift).tolist()).phi) == pytest.approx(1.0, abs=0.03)


def test_clustered_blocks_give_their_variance() -> None:
    z = 1.7 * np.random.default_rng(6).standard_normal(20_000)
    assert float(fed(z.tolist()).phi) == pytest.approx(1.7**2, rel=0.03)


def test_less_than_one_is_not_assumed() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DesignEffect(assumed=0.5)
