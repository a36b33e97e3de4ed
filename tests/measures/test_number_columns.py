"""Numbers of many features at once: what is known of their order must not change what is counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlcanary.measures.feature_columns import NumberColumns
from mlcanary.stats.moments import LIMIT, moment_sums, plain_moment_sums

CENTERS = np.array([0.0, 2.5, -1e6])
PLAIN = st.floats(-LIMIT, LIMIT)
ANY = PLAIN | st.sampled_from([np.nan, np.inf, -np.inf, 2 * LIMIT, -2 * LIMIT])
MATRICES = st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (3, n), elements=ANY))
PLAIN_MATRICES = st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (3, n), elements=PLAIN))


@given(PLAIN_MATRICES)
def test_sums_of_plain_numbers_need_no_second_look(matrix: np.ndarray) -> None:
    assert plain_moment_sums(matrix, CENTERS).tolist() == moment_sums(matrix, CENTERS).tolist()


@given(MATRICES)
def test_columns_say_what_each_feature_says_alone(matrix: np.ndarray) -> None:
    found = NumberColumns.of(matrix, CENTERS)
    for i, row in enumerate(matrix):
        finite = row[np.isfinite(row)]
        assert found.present(i).tolist() == sorted(finite.tolist())
        assert (found.missing[i], found.infinite[i]) == (np.isnan(row).sum(), np.isinf(row).sum())
        expected = moment_sums(np.where(np.isfinite(row), row, np.nan)[None, :], CENTERS[i : i + 1])[0]
        assert found.sums[i].tolist() == expected.tolist()
