"""Which names get a bin, and which rows are counted: laws of `categorical_reference`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.catalog import OTHER
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import CategoricalReference, categorical_reference, choosing_rows

CODES = np.array([f"{i:03d}" for i in range(400)])


def codes(rng: np.random.Generator, rows: int) -> list[str]:
    """Equally likely ones."""
    found: list[str] = rng.choice(CODES, rows).tolist()
    return found


def test_few_names_are_counted_on_all_rows() -> None:
    found = categorical_reference(["b"] * 3 + ["a"] * 5 + ["c"], 50, missing=7.0)
    assert (found.categories, found.counts.tolist(), found.missing) == (("a", "b", "c"), [5.0, 3.0, 1.0, 0.0], 7.0)
    assert (found.tail, found.complete) == ((), True)


@pytest.mark.parametrize(("last", "following", "rows"), [(50, 12, 162), (50, 13, 122)])
def test_a_cut_of_more_than_five_standard_errors_is_counted_on_all_rows(last: int, following: int, rows: int) -> None:
    found = categorical_reference(["a"] * 100 + ["b"] * last + ["c"] * following, 2)
    assert found.counts.sum() == rows
    assert (found.categories, found.tail) == (("a", "b"), ("c",))


@pytest.mark.parametrize(("once", "rows"), [(3, 1003), (4, 753)])
def test_names_that_are_there_by_chance_get_no_bin_from_all_rows(once: int, rows: int) -> None:
    """With many names seen once there are names never seen, and `other` must have their share."""
    found = categorical_reference(["a"] * 1000 + [f"typo {i}" for i in range(once)], 50)
    assert found.counts.sum() == rows
    assert set(found.categories) | set(found.tail) == {"a", *(f"typo {i}" for i in range(once))}


def test_a_quarter_of_the_rows_chooses_and_the_others_are_counted() -> None:
    names = codes(np.random.default_rng(1), 8000)
    found = categorical_reference(names, 50, missing=400.0)
    chose = choosing_rows(8000)
    votes = Counter(name for name, yes in zip(names, chose, strict=True) if yes)
    counts = Counter(name for name, yes in zip(names, chose, strict=True) if not yes)
    assert set(found.categories) == set(sorted(votes, key=lambda name: (-votes[name], name))[:50])
    assert found.counts.tolist()[:-1] == [float(counts[name]) for name in found.categories]
    assert (found.counts.sum(), found.missing) == (6000.0, 300.0)
    assert found.missing_ratio == pytest.approx(400 / 8400)
    assert set(found.categories) | set(found.tail) == set(names)
    assert found.complete
    assert not any(found.is_unseen(name) for name in found.tail)


def test_given_the_choice_the_counts_are_a_sample_like_any_other() -> None:
    """Simulated: the shares of the bins together have their true mean and the variance of a binomial."""
    rng = np.random.default_rng(2)
    shares = np.array([1 - found.counts[-1] / 1500 for found in (_of(codes(rng, 2000)) for _ in range(400))])
    error = np.sqrt(0.125 * 0.875 / 1500)
    assert shares.mean() == pytest.approx(0.125, abs=3 * error / 20)
    assert shares.std() == pytest.approx(error, rel=0.12)


def _of(names: list[str]) -> CategoricalReference:
    return categorical_reference(names, 50)


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", OTHER]), min_size=1, max_size=40), st.integers(1, 5))
def test_no_name_is_lost_and_some_rows_are_counted(names: list[str], limit: int) -> None:
    found = categorical_reference(names, limit, 2.0)
    assert sorted((*found.categories, *found.tail)) == sorted(set(names))
    assert len(found.categories) <= limit
    assert len(names) * 0.5 <= found.counts.sum() <= len(names)
    assert found.missing_ratio == pytest.approx(2 / (len(names) + 2))


@pytest.mark.parametrize("alike", [True, False])
def test_rows_that_all_choose_or_all_do_not_are_divided_anew(alike: bool) -> None:
    found = categorical_reference(["a", "b", "c", "d"], 1, 0.0, np.full(4, alike))
    assert found.counts.sum() == 3.0


def test_a_sample_has_none_of_the_rows_that_chose() -> None:
    names, rows = codes(np.random.default_rng(3), 8000), np.arange(8000).astype(float).tolist()
    options = ProfileOptions(bins=200, sample_rows=10_000)
    found = profile_columns({"code": names, "row": rows}, options)
    assert found.sample is not None
    code = found.features["code"]
    assert np.bincount(found.sample["code"], minlength=51).tolist() == code.counts.tolist()
    whole = profile_columns({"few": ["x", "y"] * 4000, "row": [None, *rows[1:]]}, options)
    assert whole.sample is not None
    assert len(whole.sample["row"]) == 8000


def test_missing_rows_choose_with_the_others() -> None:
    names: list[str | None] = list(codes(np.random.default_rng(4), 8000))
    names[::2] = [None] * 4000
    code = profile_columns({"code": names}, ProfileOptions()).features["code"]
    counted = int((~choosing_rows(8000)[1::2]).sum())
    assert code.counts.sum() == counted
    assert code.missing_ratio == pytest.approx(0.5)
