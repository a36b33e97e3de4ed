"""The joint test of a replay: which rows and columns it takes. Its e-value is held by the tests of `stats`."""

from __future__ import annotations

import numpy as np

from mlcanary.judged_replay.joint_features import COLUMNS, LEAST_ROWS, ROWS, JointFeatures
from mlcanary.records import ModelKey, Prediction

KEY = ModelKey("m", "v")


def rows(random: np.random.Generator, count: int, **more: object) -> list[Prediction]:
    """Answered requests with two features that say nothing."""
    values = random.normal(size=(count, 2)).tolist()
    return [Prediction(KEY, 0.0, features={"a": a, "b": b, **more}) for a, b in values]


def test_columns_are_the_numbers_of_the_baseline() -> None:
    random = np.random.default_rng(1)
    joint = JointFeatures(exclude=["b"])
    joint.learn(rows(random, 50, text="x", flag=True, late=None))
    assert joint.evidence() is None
    joint.take(rows(random, 30, late=1.0, text=7), rows(random, 30, late=2.0))
    found = joint.evidence()
    assert found is not None
    assert found.features == ("a",)
    assert (found.rows_canary, found.rows_baseline) == (30, 30 + 50)


def test_more_columns_than_the_cap_are_told() -> None:
    wide = [Prediction(KEY, 0.0, features={f"f{i:02d}": float(i + j) for i in range(25)}) for j in range(LEAST_ROWS)]
    joint = JointFeatures(exclude=())
    joint.take(wide, wide)
    found = joint.evidence()
    assert found is not None
    assert found.features == tuple(f"f{i:02d}" for i in range(COLUMNS))
    assert found.left_out == tuple(f"f{i:02d}" for i in range(COLUMNS, 25))


def test_small_blocks_wait_and_large_ones_are_thinned() -> None:
    random = np.random.default_rng(2)
    joint = JointFeatures(exclude=())
    joint.take(rows(random, LEAST_ROWS - 1), rows(random, 3 * ROWS))
    assert joint.evidence() is None
    joint.take(rows(random, 1), rows(random, 5))
    found = joint.evidence()
    assert found is not None
    assert (found.rows_canary, found.rows_baseline) == (LEAST_ROWS, ROWS)


def test_failed_requests_and_strange_values_are_no_rows_and_no_numbers() -> None:
    random = np.random.default_rng(3)
    joint = JointFeatures(exclude=())
    failed = [Prediction(KEY, 0.0, features={"a": 1.0}, error="503")] * 100
    joint.take(rows(random, 40), [*failed, *rows(random, 40)])
    joint.take(rows(random, 40, a=float("inf")), rows(random, 40, a="text"))
    joint.take(rows(random, 40, a=10**400), rows(random, 40))
    found = joint.evidence()
    assert found is not None
    assert (found.rows_canary, found.rows_baseline) == (120, 120)
    assert np.isfinite(found.log_e)


def test_without_a_number_there_is_nothing_to_test() -> None:
    texts = [Prediction(KEY, 0.0, features={"plan": "pro"})] * 50
    joint = JointFeatures(exclude=())
    joint.take(texts, texts)
    joint.take(texts, texts)
    assert joint.evidence() is None


def test_what_shows_in_pairs_only_is_found_and_chance_is_not() -> None:
    random = np.random.default_rng(4)
    bound, alike = JointFeatures(exclude=()), JointFeatures(exclude=())
    for _ in range(20):
        a = random.normal(size=(3, 100))
        tied = [Prediction(KEY, 0.0, features={"a": x, "b": 0.8 * x + 0.6 * y}) for x, y in a[:2].T.tolist()]
        bound.take(tied, rows(random, 100))
        alike.take(rows(random, 100), rows(random, 100))
    found, nothing = bound.evidence(), alike.evidence()
    assert found is not None
    assert nothing is not None
    assert found.log_e > 20
    assert found.auc is not None
    assert found.auc > 0.6
    assert nothing.log_e < 3
