"""HyperLogLog against sets: registers bit by bit, errors at many sizes, overlaps within their stated error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mlcanary.stats.distinct import PRECISION, HyperLogLog, overlap, relative_error

SEEDS = range(20)
SIZES = [(1000, 1000), (20_000, 20_000), (20_000, 80_000), (1000, 99_000), (40_000, 1000)]


def hashes(n: int, seed: int) -> NDArray[np.uint64]:
    """Uniform over 64 bits."""
    return np.random.default_rng(seed).integers(0, 2**64 - 1, n, dtype=np.uint64, endpoint=True)


def sketch(*parts: NDArray[np.uint64], precision: int = PRECISION) -> HyperLogLog:
    """A sketch of all parts."""
    made = HyperLogLog.empty(precision)
    for part in parts:
        made.update_many(part)
    return made


@pytest.mark.parametrize("precision", [11, 14, 16])
def test_registers_are_what_the_definition_says(precision: int) -> None:
    edges = [0, 2**64 - 1, *(2**k for k in range(64)), *(2**k - 1 for k in range(1, 64))]
    seen = [*edges, *hashes(2000, 1).tolist()]
    left = 64 - precision
    expected = [0] * (1 << precision)
    for h in seen:
        zeros = left - (h & ((1 << left) - 1)).bit_length()
        expected[h >> left] = max(expected[h >> left], zeros + 1)
    assert sketch(np.array(seen, dtype=np.uint64), precision=precision).registers.tolist() == expected


@pytest.mark.parametrize("users", [1, 10, 100, 1000, 10_000, 40_000, 100_000, 300_000])
def test_the_error_is_the_one_that_is_stated_and_has_no_direction(users: int) -> None:
    errors = np.array([sketch(hashes(users, seed)).estimate() / users - 1 for seed in SEEDS])
    assert np.sqrt((errors**2).mean()) <= 1.4 * relative_error()
    assert abs(errors.mean()) <= 4 * relative_error() / np.sqrt(len(SEEDS))
    assert np.abs(errors).max() <= 4 * relative_error()


def test_nobody_is_exactly_zero_and_a_full_sketch_is_finite() -> None:
    assert HyperLogLog.empty().estimate() == 0.0
    assert np.isfinite(HyperLogLog(np.full(1 << 15, 49, dtype=np.uint8)).estimate())
    assert HyperLogLog(np.full(1 << 15, 50, dtype=np.uint8)).estimate() == 2.0**64


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("one", "other"), SIZES)
def test_the_overlap_lies_within_its_stated_error(one: int, other: int, share: float) -> None:
    both = min(int(one * share), other)
    misses = []
    for seed in SEEDS:
        h = hashes(one + other, seed)
        found = overlap(sketch(h[:one]), sketch(h[one - both : one - both + other]))
        assert found is not None
        misses.append(abs(found.ratio - both / one) / found.error)
    assert np.median(misses) <= 0.5
    assert sum(miss > 1 for miss in misses) <= 1  # three standard errors: one in 370
    assert max(misses) <= 4 / 3


def test_an_empty_set_has_no_overlap_and_an_empty_other_overlaps_with_nobody() -> None:
    some, nobody = sketch(hashes(100, 1)), HyperLogLog.empty()
    assert overlap(nobody, some) is None
    found = overlap(some, nobody)
    assert found is not None
    assert found.ratio == 0.0


def test_other_precisions_are_refused() -> None:
    fine, coarse = HyperLogLog.empty(14), HyperLogLog.empty(12)
    with pytest.raises(ValueError, match="4096 registers, 16384 wanted"):
        fine.merge(coarse)
    with pytest.raises(ValueError, match="16384 registers, 4096 wanted"):
        coarse.load(fine.dump())


@pytest.mark.parametrize("users", [0, 1, 3000, 100_000])
def test_a_dump_is_small_while_there_are_few_users(users: int) -> None:
    made, restored = sketch(hashes(users, 1)), sketch(hashes(10, 2))
    dumped = made.dump()
    restored.load(dumped)
    assert (restored.registers == made.registers).all()
    assert sum(len(part) for part in dumped[1:]) <= min(3 * users, 1 << 15)
