"""Who is chosen: the same everywhere, nested, independent between stages, and as many as were asked for."""

from __future__ import annotations

import subprocess
import sys
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from mlcanary.stats.row_choice import Stage, Unnamed, chosen, chosen_rows, sampling_error

SHARES = [1 / 2, 1 / 4, 1 / 8, 1 / 16, 0.3]
COUNTED = [f"r-{i}" for i in range(40_000)]
PADDED = [f"req-0000-{i:016x}" for i in range(40_000)]
UUIDS = [f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}" for i in range(40_000)]


def test_the_choice_is_written_down_and_must_never_change() -> None:
    """Sidecars of different releases must choose the same rows."""
    ids = [f"id-{i}" for i in range(24)]
    found = "".join("x" if each else "." for each in chosen(ids, 0.25))
    assert found == "..........xx......x....."


def test_another_process_chooses_the_same_rows() -> None:
    program = """from mlcanary.stats.row_choice import chosen
print(sum(1 << i for i, x in enumerate(chosen([f"r-{i}" for i in range(500)], 0.3)) if x))"""
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            check=True, capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    here = sum(1 << i for i, x in enumerate(chosen(COUNTED[:500], 0.3)) if x)
    assert told == {f"{here}\n".encode()}


@pytest.mark.parametrize("ids", [COUNTED, PADDED, UUIDS], ids=["counted", "padded", "scrambled"])
@pytest.mark.parametrize("share", SHARES)
def test_as_many_are_chosen_as_were_asked_for_in_every_part_of_the_ids(ids: list[str], share: float) -> None:
    mask = chosen(ids, share)
    parts = [mask, mask[::2], mask[1::2], mask[::10], mask[:4000], mask[-4000:]]
    for part in parts:
        assert abs(part.mean() - share) < 4.5 * sqrt(share * (1 - share) / len(part))
    neighbours = np.array([[np.sum(mask[:-1] & mask[1:]), np.sum(mask[:-1] & ~mask[1:])],
                           [np.sum(~mask[:-1] & mask[1:]), np.sum(~mask[:-1] & ~mask[1:])]])  # fmt: skip
    assert chi2_contingency(neighbours).pvalue > 1e-4


@given(st.lists(st.text(max_size=12), min_size=1, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_who_is_chosen_at_a_share_is_chosen_at_every_greater_one(ids: list[str], one: float, other: float) -> None:
    few, many = chosen(ids, min(one, other)), chosen(ids, max(one, other))
    assert (many | ~few).all()
    assert chosen(ids, 1.0).all()
    assert not chosen(ids, 0.0).any()


def test_half_of_a_surrogate_pair_is_an_id_too() -> None:
    assert chosen(["\ud800", *COUNTED[:50]], 0.5)[1:].tolist() == chosen(COUNTED[:50], 0.5).tolist()


def test_stages_choose_independently() -> None:
    features, weights = chosen(COUNTED, 0.5), chosen(COUNTED, 0.5, Stage.WEIGHT)
    table = [[np.sum(features & weights), np.sum(features & ~weights)],
             [np.sum(~features & weights), np.sum(~features & ~weights)]]  # fmt: skip
    assert chi2_contingency(table).pvalue > 1e-4


@given(st.lists(st.integers(0, 30), max_size=8))
def test_rows_without_an_id_are_chosen_by_their_number_whatever_the_batches(sizes: list[int]) -> None:
    whole = Unnamed().chosen(np.full(sum(sizes), 0.25))
    counter = Unnamed()
    parts = [counter.chosen(np.full(size, 0.25)) for size in sizes]
    assert [each for part in parts for each in part.tolist()] == whole.tolist()
    assert counter.count == sum(sizes)


def test_rows_without_an_id_are_no_comb() -> None:
    """Two versions that take turns are both seen."""
    mask = Unnamed().chosen(np.full(20_000, 0.5))
    for part in (mask, mask[::2], mask[1::2], mask[::4]):
        assert abs(part.mean() - 0.5) < 4.5 * 0.5 / sqrt(len(part))


def test_rows_with_and_without_ids_mix() -> None:
    ids = [None if i % 3 == 0 else row_id for i, row_id in enumerate(COUNTED[:300])]
    found = chosen_rows(ids, np.full(300, 0.25), Unnamed())
    named = [i for i, row_id in enumerate(ids) if row_id is not None]
    assert found[named].tolist() == chosen([COUNTED[i] for i in named], 0.25).tolist()
    assert found[::3].tolist() == Unnamed().chosen(np.full(100, 0.25)).tolist()


@pytest.mark.parametrize("share", [1 / 2, 1 / 8])
def test_a_bin_share_of_the_chosen_keeps_the_stated_error(share: float) -> None:
    """In 95 of 100 windows of 2,000 rows: the count of those that do not is binomial."""
    random = np.random.default_rng(7)
    inside = within = 0
    for window in range(400):
        ids = [f"{window}/{i}" for i in range(2000)]
        values = random.random(2000) < 0.5
        mask = chosen(ids, share)
        within += abs(values[mask].mean() - values.mean()) <= sampling_error(float(mask.sum()), 2000.0)
        inside += 1
    assert 0.95 - 4 * sqrt(0.95 * 0.05 / inside) < within / inside < 0.95 + 4 * sqrt(0.95 * 0.05 / inside)


def test_there_is_no_error_where_every_row_was_looked_at() -> None:
    assert sampling_error(10.0, 10.0) == 0.0
    assert sampling_error(0.0, 10.0) == 1.0
    assert sampling_error(1.0, 1e9) == pytest.approx(0.98, abs=0.001)
