"""Drift of the model's own score, the feature `prediction`, by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.stats import ks_2samp

from drift_oracles import bin_of, of_any_kind, of_numbers
from indicators.concern_drift import take
from indicators.oracles import Concern, Oracle, Values, per_label
from mlcanary.catalog import PREDICTION_FEATURE
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, numeric_reference
from mlcanary.records import ModelKey, Prediction
from nasty_streams import scored

SCORES = np.random.default_rng(21).beta(2.0, 5.0, 3000)
PROFILE = numeric_reference(SCORES, 50)


def rows(stream: str) -> list[Prediction]:
    """Answered requests with a score or none."""
    return [
        Prediction(ModelKey("m", "v"), float(i), f"{stream} {i}", score=labeled.score)
        for i, labeled in enumerate(scored(stream))
    ]


def kolmogorov(batch: Sequence[Prediction]) -> Values:
    """The exact distance of the raw scores."""
    scores = _scores(batch)
    return per_label({PREDICTION_FEATURE: ks_2samp(scores, SCORES, method="asymp").statistic if scores else None})


def oracle(figure: str) -> Oracle:
    """What scipy says of a figure."""
    return Oracle(lambda batch: per_label({PREDICTION_FEATURE: _figures(tuple(_scores(batch))).get(figure)}))


def _scores(batch: Sequence[Prediction]) -> list[float]:
    return [p.score for p in batch if p.score is not None]


@lru_cache(maxsize=2)
def _figures(scores: tuple[float, ...]) -> dict[str, float]:
    live, base = bin_of(scores, PROFILE.edges), bin_of(SCORES.tolist(), PROFILE.edges)
    if not live.any():
        return {}
    return of_any_kind(live, base) | of_numbers(live, base, PROFILE.edges, PROFILE.means, float(SCORES.std()))


CONCERN = Concern(
    make=lambda: FeatureMeasure(ModelPlan(reference=Reference(score=PROFILE, rows=3000))),
    rows=rows,
    take=take,
    oracles={
        "Score drift (KS)": Oracle(
            kolmogorov, lower="window_feature_ks_ratio", upper="window_feature_ks_upper_bound_ratio"
        ),
        "Score drift (PSI)": oracle("psi"),
        "Prediction drift (chi-square)": oracle("chisquare"),
        "Prediction drift (Wasserstein)": oracle("wasserstein"),
        "Prediction drift (Le Cam)": oracle("le_cam_ratio"),
    },
)
