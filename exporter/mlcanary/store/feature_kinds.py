"""Which column a feature has: a number or a text, for the life of the store.

Guarantee: a feature keeps the kind that its model's reference gives it, else that of its first value. A value of
another kind, a feature above the cap, and one whose name differs from a column's only in its case (many readers take
these for one) go into the text column `features_other` as JSON, so nothing is lost and files always fit together.
Numbers are doubles: true is 1; a whole number that a double cannot hold goes into `features_other`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from mlcanary.columns import FeatureColumns
from mlcanary.measures.reference import NumericReference, Reference

NUMBER, TEXT = "number", "text"
PREFIX = "feature_"
OTHER_FEATURES = "features_other"
ARROW_KINDS = {NUMBER: pa.float64(), TEXT: pa.string()}
_EXACT = 2**53
_NUMBERS = frozenset({int, float, bool})
_NONE = type(None)

Arrays = dict[str, pa.Array]


class FeatureKinds:
    """The features of one model. `keeps`: whether a feature is wanted; `known`: kinds by name from a former run."""

    def __init__(
        self,
        keeps: Callable[[str], bool],
        limit: int,
        reference: Reference | None = None,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self._keeps = keeps
        self._limit = limit
        self.kinds: dict[str, str] = {}
        self._lower: set[str] = set()
        for name, kind in (known or {}).items():
            self._add(name, kind)
        for name, feature in (reference.features if reference is not None else {}).items():
            self._add(name, NUMBER if isinstance(feature, NumericReference) else TEXT)

    def _add(self, name: str, kind: str) -> None:
        if name not in self.kinds and name.lower() not in self._lower and self._keeps(name):
            self.kinds[name] = kind
            self._lower.add(name.lower())

    def of_columns(self, features: FeatureColumns, rows: int) -> Arrays:
        """Columns of a batch that has them already."""
        found: Arrays = {}
        beside: list[str] = []
        for name, values in zip(features.numbers, features.matrix, strict=True):
            if self.kinds.get(name) == NUMBER:
                found[PREFIX + name] = pa.array(values, from_pandas=True)
            elif self._keeps(name):
                beside.append(name)
        for name in features.texts.names:
            if self.kinds.get(name) == TEXT:
                found[PREFIX + name] = pa.array(features.texts.values(name), pa.string())
            elif self._keeps(name):
                beside.append(name)
        if beside:
            columns = {name: features.column(name) for name in beside}
            rest = [{n: c[i] for n, c in columns.items() if c[i] is not None} for i in range(rows)]
            found[OTHER_FEATURES] = _json(rest)
        return found

    def of_rows(self, features: Sequence[Mapping[str, Any]]) -> Arrays:
        """Columns of rows; a null is the same as no value."""
        kinds = self.kinds
        odd = [i for i, row in enumerate(features) if not row.keys() <= kinds.keys()]
        self._learn([features[i] for i in odd])
        rest: dict[int, dict[str, Any]] = {}
        for i in odd:
            for name in features[i].keys() - kinds.keys():
                if self._keeps(name) and features[i][name] is not None:
                    rest.setdefault(i, {})[name] = features[i][name]
        found = self._all_fit(features)
        if found is None:
            found = self._one_by_one(features, rest)
        if rest:
            found[OTHER_FEATURES] = _json([rest.get(i, {}) for i in range(len(features))])
        return found

    def _all_fit(self, features: Sequence[Mapping[str, Any]]) -> Arrays | None:
        """Columns of rows all of whose values have the kind of their column; None if one has not."""
        layout = pa.struct([(name, ARROW_KINDS[kind]) for name, kind in self.kinds.items()])
        try:
            arrays = pa.array(features, layout).flatten()
        except (pa.ArrowException, TypeError, OverflowError):
            return None
        return {
            PREFIX + name: array
            for name, array in zip(self.kinds, arrays, strict=True)
            if array.null_count < len(array)
        }

    def _one_by_one(self, features: Sequence[Mapping[str, Any]], rest: dict[int, dict[str, Any]]) -> Arrays:
        """Columns of rows; what does not fit its column goes into `rest`."""
        found: Arrays = {}
        for name, kind in self.kinds.items():
            column = [row.get(name) for row in features]
            types = set(map(type, column))
            if types == {_NONE}:
                continue
            fit = column
            if not types <= ({float, _NONE} if kind == NUMBER else {str, _NONE}):
                fit = [_fitted(value, kind) for value in column]
                for i, (value, used) in enumerate(zip(column, fit, strict=True)):
                    if used is None and value is not None:
                        rest.setdefault(i, {})[name] = value
            found[PREFIX + name] = pa.array(fit, ARROW_KINDS[kind])
        return found

    def _learn(self, features: Sequence[Mapping[str, Any]]) -> None:
        for row in features:
            for name, value in row.items():
                if name not in self.kinds and len(self.kinds) < self._limit:
                    if type(value) in _NUMBERS:
                        self._add(name, NUMBER)
                    elif type(value) is str:
                        self._add(name, TEXT)


def _fitted(value: Any, kind: str) -> float | str | None:
    """The value as its column has it, None if it does not fit."""
    if kind == TEXT:
        return value if type(value) is str else None
    if type(value) not in _NUMBERS or (type(value) is int and abs(value) > _EXACT):
        return None
    return float(value)


def _json(rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    return pa.array([msgspec.json.encode(row, order="sorted").decode() if row else None for row in rows], pa.string())


def numbers_or_null(values: np.ndarray[Any, Any]) -> pa.Array:
    """Doubles with null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)
