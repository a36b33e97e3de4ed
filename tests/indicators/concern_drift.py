"""Drift of a number and a name against a reference, by scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from drift_oracles import bin_of, of_any_kind, of_numbers, share_zscore
from indicators.oracles import Concern, Oracle, Values, per_label
from mlcanary.measures.contract import Measure
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, categorical_reference, numeric_reference
from mlcanary.records import ModelKey, Prediction
from nasty_streams import categories, numbers

Rows = tuple[tuple[float | None, str | None], ...]
"""Both columns, row by row."""

_RNG = np.random.default_rng(20)
AMOUNTS = np.where(_RNG.random(3000) < 0.2, 0.0, _RNG.normal(3.0, 2.0, 3000))
COUNTRIES = _RNG.choice(["DE", "FR", "PL", "IT"], 3000, p=[0.5, 0.3, 0.15, 0.05]).tolist()
REFERENCE = Reference(
    {"amount": numeric_reference(AMOUNTS, 20, 60.0), "country": categorical_reference(COUNTRIES, 3, 0.0)}, rows=3060
)
MISSING = {"amount": (60.0, 3060.0), "country": (0.0, 3000.0)}
NAMES = sorted(set(COUNTRIES), key=lambda name: -COUNTRIES.count(name))[:3]


def rows(stream: str) -> list[Prediction]:
    """Answered requests; what is no number is missing."""
    columns = zip(numbers(stream), categories(stream), strict=True)
    return [
        Prediction(ModelKey("m", "v"), float(i), f"{stream} {i}", {"amount": _number(x), "country": name})
        for i, (x, name) in enumerate(columns)
    ]


def take(measure: Measure, batch: Sequence[Any]) -> None:
    """Feed requests."""
    if batch:
        measure.on_predictions(batch)


def oracle(figure: str) -> Oracle:
    """What scipy says of a figure, per feature that has it."""
    return Oracle(lambda batch: per_label({f: v.get(figure) for f, v in _figures(_columns(batch)).items()}))


def kolmogorov(batch: Sequence[Prediction]) -> Values:
    """The exact distance of the raw values."""
    live = [x for x, _ in _columns(batch) if x is not None]
    return per_label({"amount": ks_2samp(live, AMOUNTS, method="asymp").statistic if live else None})


def _number(value: object) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _columns(batch: Sequence[Prediction]) -> Rows:
    return tuple((p.features["amount"], p.features["country"]) for p in batch)  # type: ignore[misc]


@lru_cache(maxsize=2)
def _figures(batch: Rows) -> dict[str, dict[str, float]]:
    amount = REFERENCE.features["amount"]
    edges, means = amount.edges, amount.means  # type: ignore[union-attr]
    found: dict[str, dict[str, float]] = {"amount": {}, "country": {}}
    live, base = bin_of([x for x, _ in batch if x is not None], edges), bin_of(AMOUNTS.tolist(), edges)
    if live.any():
        found["amount"] = of_any_kind(live, base) | of_numbers(live, base, edges, means, float(AMOUNTS.std()))
    names = [name for _, name in batch if name is not None]
    counts, reference = (
        np.array([*(float(c.count(name)) for name in NAMES), sum(name not in NAMES for name in c)])
        for c in (names, COUNTRIES)
    )
    if counts.any():
        found["country"] = of_any_kind(counts, reference)
    for (name, (absent, of)), column in zip(MISSING.items(), zip(*batch, strict=True), strict=True):
        missing, n = column.count(None), len(batch)
        found[name]["missing_delta_ratio"] = missing / n - absent / of
        found[name]["missing_zscore"] = share_zscore(missing, n, absent, of)
    return found


CONCERN = Concern(
    make=lambda: FeatureMeasure(ModelPlan(reference=REFERENCE)),
    rows=rows,
    take=take,
    oracles={
        "Feature KS distance": Oracle(
            kolmogorov, lower="window_feature_ks_ratio", upper="window_feature_ks_upper_bound_ratio"
        ),
        "Feature observations": oracle("observations"),
        "Feature KS upper bound": oracle("ks_upper_bound_ratio"),
        "Feature KS p-value": oracle("ks_pvalue"),
        "Feature KS critical value": oracle("ks_critical_ratio"),
        "Feature chi-square": oracle("chisquare"),
        "Feature chi-square p-value": oracle("chisquare_pvalue"),
        "Feature chi-square critical value": oracle("chisquare_critical"),
        "Feature Cramer's V": oracle("cramers_v_ratio"),
        "Feature total variation": oracle("total_variation_ratio"),
        "Feature largest bin change": oracle("bin_zscore"),
        "Feature largest bin change critical value": oracle("bin_zscore_critical"),
        "Feature PSI": oracle("psi"),
        "Feature PSI without drift": oracle("psi_expected"),
        "Feature PSI critical value": oracle("psi_critical"),
        "Feature Le Cam distance": oracle("le_cam_ratio"),
        "Feature Le Cam critical value": oracle("le_cam_critical_ratio"),
        "Feature Wasserstein distance": oracle("wasserstein"),
        "Feature Wasserstein distance in standard deviations": oracle("wasserstein_stddevs"),
        "Feature Wasserstein critical value": oracle("wasserstein_critical_stddevs"),
        "Feature missing-rate change": oracle("missing_delta_ratio"),
        "Feature missing-rate z-score": oracle("missing_zscore"),
    },
)
