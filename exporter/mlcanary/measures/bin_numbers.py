"""Raw values of a feature to bin numbers of its reference; -1 stands for what is missing or of another type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mlcanary.measures.reference import FeatureReference, NumericReference
from mlcanary.records import canonical_class
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.rank_scores import Bins

Binner = Callable[[Sequence[object]], Bins]
"""Bin numbers, shape (n,), of n raw values."""

_PLAIN = {int, float, bool, type(None)}


def binner(feature: FeatureReference) -> Binner:
    """What bins a column of this feature, by the rules by which drift is counted. Cost: O(log B) per value."""
    if isinstance(feature, NumericReference):
        edges = feature.edges

        def bin_numeric(column: Sequence[object]) -> Bins:
            values = _floats(column)
            found = np.searchsorted(edges, values, side="left").astype(np.int32)
            found[~np.isfinite(values)] = -1
            return found

        return bin_numeric
    places, other = {name: i for i, name in enumerate(feature.categories)}, len(feature.categories)

    def bin_names(column: Sequence[object]) -> Bins:
        names = map(canonical_class, column)
        return np.array([-1 if name is None else places.get(name, other) for name in names], dtype=np.int32)

    return bin_names


def _floats(column: Sequence[object]) -> Floats:
    """Numbers as they are, NaN for everything else."""
    if set(map(type, column)) <= _PLAIN:
        try:
            return np.array(column, dtype=np.float64)
        except OverflowError:  # an integer of hundreds of digits
            return np.array([_float(value) for value in column])
    return np.array([_float(value) for value in column], dtype=np.float64)


def _float(value: object) -> float:
    if not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
