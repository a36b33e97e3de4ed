"""Rows of which not all have their features looked at: those of the others are stepped over, not decoded.

Guarantee: whether a row is looked at depends on its id and the share of its model (`stats.row_choice`). What is no
object where features belong is noticed in every row; what lies in it only in those that are looked at.
Cost: a row that is not looked at saves the decoding and the columns of its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from mlcanary.columns import FeatureColumns, Floats, Mask
from mlcanary.formats.layout import LaidOut, Layout
from mlcanary.formats.plain_rows import Places
from mlcanary.formats.rows import RowReader
from mlcanary.records import ModelKey
from mlcanary.stats.row_choice import Unnamed, chosen_rows
from mlcanary.words import ABSENT

UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_OPENING = ord("{")


class FeatureChoice:
    """Which rows of the models of a layout are looked at. `share`: beside what the plans of the models say."""

    def __init__(self, layout: Layout, reader: RowReader) -> None:
        self.share = 1.0
        self.unnamed = Unnamed()
        self._layout = layout
        self._reader = reader
        self._parts = {model: layout.part(model, reader.plan_of(model).segments) for model in layout.models}
        self._has_parts = any(part is not None for part in self._parts.values())

    @property
    def takes_all(self) -> bool:
        """Whether every row is looked at."""
        return all(self._share_of(model) >= 1.0 for model in self._layout.models)

    def _share_of(self, model: str) -> float:
        return self.share * self._reader.plan_of(model).feature_share

    def look(
        self, raws: Sequence[Any], ids: Sequence[str | None], keys: Sequence[ModelKey], place: Places, wrong: Mask
    ) -> tuple[LaidOut, Mask]:
        """The features of the rows that are looked at, and which these are.

        `raws`: features as they stand in the line; `place`: of each row among `keys`, negative for one that is wrong.
        Rows that do not fit become wrong. Columns hold what splits the figures for the other rows too.
        """
        sampled = self._chosen(ids, keys, place)
        wrong |= [raw is not None and memoryview(raw)[0] != _OPENING for raw in raws]
        objects: list[Any] = [None] * len(raws)
        rows = np.flatnonzero(sampled & ~wrong)
        for i in rows.tolist():
            if raws[i] is not None:
                try:
                    objects[i] = self._layout.decoder.decode(raws[i])
                except UNFIT:
                    wrong[i] = True
        laid_out = self._layout.columns([objects[i] for i in rows.tolist()]).spread(rows, len(raws))
        if self._has_parts:
            self._fill_parts(laid_out.features, raws, keys, place, ~sampled & ~wrong, wrong)
        return laid_out, sampled

    def keep(
        self, found: LaidOut, ids: Sequence[str | None], keys: Sequence[ModelKey], place: Places
    ) -> tuple[LaidOut, Mask | None]:
        """The same where the features of every row are in columns already; those of rows not looked at are left out."""
        if self.takes_all:
            return found, None
        sampled = self._chosen(ids, keys, place)
        features = found.features
        matrix, codes = features.matrix.copy(), features.texts.codes.copy()
        for i, key in enumerate(keys):
            rows = np.flatnonzero(~sampled & (place == i))
            kept = self._reader.plan_of(key.model).segments
            matrix[np.ix_(_others(features.numbers, kept), rows)] = np.nan
            codes[np.ix_(_others(features.texts.names, kept), rows)] = ABSENT
        columns = FeatureColumns(features.numbers, matrix, features.texts._replace(codes=codes))
        return LaidOut(columns, {name: flags & sampled for name, flags in found.strange.items()}), sampled

    def _chosen(self, ids: Sequence[str | None], keys: Sequence[ModelKey], place: Places) -> Mask:
        by_key: Floats = np.array([self._share_of(key.model) for key in keys] or [0.0])
        return chosen_rows(ids, np.where(place < 0, 0.0, by_key[np.maximum(place, 0)]), self.unnamed)

    def _fill_parts(
        self,
        features: FeatureColumns,
        raws: Sequence[Any],
        keys: Sequence[ModelKey],
        place: Places,
        among: Mask,
        wrong: Mask,
    ) -> None:
        parts = [self._parts[key.model] for key in keys]
        for i in np.flatnonzero(among).tolist():
            part, raw = parts[place[i]], raws[i]
            if part is not None and raw is not None:
                try:
                    part.fill(features, i, raw)
                except UNFIT:
                    wrong[i] = True


def _others(names: Sequence[str], kept: Sequence[str]) -> Places:
    """Places of the names that are not kept."""
    return np.array([i for i, name in enumerate(names) if name not in kept], dtype=np.intp)
