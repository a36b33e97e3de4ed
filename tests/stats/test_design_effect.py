"""The design effect: independent blocks give 1, clusters their size, a lasting shift nothing."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import DesignEffect

NUMBERS = st.floats(-10, 10) | st.just(float("nan"))


def fed(values: list[float], assumed: float = 1.0) -> DesignEffect:
    effect = DesignEffect(assumed=assumed)
    for z in values:
        effect.update(z)
    return effect


@settings(max_examples=50, deadline=None)
@given(st.lists(NUMBERS, max_size=60))
def test_it_is_the_mean_of_squared_successive_differences(values: list[float]) -> None:
    """Without the two largest, with its assumption as four more blocks; its upper bound where it is clearly over 1."""
    known = [z for z in values if not np.isnan(z)]
    squares = sorted((b - a) ** 2 for a, b in pairwise(known))[:-2]
    n = max(len(known) - 1, 0)
    weight = max(n - 1.66 * (math.log(n + 1) + math.log(max(n / 2, 1))), 0) + 4
    error = math.sqrt(3 / weight)
    for assumed in (1.0, 2.5):
        ratio = (sum(squares) / 2 + 4 * assumed) / weight
        above = max((ratio - 1) / error, 0.0)
        clearly = min(max(above - 1, 0.0), 1.0)
        expected = 1 + min(above, 1.0) * (ratio * (1 + error * clearly) - 1)
        assert float(fed(values, assumed).phi) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("onset", [[], [15.0]])
def test_a_fault_that_begins_is_no_cluster(onset: list[float]) -> None:
    """At a border of blocks, or inside of one."""
    before, after = np.random.default_rng(8).standard_normal((2, 40))
    faulty = float(fed([*before.tolist(), *onset, *(after + 30.0).tolist()]).phi)
    assert faulty < 1.5, "one step of 30 alone would make it 12"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=20, max_size=30))
def test_side_by_side_is_each_alone(rows: list[list[float]]) -> None:
    effect = DesignEffect((3,))
    for row in rows:
        effect.update(row)
    assert effect.phi.tolist() == [float(fed([row[i] for row in rows]).phi) for i in range(3)]


def over_many_blocks(z: Floats) -> Floats:
    """phi of each column after all rows."""
    effect = DesignEffect((z.shape[1],))
    for row in z:
        effect.update(row)
    return effect.phi


def test_independent_blocks_give_one_and_a_shift_adds_little() -> None:
    """At least 1 by definition, so a little above it on average."""
    z = np.random.default_rng(5).standard_normal((1000, 50))
    for shift in (0.0, 3.0):
        assert 1.0 < float(over_many_blocks(z + shift).mean()) < 1.04


def test_clustered_blocks_give_their_variance_or_a_little_more() -> None:
    z = 1.7 * np.random.default_rng(6).standard_normal((1000, 50))
    assert 1.7**2 < float(over_many_blocks(z).mean()) < 1.08 * 1.7**2


def test_less_than_one_is_not_assumed() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DesignEffect(assumed=0.5)
