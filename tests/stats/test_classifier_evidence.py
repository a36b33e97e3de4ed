"""The bet never sees the rows it is about, finds what shows in pairs only, and stays calm without a change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.classifier_evidence import ClassifierEvidence
from sim.bars import Rate

COLUMNS = 4


def correlated(rows: int, rng: np.random.Generator) -> Floats:
    """Rows whose first two columns go together; column 3 is skewed, and sometimes missing."""
    found = rng.normal(size=(rows, COLUMNS))
    found[:, 1] = 0.8 * found[:, 0] + 0.6 * found[:, 1]
    found[:, 2] = 1e6 + np.exp(found[:, 2])
    found[rng.random(rows) < 0.1, 2] = np.nan
    return found


def shuffled(rows: int, rng: np.random.Generator) -> Floats:
    """The same, with column 1 from other rows: every column alone is as it was."""
    found = correlated(rows, rng)
    found[:, 1] = rng.permutation(found[:, 1])
    return found


def test_a_shuffled_column_is_found_though_every_column_alone_is_healthy() -> None:
    rng = np.random.default_rng(1)
    evidence = ClassifierEvidence(COLUMNS)
    for _ in range(20):
        evidence.update(shuffled(50, rng), correlated(50, rng))
    assert evidence.log_e() > math.log(1000)
    assert evidence.auc is not None
    assert evidence.auc > 0.65


def test_values_that_go_missing_are_found() -> None:
    rng = np.random.default_rng(2)
    evidence = ClassifierEvidence(COLUMNS)
    for _ in range(30):
        rows = correlated(50, rng)
        rows[rng.random(50) < 0.4, 0] = np.nan
        evidence.update(rows, correlated(50, rng))
    assert evidence.log_e() > math.log(1000)


def test_healthy_canaries_are_seldom_suspected() -> None:
    rng = np.random.default_rng(3)
    suspected, aucs = 0, []
    for _ in range(60):
        evidence = ClassifierEvidence(COLUMNS)
        fired = False
        for _ in range(25):
            evidence.update(correlated(15, rng), correlated(45, rng))
            fired = fired or evidence.log_e() >= math.log(10)
        suspected += fired
        aucs.append(evidence.auc)
    assert Rate("rows of two equal arms", suspected, 60, 0.1).held
    assert np.mean(np.array(aucs, dtype=np.float64)) == pytest.approx(0.5, abs=0.02)


def test_a_block_is_scored_by_the_past_alone() -> None:
    """Rows that come later, or in the same block, change no weight that scores them."""
    rng = np.random.default_rng(4)
    past = [(correlated(40, rng), correlated(40, rng)) for _ in range(3)]
    one, other = ClassifierEvidence(COLUMNS), ClassifierEvidence(COLUMNS)
    for canary, baseline in past:
        one.update(canary, baseline)
        other.update(canary, baseline)
    scores_before = one.histogram.sum()
    one.update(correlated(40, rng), correlated(40, rng))
    strange = np.full((40, COLUMNS), 1e9)
    other.update(strange, -strange)
    assert one.histogram.sum() == other.histogram.sum() == scores_before + 80
    rows = correlated(50, rng)
    assert (one._scores(one._terms(rows)) != other._scores(other._terms(rows))).any()
    third = ClassifierEvidence(COLUMNS)
    for canary, baseline in past[:1]:
        third.update(canary, baseline)
    assert third.histogram.sum() == 0


def test_the_auc_is_that_of_the_scores_out_of_fold() -> None:
    rng = np.random.default_rng(5)
    evidence = ClassifierEvidence(COLUMNS)
    scores: list[Floats] = []
    arms: list[Floats] = []
    for _ in range(6):
        canary, baseline = shuffled(60, rng), correlated(60, rng)
        if evidence.fitted_rows:
            for arm, rows in ((1.0, canary), (0.0, baseline)):
                scores.append(evidence._scores(evidence._terms(rows)))
                arms.append(np.full(len(rows), arm))
        evidence.update(canary, baseline)
    expected = roc_auc_score(np.concatenate(arms), np.concatenate(scores))
    assert evidence.auc == pytest.approx(float(expected), abs=0.005)


def test_no_statement_without_rows_or_without_spread() -> None:
    assert ClassifierEvidence(2).log_e() == 0.0
    assert ClassifierEvidence(2).auc is None
    evidence = ClassifierEvidence(2)
    for _ in range(30):
        evidence.update(np.full((20, 2), 7.0), np.full((20, 2), 7.0))
    assert evidence.log_e() < 0.0
    assert evidence.auc == 0.5
    evidence.update(np.empty((0, 2)), np.full((20, 2), 7.0))
    assert math.isfinite(evidence.log_e())


def test_the_same_blocks_give_the_same_bits() -> None:
    rng = np.random.default_rng(6)
    blocks = [(shuffled(30, rng), correlated(30, rng)) for _ in range(12)]
    found = []
    for _ in range(2):
        evidence = ClassifierEvidence(COLUMNS)
        for canary, baseline in blocks:
            evidence.update(canary, baseline)
        found.append(evidence.log_e())
    assert found[0] == found[1]
