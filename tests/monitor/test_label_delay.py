"""Late labels do not make a healthy canary look bad: mature figures compare, provisional ones say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from label_delay_world import CVR, arms, counters, monitored, read, silent_but_for_the_broken_one
from mlcanary.catalog import BY_NAME

REPLAYS, ALERTED = 100, 25
MATURITIES = pytest.mark.parametrize("maturity", [1800.0, 3600.0])


@MATURITIES
def test_the_counters_of_a_replay_are_those_of_the_monitor(maturity: float) -> None:
    made = arms(np.random.default_rng(1), maturity)
    expected = {version: counters(arm, maturity) for version, arm in made.items()}
    for tick, shown in monitored(made, maturity):
        for version, found in expected.items():
            for key, values in found.items():
                assert shown.get((version, key), 0.0) == pytest.approx(values[tick], rel=1e-9), (version, key, tick)


@MATURITIES
def test_the_mature_comparison_finds_no_difference_where_the_provisional_figure_lies(maturity: float) -> None:
    readings = [read(arms(np.random.default_rng([7, i]), maturity), maturity) for i in range(REPLAYS)]
    assert max(x.provisional for x in readings) < CVR / 4, "so far, far below the truth"
    assert max(x.so_far for x in readings) < CVR / 4 < min(x.baseline for x in readings)
    inside = sum(abs(x.delta) <= 1.96 * x.stderr for x in readings)
    assert binomtest(inside, REPLAYS, 0.95).pvalue > 0.01, inside


def test_the_provisional_figure_says_that_it_is_provisional_in_name_and_text() -> None:
    families = [row for row in BY_NAME.values() if "provisional" in row.name]
    assert len(families) == 5
    assert all("biased by whatever comes sooner" in row.help and "Nobody acts on it" in row.help for row in families)


@MATURITIES
def test_no_alert_speaks_of_a_healthy_canary_and_one_does_of_a_broken_one(tmp_path: Path, maturity: float) -> None:
    silent_but_for_the_broken_one(tmp_path, maturity, range(ALERTED))
