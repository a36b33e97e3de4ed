"""A service in which nothing fails can be promoted; one that fails more by the margin is not."""

from __future__ import annotations

import numpy as np
import pytest

from mlcanary.catalog import Family
from mlcanary.judge.contract import Plan, Structure, promote_threshold
from mlcanary.judge.measures.registry import measures_of
from mlcanary.stats.accumulator import Floats

PLAN = Plan(margins={"errors": 0.01}, block_seconds=8.0)
CELLS = ("answered", "failed")


def judged(history: tuple[float, float], canary: Floats, baseline: Floats) -> float:
    """Evidence against "worse by the margin" after steps of 10 s, rows of answered and failed."""
    structure = Structure(CELLS, history)
    (errors,) = measures_of("requests", structure, {"requests": structure}, PLAN)
    for step, (c, b) in enumerate(zip(canary, baseline, strict=True)):
        errors.take(c, b, 10.0 * step, 10.0 * (step + 1), 0)
    found = errors.assess()
    assert found.family is Family.ERRORS
    assert found.log_e_noninferior is not None
    return found.log_e_noninferior


def test_600_requests_without_a_failure_exclude_the_margin() -> None:
    steps = np.tile([20.0, 0.0], (30, 1))
    assert judged((5000.0, 0.0), steps, 5 * steps) >= promote_threshold(PLAN)


def test_few_requests_without_a_failure_do_not() -> None:
    steps = np.tile([20.0, 0.0], (10, 1))
    assert judged((5000.0, 0.0), steps, 5 * steps) < promote_threshold(PLAN)


@pytest.mark.parametrize("rate", [0.01, 0.02])
def test_a_canary_that_fails_more_by_the_margin_is_seldom_called_good(rate: float) -> None:
    chance, wrong = np.random.default_rng(3), 0
    for _ in range(20):
        failed = chance.binomial(50, rate, size=40).astype(np.float64)
        canary = np.stack([50.0 - failed, failed], axis=1)
        wrong += judged((5000.0, 0.0), canary, np.tile([250.0, 0.0], (40, 1))) >= promote_threshold(PLAN)
    assert wrong <= 4  # of 20 streams at 5 %: more by chance once in 300


def test_where_both_fail_alike_the_comparison_still_decides() -> None:
    steps = np.tile([900.0, 100.0], (300, 1))
    assert judged((9000.0, 1000.0), steps, steps) >= promote_threshold(PLAN)
