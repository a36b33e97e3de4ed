"""Evidence that a rate is below a limit: against its definition, and its promise at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from mlcanary.stats.low_rate_evidence import log_e_below

LIMIT, ALPHA = 0.01, 0.05


def by_definition(trials: int, bad: int) -> float:
    ratios = [(q / LIMIT) ** bad * ((1 - q) / (1 - LIMIT)) ** (trials - bad) for q in (0.0, 0.00125, 0.0025, 0.005)]
    return sum(ratios) / 4


@pytest.mark.parametrize(("trials", "bad"), [(0, 0), (1, 0), (1, 1), (500, 0), (500, 3), (3000, 40)])
def test_it_is_the_mean_of_likelihood_ratios(trials: int, bad: int) -> None:
    assert math.exp(log_e_below(trials, bad, LIMIT)) == pytest.approx(by_definition(trials, bad), rel=1e-9)


def test_500_requests_without_a_failure_exclude_a_rate_of_1_percent() -> None:
    assert log_e_below(500, 0, LIMIT) > math.log(1 / ALPHA) > log_e_below(200, 0, LIMIT)


@pytest.mark.parametrize("rates", [(0.01, 0.01), (0.01, 0.03), (0.05, 0.01)])
def test_a_rate_at_the_limit_or_above_is_excluded_at_most_as_often_as_promised(rates: tuple[float, float]) -> None:
    chance, streams, looks = np.random.default_rng(5), 2000, 60
    rate = np.where(np.arange(looks) % 2 == 0, *rates)
    bad = np.cumsum(chance.binomial(50, rate, size=(streams, looks)), axis=1)
    evidence = log_e_below(50.0 * np.arange(1, looks + 1), bad, LIMIT)
    excluded = int((evidence.max(axis=1) >= math.log(1 / ALPHA)).sum())
    assert binomtest(excluded, streams, ALPHA, alternative="greater").pvalue > 1e-4


def test_clusters_weaken_it() -> None:
    assert log_e_below(1000, 0, LIMIT, phi=3.0) < log_e_below(1000, 0, LIMIT)


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1])
def test_a_limit_outside_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="limit inside"):
        log_e_below(1.0, 0.0, limit)
