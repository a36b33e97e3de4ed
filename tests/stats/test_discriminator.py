"""The discriminant is scikit-learn's, joint changes are seen, and healthy rows raise no alarm."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from joint_worlds import BINS, World, binned, chain, dense, draw, mirrored, normal, pair, shuffled, swapped
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.discriminator import Halves, Terms, precision
from mlcanary.stats.placements import CRITICAL_DEVIATIONS
from mlcanary.stats.prequential import BLOCK, Prequential
from mlcanary.stats.rank_scores import score_table, scores_of
from mlcanary.stats.thinning import Thinning

FEATURES = 5


def encoded(rows: int, seed: int, *, change: bool = False) -> tuple[Floats, Floats]:
    """Scores and missing indicators of correlated rows; every ninth value of feature 2 is missing."""
    rng = np.random.default_rng(seed)
    x = normal(World(chain(FEATURES, 0.5)), rows, rng)
    bins = binned(shuffled(x, rng) if change else x)
    bins[::9, 2] = -1
    return scores_of(bins, [score_table(np.ones(BINS))] * FEATURES)


def terms_of(scores: Floats, missing: Floats) -> Floats:
    """All terms by scikit-learn."""
    return np.hstack([PolynomialFeatures(degree=2, include_bias=False).fit_transform(scores), missing])


def test_the_precision_is_that_of_ledoit_and_wolf() -> None:
    sample = encoded(400, 1)
    mean, inverse = precision(Terms.of(FEATURES), *sample)
    x = terms_of(*sample)
    scaler = StandardScaler().fit(x)
    expected = LedoitWolf().fit(scaler.transform(x)).precision_ / np.outer(scaler.scale_, scaler.scale_)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(inverse, expected, rtol=1e-9, atol=1e-9)


def test_the_weights_are_those_of_linear_discriminant_analysis() -> None:
    sample, live = encoded(800, 1), encoded(300, 2, change=True)
    halves = Halves(*sample)
    fit = halves.fit(halves.terms.sums(*live) / 300)
    half_a, rows = terms_of(sample[0][::2], sample[1][::2]), terms_of(*live)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[1 - 1e-12, 1e-12])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.vstack([half_a, rows]), np.repeat([0, 1], [len(half_a), len(rows)]))
    weights = model.coef_[0] / (terms_of(sample[0][1::2], sample[1][1::2]) @ model.coef_[0]).std()
    np.testing.assert_allclose(fit.discriminator.weights, weights, atol=1e-6)
    scores = [fit.discriminator.scores(*part) for part in (live, (sample[0][1::2], sample[1][1::2]))]
    area = roc_auc_score(np.repeat([1, 0], [300, 400]), np.concatenate(scores))
    assert fit.placements(*live).mean() == pytest.approx(area, abs=1e-12)


def test_shifts_add_up_to_the_mean_difference_of_the_scores() -> None:
    sample, live = encoded(800, 1), encoded(300, 2, change=True)
    halves = Halves(*sample)
    sums = halves.terms.sums(*live)
    fit = halves.fit(sums / 300)
    difference = fit.discriminator.scores(*live).mean() - fit.half_b.mean()
    shifts = fit.shifts(sums, 300.0) / 300
    assert shifts.sum() == pytest.approx(difference, abs=1e-8)
    assert set(np.argsort(-shifts)[:2]) == {0, 1}, "column 0 was shuffled, and column 1 depends on it most"


def test_any_batches_give_the_same_placements() -> None:
    rows = encoded(1357, 3)
    whole = Prequential(Halves(*encoded(600, 1)), "").take(*rows)
    assert whole.placements.size == 1357 - BLOCK
    for size in (1, 7, 250):
        state = Prequential(Halves(*encoded(600, 1)), "")
        parts = [state.take(rows[0][i : i + size], rows[1][i : i + size]) for i in range(0, 1357, size)]
        assert np.array_equal(np.concatenate([part.placements for part in parts]), whole.placements)
        np.testing.assert_allclose(sum(part.shifts for part in parts), whole.shifts, rtol=1e-9)


def test_constant_rows_say_nothing_and_break_nothing() -> None:
    flat = np.zeros((50, 3)), np.zeros((50, 3))
    state = Prequential(Halves(*flat), "")
    found = state.take(np.zeros((250, 3)), np.zeros((250, 3)))
    assert set(found.placements.tolist()) == {0.5}
    assert found.shifts.tolist() == [0.0, 0.0, 0.0]


def test_rows_that_lack_what_was_never_missing_are_told_apart() -> None:
    sample = encoded(800, 1)
    state = Prequential(Halves(*sample), "")
    scores, missing = encoded(600, 2)
    missing[:, 0], scores[:, 0] = 1.0, 0.0
    assert state.take(scores, missing).placements.mean() > 0.99


@pytest.mark.parametrize(
    ("world", "least"),
    [
        (World(pair(6, 0.5), shuffled), 0.9),
        (World(pair(6, 0.8), shuffled), 1.0),
        (World(chain(6, 0.6), swapped), 1.0),
        (World(pair(6, 0.5), mirrored), 1.0),
        (World(pair(6, 0.5), shuffled, healthy_before=5000), 0.9),
    ],
    ids=["shuffled .5", "shuffled .8", "swapped", "mirrored", "late"],
)
def test_two_thousand_rows_show_what_no_margin_shows(world: World, least: float) -> None:
    found = [draw(world, 2000, np.random.default_rng([3, i]))[1] for i in range(20)]
    assert np.mean(np.array(found) > CRITICAL_DEVIATIONS) >= least


@pytest.mark.parametrize("world", [World(pair(6, 0.0)), World(dense(6, 0.8))], ids=["independent", "dependent"])
def test_healthy_rows_raise_no_alarm_and_the_standard_error_holds(world: World) -> None:
    """The large form of 10,000 draws is in tests/bench/joint_drift.py."""
    z = np.array([draw(world, 2000, np.random.default_rng([4, i]))[1] for i in range(150)])
    assert z.max() < CRITICAL_DEVIATIONS
    assert 0.7 < z.std() < 1.1
    assert abs(z.mean()) < 0.3


def test_a_busy_minute_is_thinned_and_a_quiet_one_is_not() -> None:
    times = [float(i // 10) for i in range(1200)] + [120.0 + i for i in range(60)]
    chosen = Thinning().choose(times)
    assert sum(place < 600 for place in chosen) == sum(600 <= place < 1200 for place in chosen) == 60 + 68
    assert sum(place >= 1200 for place in chosen) == 60
    state, parts = Thinning(), []
    for start in range(0, len(times), 37):
        other = Thinning()
        other.load(state.dump())
        parts += [start + place for place in other.choose(times[start : start + 37])]
        state = other
    assert parts == chosen
