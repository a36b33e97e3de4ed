"""Buckets of users against the definition on raw requests, and where they must agree with independent requests."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.auc_evidence import AUCEvidence
from mlcanary.stats.bucket_evidence import BLOCKS, BucketEvidence
from mlcanary.stats.mean_evidence import GRID, MeanEvidence

BUCKETS = 20
Requests = tuple[Floats, Floats]
"""Bucket and value of each request of one arm in one block."""


def drawn(seed: int, blocks: int = 30, factor: float = 1.0, alike: float = 0.3) -> list[tuple[Requests, Requests]]:
    """0/1 events of users whose rates differ; the level of all rates drifts and the canary's share grows."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(0.2 / alike, 0.8 / alike, (2, BUCKETS))
    found = []
    for k in range(blocks):
        arms: list[Requests] = []
        for size, arm in ((10 + 2 * k, 0), (90 - 2 * k, 1)):
            bucket = rng.integers(0, BUCKETS, size)
            chance = rates[arm][bucket] * (0.5 + k / blocks) * (factor if arm == 0 else 1.0)
            arms.append((bucket.astype(float), (rng.random(size) < chance).astype(float)))
        found.append((arms[0], arms[1]))
    return found


def counted(requests: Requests) -> tuple[Floats, Floats, Floats]:
    """Trials, values and squares by bucket."""
    bucket, values = requests[0].astype(int), requests[1]
    trials, events, squares = (
        np.bincount(bucket, weights=weights, minlength=BUCKETS).astype(float)
        for weights in (np.ones(bucket.size), values, values**2)
    )
    return trials, events, squares


def fed(blocks: list[tuple[Requests, Requests]], *, squares: bool = False, **keywords: float) -> BucketEvidence:
    """Evidence of raw blocks, canary first."""
    evidence = BucketEvidence(BUCKETS, keywords.get("tolerance", 0.0), keywords.get("margin", 0.0))
    for canary, baseline in blocks:
        c, b = counted(canary), counted(baseline)
        if squares:
            evidence.update(c[0], c[1], b[0], b[1], c[2], b[2])
        else:
            evidence.update(c[0], c[1], b[0], b[1])
    return evidence


def promoting(evidence: BucketEvidence) -> Floats:
    """Evidence for promotion, which needs a margin."""
    found = evidence.log_e_noninferior()
    assert found is not None
    return found


def by_definition(blocks: list[tuple[Requests, Requests]], shift: float, sign: float) -> float:
    """Each request's part of M put into its user's bucket, one request at a time; the variance about the ratio."""
    part, weight = np.zeros(BUCKETS), np.zeros(BUCKETS)
    permutation = welch = permutation_at_estimate = moment = information = 0.0
    for (where_c, c), (where_b, b) in blocks:
        h = c.size * b.size / (c.size + b.size)
        mean = np.concatenate([c, b]).mean()
        for where, value in zip(where_c, c, strict=True):
            part[int(where)] += h * (value - mean) / c.size
            weight[int(where)] += h * (1 - c.size / (c.size + b.size)) / c.size
        for where, value in zip(where_b, b, strict=True):
            part[int(where)] -= h * (value - mean) / b.size
            weight[int(where)] += h * (c.size / (c.size + b.size)) / b.size
        moment += h * (c.mean() - b.mean())
        information += h
    estimate = moment / information
    assert part.sum() == pytest.approx(moment)
    assert weight.sum() == pytest.approx(information)
    for (_, c), (_, b) in blocks:
        h = c.size * b.size / (c.size + b.size)
        permutation += h * float(np.concatenate([c - shift, b]).var(ddof=1))
        permutation_at_estimate += h * float(np.concatenate([c - estimate, b]).var(ddof=1))
        welch += h**2 * (float(c.var(ddof=1)) / c.size + float(b.var(ddof=1)) / b.size)
    clustered = BUCKETS / (BUCKETS - 1) * float(((part - estimate * weight) ** 2).sum())
    independent = max(permutation_at_estimate, welch)
    trials = information * independent / max(independent, clustered)
    t = sign * (moment - shift * information) / math.sqrt(max(permutation, welch, clustered))
    terms = zip(np.exp(GRID.log_weights), GRID.effects, strict=True)
    return math.log(math.fsum(w * math.exp(d * t * math.sqrt(trials) - d * d * trials / 2) for w, d in terms))


@pytest.mark.parametrize("factor", [1.0, 1.6, 0.6])
@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_equal_to_the_definition_on_raw_requests(factor: float, shift: float) -> None:
    blocks = drawn(1, factor=factor)
    evidence = fed(blocks, tolerance=shift, margin=shift)
    assert float(evidence.log_e()) == pytest.approx(by_definition(blocks, shift, 1.0), abs=1e-9)
    assert float(promoting(evidence)) == pytest.approx(by_definition(blocks, shift, -1.0), abs=1e-9)


def test_events_of_zero_and_one_need_no_squares() -> None:
    blocks = drawn(2)
    assert fed(blocks).log_e() == fed(blocks, squares=True).log_e()


def test_money_needs_them() -> None:
    blocks = [
        ((where_c, 7.0 * c + where_c / 9), (where_b, 7.0 * b + where_b / 9))
        for (where_c, c), (where_b, b) in drawn(3, factor=1.5)
    ]
    assert float(fed(blocks, squares=True).log_e()) == pytest.approx(by_definition(blocks, 0.0, 1.0), abs=1e-9)


def test_independent_requests_have_no_design_effect_and_alike_ones_have() -> None:
    independent = np.mean([float(fed(drawn(seed, alike=1e-6)).design_effect) for seed in range(20)])
    alike = np.mean([float(fed(drawn(seed, alike=0.5)).design_effect) for seed in range(20)])
    assert 1.0 <= independent < 1.3
    assert alike > 3.0


def test_it_never_says_more_than_independent_requests_do() -> None:
    for seed in range(20):
        blocks = drawn(seed, factor=1.5, alike=0.5)
        requests = MeanEvidence()
        for canary, baseline in blocks:
            requests.update(*(a.sum() for a in counted(canary)), *(a.sum() for a in counted(baseline)))
        buckets = fed(blocks)
        lower, upper = buckets.interval()
        assert float(lower) <= float(requests.interval()[0])
        assert float(upper) >= float(requests.interval()[1])
        assert float(buckets.log_e()) <= max(float(requests.log_e()), 0.0) + 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.5, 2.0), tolerance=st.floats(0.0, 0.05))
def test_a_rollback_at_alpha_shows_an_interval_above_the_tolerance(seed: int, factor: float, tolerance: float) -> None:
    evidence = fed(drawn(seed, 22, factor), tolerance=tolerance, margin=tolerance)
    lower, upper = evidence.interval(0.9)
    assert (float(evidence.log_e()) >= math.log(20.0) - 1e-9) == (float(lower) >= tolerance - 1e-9)
    assert (float(promoting(evidence)) >= math.log(20.0) - 1e-9) == (float(upper) <= tolerance + 1e-9)


def test_nothing_is_said_before_twenty_blocks() -> None:
    blocks = drawn(4, factor=3.0)
    early = fed(blocks[: BLOCKS - 1])
    assert (float(early.log_e()), float(promoting(early))) == (0.0, 0.0)
    assert (early.estimate().lower, early.estimate().upper) == (-math.inf, math.inf)
    assert float(fed(blocks[:BLOCKS]).log_e()) != 0.0


def test_without_a_trial_nothing_is_known() -> None:
    evidence = BucketEvidence(BUCKETS)
    assert float(evidence.log_e()) == 0.0
    assert evidence.log_e_noninferior() is None
    assert float(evidence.design_effect) == 1.0
    assert math.isnan(evidence.estimate().difference)


def test_a_block_with_an_empty_arm_changes_nothing() -> None:
    one, other = fed(drawn(5)), fed(drawn(5))
    other.update(np.ones(BUCKETS), np.ones(BUCKETS), np.zeros(BUCKETS), np.zeros(BUCKETS))
    assert other.log_e() == one.log_e()
    assert other.blocks == one.blocks


def test_bits_do_not_depend_on_the_batch() -> None:
    runs = [drawn(seed, factor=1.3) for seed in range(5)]
    batch = BucketEvidence(BUCKETS, margin=0.0, shape=(5,))
    for block in range(len(runs[0])):
        c, b = (
            [np.stack(rows) for rows in zip(*(counted(run[block][arm]) for run in runs), strict=True)] for arm in (0, 1)
        )
        batch.update(c[0], c[1], b[0], b[1])
    for i, run in enumerate(runs):
        assert batch.log_e()[i] == fed(run).log_e()
        assert promoting(batch)[i] == promoting(fed(run))
        assert tuple(end[i] for end in batch.interval()) == fed(run).interval()


def arrays_of(evidence: object) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays, by name; numbers, None and evidence within evidence are all else that may be there."""
    found: dict[str, tuple[int, ...]] = {}
    for part in dataclasses.fields(evidence):  # type: ignore[arg-type]  # a dataclass, whichever
        value = getattr(evidence, part.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{part.name}.{name}": shape for name, shape in arrays_of(value).items()}
        elif isinstance(value, np.ndarray):
            found[part.name] = value.shape
        else:
            assert value is None or type(value) in {int, float}, part.name
    return found


def test_what_a_snapshot_must_hold_is_settled_by_the_constructor() -> None:
    """An array of no dimension must not turn into a number on its first update."""
    counts = np.full(BUCKETS, 30.0)
    buckets, auc = BucketEvidence(BUCKETS), AUCEvidence(bins=BUCKETS)
    before = arrays_of(buckets), arrays_of(auc)
    buckets.update(counts, counts / 2, counts, counts / 3)
    auc.update(counts, counts, counts, counts, 1)
    auc.update(counts, counts, counts, counts, 2)
    assert (arrays_of(buckets), arrays_of(auc)) == before
    assert len(before[0]) == 13
