"""The small form of `sim/means.py`, `sim/auc.py` and `sim/sticky_users.py`: the bars that `make sim` shows in full."""

from __future__ import annotations

import numpy as np
import pytest

from sim import auc, means, sticky_users
from sim.means import Stream

MEAN_RATIO = 1.6
"""Of trials until a sick canary is found to those of the best test of a fixed size."""


@pytest.mark.parametrize("stream", means.HEALTHY, ids=lambda stream: str(stream.label))
def test_a_healthy_mean_is_seldom_ever_called_worse(stream: Stream) -> None:
    found = means.healthy(stream, runs=300, looks=200)
    assert found.up.held
    assert found.down.held
    assert found.usual > 0.15, "looking often does not deceive the t-test: the stream shows nothing"


@pytest.mark.parametrize("stream", means.SICK[1:], ids=lambda stream: f"{stream.label} x {stream.factor}")
def test_a_sick_mean_is_found_about_as_fast_as_by_a_fixed_size(stream: Stream) -> None:
    late = means.delay(stream, runs=200)
    assert late.found == 1.0
    assert late.mean <= MEAN_RATIO


@pytest.mark.parametrize("stream", means.AT_MARGIN, ids=lambda stream: f"{stream.label} x {stream.factor}")
def test_a_mean_worse_by_the_margin_is_seldom_ever_promoted(stream: Stream) -> None:
    assert means.promoted(stream, runs=300, looks=150).held


@pytest.mark.parametrize("stream", means.AT_RATIO, ids=lambda stream: f"{stream.label} x {stream.factor}")
def test_nor_is_one_worse_by_a_ratio_however_few_and_large_the_values(stream: Stream) -> None:
    assert means.promoted(stream, runs=300, looks=150, as_ratio=True).held


def test_an_auc_that_drifts_for_both_arms_in_a_ramp_is_seldom_ever_called_worse_by_phase() -> None:
    name, base, stages = auc.HEALTHY[3]
    seen = auc.watch(stages, base, runs=100)
    assert auc.rate(name, seen.by_phase).held
    assert auc.rate(name, seen.pooled).share > 0.9
    assert auc.rate(name, seen.usual).share > 0.9


def test_a_lower_auc_is_found_and_at_the_margin_it_is_seldom_promoted() -> None:
    fixed = auc.fixed_size(0.76, 0.2)
    seen = auc.watch(auc.steady(200, 50, 50, 0.76), 0.2, runs=100, margin=0.04)
    assert auc.rate("at the margin", seen.promoted).held
    assert (seen.by_phase > 0).mean() > 0.95
    assert float(np.mean(seen.by_phase[seen.by_phase > 0])) * 50 <= MEAN_RATIO * fixed


def test_users_who_come_again_deceive_requests_but_not_buckets() -> None:
    sticky = sticky_users.World("sticky", 500, 0.1, sticky_users.constant(0.5, 200))
    seen = sticky_users.watch(sticky, runs=120)
    assert sticky_users.rate("buckets", seen.buckets).held
    assert not sticky_users.rate("requests", seen.requests).held


def test_nor_do_they_in_a_ramp_while_all_rates_swing() -> None:
    ramp = sticky_users.World("ramp", 4000, 0.1, sticky_users.ramp(400), tide=0.8)
    seen = sticky_users.watch(ramp, runs=120)
    assert sticky_users.rate("buckets", seen.buckets).held
    assert not sticky_users.rate("pooled", seen.pooled).held
