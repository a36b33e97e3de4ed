"""Categories are put in a line by what their rows are like, and stay as they are where nothing says how."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from mlcanary.stats.category_order import leading_order


def test_the_order_is_that_of_the_first_principal_component_of_the_means() -> None:
    rng = np.random.default_rng(1)
    bins = rng.choice(8, 3000, p=[0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05]).astype(np.int32)
    others = rng.normal(0, 1, (3000, 4)) + rng.normal(0, 0.5, (8, 4))[bins]
    others -= others.mean(axis=0)
    means = np.array([others[bins == i].mean(axis=0) for i in range(8)])
    along = PCA(n_components=1).fit(means[bins]).transform(means)[:, 0]
    expected = np.argsort(along if along[0] <= 0 else -along)
    assert leading_order(bins, others, 8).tolist() == expected.tolist()


def test_missing_rows_have_no_say() -> None:
    rng = np.random.default_rng(2)
    bins, others = rng.integers(0, 4, 500).astype(np.int32), rng.normal(0, 1, (500, 3))
    more = np.append(bins, np.full(100, -1, dtype=np.int32)), np.vstack([others, rng.normal(50, 1, (100, 3))])
    assert leading_order(*more, 4).tolist() == leading_order(bins, others, 4).tolist()


def test_where_nothing_is_said_the_order_stays() -> None:
    bins = np.array([0, 1, 2, 1], dtype=np.int32)
    assert leading_order(bins, np.empty((4, 0)), 3).tolist() == [0, 1, 2]
    assert leading_order(bins, np.ones((4, 2)), 3).tolist() == [0, 1, 2]
    assert leading_order(np.full(4, -1, dtype=np.int32), np.eye(4), 3).tolist() == [0, 1, 2]
