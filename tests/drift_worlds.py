"""Healthy features, faults in them, and who sees which: what the drift figures are accepted by.

`LIVE` rows are held against a reference of `REFERENCE` rows by the very function whose figures the exporter shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import OBJECTIVES
from mlcanary.measures.drift import Live, drift
from mlcanary.measures.feature_stack import FeatureStack
from mlcanary.measures.reference import (
    CategoricalReference,
    FeatureReference,
    categorical_reference,
    numeric_reference,
)
from mlcanary.records import one_by_one

LIVE, REFERENCE = 2000, 10_000
BINS, CATEGORIES = 20, 50
LIMITS = {row.name: row.default for row in OBJECTIVES}
MISSING_Z = 4.26
Column = NDArray[np.object_]
"""Raw values, None where missing."""


def _shares(size: int, steepness: float = 1.0) -> NDArray[np.float64]:
    falling = np.arange(1, size + 1) ** -steepness
    shares: NDArray[np.float64] = falling / falling.sum()
    return shares


NAMES = np.array([f"c{i}" for i in range(12)], dtype=object)
CODES = np.array([f"c{i:04d}" for i in range(3000)], dtype=object)
HEALTHY: Mapping[str, Callable[[np.random.Generator, int], Column]] = {
    "normal": lambda rng, n: rng.normal(50, 12, n).astype(object),
    "lognormal": lambda rng, n: rng.lognormal(3, 1, n).astype(object),
    "zero-heavy": lambda rng, n: np.where(rng.random(n) < 0.4, 0.0, rng.exponential(100, n)).astype(object),
    "integer": lambda rng, n: rng.poisson(6, n).astype(object),
    "categorical": lambda rng, n: rng.choice(NAMES, n, p=_shares(12)),
    "with gaps": lambda rng, n: _with_gaps(rng, rng.normal(50, 12, n).astype(object), 0.05),
    "400 codes": lambda rng, n: rng.choice(CODES[:400], n),
}
MANY_NAMES: Mapping[str, Callable[[np.random.Generator, int], Column]] = {
    "400 codes, equally likely": HEALTHY["400 codes"],
    "60 codes, equally likely": lambda rng, n: rng.choice(CODES[:60], n),
    "400 codes, shares 1 / rank": lambda rng, n: rng.choice(CODES[:400], n, p=_shares(400)),
    "shares 1 / rank^2.5, some 48 of 3,000 names seen": lambda rng, n: rng.choice(CODES, n, p=_shares(3000, 2.5)),
}
"""Healthy features of which chance has a say in the names that a sample has most often, or has at all."""


@dataclass(frozen=True)
class Fault:
    """Live values of a feature, broken; the reference is the healthy `feature`."""

    name: str
    feature: str
    broken: Callable[[np.random.Generator, int], Column]


def _with_gaps(rng: np.random.Generator, column: Column, share: float) -> Column:
    return _replaced(rng, column, share, None)


def _replaced(rng: np.random.Generator, column: Column, share: float, by: object) -> Column:
    return np.array([by if yes else x for x, yes in zip(column, rng.random(column.size) < share, strict=True)], object)


def _spiked(feature: str, constant: object) -> Callable[[np.random.Generator, int], Column]:
    def broken(rng: np.random.Generator, n: int) -> Column:
        return _replaced(rng, HEALTHY[feature](rng, n), 0.05, constant)

    return broken


def _filled(rng: np.random.Generator, n: int) -> Column:
    column = HEALTHY["with gaps"](rng, n)
    return np.array([50.0 if value is None else value for value in column], dtype=object)


def _scaled(feature: str, by: float, plus: float = 0.0) -> Callable[[np.random.Generator, int], Column]:
    return lambda rng, n: HEALTHY[feature](rng, n) * by + plus


FAULTS = (
    Fault("spike at the median", "normal", _spiked("normal", 50.0)),
    Fault("spike at zero", "normal", _spiked("normal", 0.0)),
    Fault("spike at the median", "lognormal", _spiked("lognormal", 20.0)),
    Fault("spike at 100", "zero-heavy", _spiked("zero-heavy", 100.0)),
    Fault("spike at 2", "integer", _spiked("integer", 2)),
    Fault("5 % nulls imputed to the mean", "with gaps", _filled),
    Fault("unit x 1000", "normal", _scaled("normal", 1000.0)),
    Fault("unit x 1000", "lognormal", _scaled("lognormal", 1000.0)),
    Fault("unit x 1000", "zero-heavy", _scaled("zero-heavy", 1000.0)),
    Fault("unit x 1.8 + 32", "normal", _scaled("normal", 1.8, 32.0)),
    Fault("unit x 1.8 + 32", "lognormal", _scaled("lognormal", 1.8, 32.0)),
    Fault("unit x 1.8 + 32", "integer", _scaled("integer", 1.8, 32.0)),
    Fault("5 % a new category", "categorical", _spiked("categorical", "new")),
    Fault("half of the codes are gone", "400 codes", lambda rng, n: rng.choice(CODES[:200], n)),
    Fault("swapped with lognormal", "normal", HEALTHY["lognormal"]),
    Fault("swapped with normal", "lognormal", HEALTHY["normal"]),
    Fault("swapped with integer", "zero-heavy", HEALTHY["integer"]),
)

SEEN_BY: Mapping[str, tuple[str, str]] = {
    "bin z": ("bin_zscore", "bin_zscore_critical"),
    "KS": ("ks_ratio", "ks_critical_ratio"),
    "chi-square": ("chisquare", "chisquare_critical"),
    "Wasserstein": ("wasserstein_stddevs", "wasserstein_critical_stddevs"),
    "PSI": ("psi", "psi_critical"),
    "Le Cam": ("le_cam_ratio", "le_cam_critical_ratio"),
}
"""A figure and the critical value that it is held against."""


def profiled(column: Column) -> FeatureReference:
    """The reference of a column, as `mlcanary profile` makes it."""
    present = [value for value in column if value is not None]
    missing = float(column.size - len(present))
    if isinstance(present[0], str):
        return categorical_reference(present, CATEGORIES, missing)
    return numeric_reference(np.array(present, dtype=np.float64), BINS, missing)


def chosen_and_counted_on_all_rows(column: Column) -> CategoricalReference:
    """What the reference was before rows that choose were told from rows that count: cries wolf."""
    names, counts = np.unique(column.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CATEGORIES]
    rest = counts.sum() - counts[order].sum()
    return CategoricalReference(tuple(names[order].tolist()), np.append(counts[order], rest).astype(np.float64))


def figures(reference: FeatureReference, column: Column) -> dict[str, float]:
    """All drift figures of a live column, by the name of the gauge without `mlcanary_window_feature_`."""
    present = [value for value in column if value is not None]
    bins = reference.empty()
    bins.update_many(present)
    live = Live(bins.values[None, :], np.array([float(column.size - len(present))]), float(column.size))
    shown = one_by_one(drift(FeatureStack({"x": reference}), live))
    return {s.name.removeprefix("mlcanary_window_feature_"): s.value for s in shown}


def seen(found: Mapping[str, float]) -> dict[str, bool]:
    """Which figure lies beyond its critical value, and which shipped alert would speak."""
    over = {
        name: found[value] > found[limit]
        for name, (value, limit) in SEEN_BY.items()
        if value in found and limit in found
    }
    over["missing z"] = abs(found["missing_zscore"]) > MISSING_Z
    over["MLCanaryFeatureDrift"] = over.get("Le Cam", False) and found["psi"] > LIMITS["feature_psi"]
    moved = found["total_variation_ratio"] > LIMITS["feature_change"]
    gone = abs(found["missing_delta_ratio"]) > LIMITS["feature_change"]
    distribution = over["bin z"] or over.get("Le Cam", False)
    over["MLCanaryFeatureChanged"] = (distribution and moved) or (over["missing z"] and gone)
    return over
