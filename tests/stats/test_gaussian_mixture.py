"""The Gaussian mixture against direct sums, and against values of confseq 0.0.11's normal mixture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.gaussian_mixture import boundary, log_mixture

GRID = EffectGrid.geometric(0.005, math.sqrt(2.0), 18, 0.1)

ONE_SIDED_RHO, TWO_SIDED_RHO = 63.202539627402118, 50.402243917025359
"""1 / variance of the normal prior that confseq chooses for v_opt = 400, alpha_opt = 0.05."""

ONE_SIDED = [
    (-0.4, 1.0, -0.047232091460900238),
    (0.3, 1.0, 0.022280908744233052),
    (2.8, 1.0, 0.29477766153962942),
    (-4.0, 100.0, -0.70740617193656985),
    (0.0, 100.0, -0.47432375976400232),
    (28.0, 100.0, 2.6064469372338999),
    (-20.0, 2500.0, -2.1402989092768596),
    (60.0, 2500.0, -0.58148822763313757),
    (140.0, 2500.0, 2.6623071883677842),
]
TWO_SIDED = [
    (-0.4, 1.0, -0.008266713326630289),
    (2.8, 1.0, 0.066438196564047092),
    (-4.0, 100.0, -0.4934481216334875),
    (28.0, 100.0, 2.0597052755448613),
    (-20.0, 2500.0, -1.883566333564912),
    (140.0, 2500.0, 1.8805457875316716),
]
ONE_SIDED_BOUNDS = [
    (1.0, 0.05, 17.282312939103576),
    (1.0, 0.01, 22.442351135556237),
    (100.0, 0.05, 30.156077330434528),
    (100.0, 0.01, 37.844741236290247),
    (2500.0, 0.05, 145.96156583174036),
    (2500.0, 0.01, 171.89258678584451),
]


def half_normal(rho: float, nodes: int = 300) -> EffectGrid:
    """confseq's one-sided prior, density 2 N(0, 1 / rho) over positive effects, on Gauss-Legendre nodes."""
    top = 9.0 / math.sqrt(rho)
    places, weights = np.polynomial.legendre.leggauss(nodes)
    effects = top * (places + 1.0) / 2.0
    density = np.log(weights * top / 2.0) + math.log(2.0) + 0.5 * math.log(rho / (2.0 * math.pi))
    return EffectGrid(effects, density - rho * effects**2 / 2.0)


@pytest.mark.parametrize(("score", "information", "theirs"), ONE_SIDED)
def test_equal_to_the_one_sided_normal_mixture_of_confseq(score: float, information: float, theirs: float) -> None:
    ours = log_mixture(half_normal(ONE_SIDED_RHO), np.array(score), np.array(information))
    assert float(ours) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("score", "information", "theirs"), TWO_SIDED)
def test_both_directions_together_equal_the_two_sided_one(score: float, information: float, theirs: float) -> None:
    grid, both = half_normal(TWO_SIDED_RHO), np.array([score, -score])
    ours = np.logaddexp.reduce(log_mixture(grid, both, np.full(2, information))) - math.log(2.0)
    assert float(ours) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("information", "alpha", "theirs"), ONE_SIDED_BOUNDS)
def test_equal_to_the_one_sided_bound_of_confseq(information: float, alpha: float, theirs: float) -> None:
    ours = boundary(half_normal(ONE_SIDED_RHO), np.array(information), math.log(1.0 / alpha))
    assert float(ours) == pytest.approx(theirs, rel=1e-10), "their solver halves to 40 bits"


def direct(score: float, information: float) -> float:
    """The definition, one effect after the other."""
    terms = zip(GRID.log_weights, GRID.effects, strict=True)
    return math.log(math.fsum(math.exp(w + d * score - d * d * information / 2) for w, d in terms))


@given(score=st.floats(-200, 200), information=st.floats(0, 400))
def test_equal_to_the_sum_it_is(score: float, information: float) -> None:
    found = float(log_mixture(GRID, np.array(score), np.array(information)))
    assert found == pytest.approx(direct(score, information), rel=1e-12, abs=1e-12)


@given(information=st.floats(1e-6, 1e7), threshold=st.floats(0.1, 50))
def test_the_mixture_at_its_boundary_is_the_threshold(information: float, threshold: float) -> None:
    at = np.array(information)
    score = boundary(GRID, at, threshold)
    assert float(log_mixture(GRID, score, at)) == pytest.approx(threshold, abs=1e-8)


@given(information=st.floats(0.01, 5000))
def test_its_expected_value_under_no_effect_is_one(information: float) -> None:
    """By Gauss-Hermite's rule over the score, which is Gaussian with the information as its variance."""
    small = EffectGrid(GRID.effects / math.sqrt(information), GRID.log_weights)
    places, weights = np.polynomial.hermite_e.hermegauss(80)
    scores = places * math.sqrt(information)
    values: Floats = np.exp(log_mixture(small, scores, np.full(80, information)))
    assert float((weights * values).sum()) / math.sqrt(2 * math.pi) == pytest.approx(1.0, abs=1e-10)


def test_bits_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(5)
    scores, information = rng.normal(0, 30, 37), rng.uniform(0.1, 900, 37)
    together = log_mixture(GRID, scores, information), boundary(GRID, information, 3.0)
    for i in range(37):
        score, at = np.array(scores[i]), np.array(information[i])
        assert together[0][i] == log_mixture(GRID, score, at)
        assert together[1][i] == boundary(GRID, at, 3.0)
