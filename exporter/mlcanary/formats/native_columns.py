"""Columns of plain native lines, whichever way they were decoded; what is not plain is left to `native`, line by line.

Guarantee: the columns mean exactly the records that `RowReader` would make of the same lines. Plain is a line that
decodes under the layout of its model's reference and holds nothing unusual: no failure, no ranking, no class
probabilities, no business event, no value that would be rejected. Cost: some array operations per block and version.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from mlcanary.catalog import NO_PREDICTION, OTHER, Task
from mlcanary.columns import NONE, Classes, Codes, FeatureColumns, Floats, LabelColumns, Mask, PredictionColumns
from mlcanary.formats.feature_choice import FeatureChoice
from mlcanary.formats.layout import LaidOut, Layout
from mlcanary.formats.plain_rows import ODD, ClassCodes, Named, Places, PlainLabels, PlainPredictions, UserColumn
from mlcanary.formats.rows import FUTURE_SLACK, LARGEST, LONGEST_NAME, Rejected, RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, canonical_class
from mlcanary.words import ABSENT, Texts

MILLISECONDS = 1e11
"""A time that is larger is none in seconds."""

_MOST_KEYS = 64
"""Of one block in columns: each costs as much as some ten rows on their own, and no release has so many versions."""
_TASKS = frozenset({Task.BINARY, Task.MULTICLASS})
_NOBODY = ModelKey("", "")


class Columns(NamedTuple):
    """What plain lines gave, where the lines are that were not plain, and the times that lines had themselves."""

    predictions: list[PredictionColumns]
    labels: list[LabelColumns]
    odd: list[int]
    times: Floats


class ColumnMaker:
    """Columns of the lines of the models of one layout."""

    def __init__(self, layout: Layout, reader: RowReader, classes: Classes, segment_values: Classes) -> None:
        self.layout = layout
        self.codes = ClassCodes(classes)
        self.choice = FeatureChoice(layout, reader)
        self._reader = reader
        self._classes, self._segment_values = classes, segment_values

    def columns(self, predictions: PlainPredictions | None, labels: PlainLabels | None, now: float) -> Columns:
        """Columns of these lines but for odd ones. `now`: Unix seconds, time of arrival. Fills in `wrong`."""
        found: list[PredictionColumns] = []
        found_labels: list[LabelColumns] = []
        odd: list[int] = []
        times = [np.zeros(0)]
        for rows in (predictions, labels):
            if rows is None:
                continue
            when, own = _times(rows, now)
            if isinstance(rows, PlainLabels):
                found_labels = self._labels(rows, when)
            else:
                found = self._predictions(rows, when)
            if rows.wrong.any():
                own &= ~rows.wrong
                odd += rows.lines[rows.wrong].tolist()
            times.append(when[own])
        return Columns(found, found_labels, odd, np.concatenate(times))

    def _labels(self, rows: PlainLabels, when: Floats) -> list[LabelColumns]:
        wrong = rows.wrong
        wrong |= rows.codes < 0
        usable = [
            name is None or (len(name) <= LONGEST_NAME and self._reader.plan_of(name).task in _TASKS)
            for name in rows.models.values
        ]
        wrong |= ~np.array(usable, dtype=bool)[rows.models.place]
        if len(usable) == 1 and not wrong.any():
            return [LabelColumns(rows.models.values[0], rows.ids, when, rows.codes, self._classes)]
        found = []
        for i, name in enumerate(rows.models.values):
            at = np.flatnonzero(~wrong & (rows.models.place == i))
            if len(at):
                ids = [rows.ids[j] for j in at.tolist()]
                found.append(LabelColumns(name, ids, when[at], rows.codes[at], self._classes))
        return found

    def _predictions(self, rows: PlainPredictions, when: Floats) -> list[PredictionColumns]:
        wrong, score, predicted, label = rows.wrong, rows.score, rows.predicted, rows.label
        keys, place = self._keys(rows.keys, wrong)
        wrong |= (score < 0) | (score > 1) | (predicted == ODD)
        if (unnamed := predicted == NONE).any():  # a score alone names a class if there are two
            by_score = np.array([self._reader.plan_of(key.model).task is Task.BINARY for key in keys] or [False])
            wrong |= unnamed & (np.isnan(score) | ~by_score[np.maximum(place, 0)])
        if label is not None:
            wrong |= label == ODD
        latency, queue = _seconds_of(rows.latency_ms, wrong), _seconds_of(rows.queue_ms, wrong)
        if isinstance(rows.features, LaidOut):
            laid_out, sampled = self.choice.keep(rows.features, rows.ids, keys, place)
        else:
            laid_out, sampled = self.choice.look(rows.features, rows.ids, keys, place, wrong)
        whole = PredictionColumns(
            _NOBODY, when, rows.ids, predicted, score, latency, queue,
            np.zeros(len(wrong), dtype=np.uint64), np.zeros(len(wrong), dtype=bool), self._classes,
            laid_out.features, label, sampled=sampled,
        )  # fmt: skip
        if len(keys) == 1 and not wrong.any():
            return [self._batch(keys[0], whole, laid_out, rows.users, None)]
        order = np.argsort(np.where(wrong, len(keys), place), kind="stable")  # one gathering for all keys
        sorted_rows = whole.take(order)
        counts = np.bincount(place[~wrong], minlength=len(keys))
        found, start = [], 0
        for key, count in zip(keys, counts.tolist(), strict=True):
            if count:
                part = slice(start, start := start + count)
                found.append(self._batch(key, sorted_rows.part(part), laid_out, rows.users, order[part]))
        return found

    def _batch(
        self, key: ModelKey, batch: PredictionColumns, laid_out: LaidOut, users: UserColumn, rows: Places | None
    ) -> PredictionColumns:
        """Rows of one key, with what depends on its plan. `rows`: where they are in `laid_out` and `users`."""
        plan = self._reader.plan_of(key.model)
        features = self.layout.of(key.model, _with(batch.features, laid_out.strange_of(rows)))
        user, has_user = users.hashes(rows, plan.user_salt)
        predicted = batch.predicted
        if plan.task is Task.BINARY and (predicted == NONE).any():
            high, low = (self._classes.own(plan.class_of_score(score)) for score in (1.0, -1.0))
            of_score = np.where(batch.score >= plan.threshold, np.int32(high), np.int32(low))
            predicted = np.where(predicted == NONE, of_score, predicted)
        segments = tuple(self._segment(features, name) for name in plan.segments)
        return PredictionColumns(
            key, batch.ts, batch.ids, predicted, batch.score, batch.latency, batch.queue, user, has_user,
            self._classes, features, batch.label, segments, self._segment_values,
            batch.sampled,
        )  # fmt: skip

    def _segment(self, features: FeatureColumns, name: str) -> Codes:
        texts = features.texts
        if name not in texts.names:
            texts = Texts.of({name: list(map(canonical_class, features.column(name)))})
        other = self._segment_values.own(OTHER)
        codes = np.full(len(texts.words.names) + 1, other, dtype=np.int32)
        for i in set(texts.column(name).tolist()):
            code = self._segment_values.code((i != ABSENT and texts.words.names[i]) or NO_PREDICTION)
            codes[i] = other if code is None else code
        found: Codes = codes[texts.column(name)]
        return found

    def _keys(self, named: Named, wrong: Mask) -> tuple[list[ModelKey], Places]:
        """The keys of the rows, and for each row which; rows of models outside the layout are wrong."""
        keys: dict[ModelKey, int] = {}
        place = np.full(len(named.values), ODD, dtype=np.intp)
        for i, (model, version) in enumerate(named.values):
            with suppress(Rejected):
                if model is None or len(model) <= LONGEST_NAME:
                    key = self._reader.key(model, version)
                    if key.model in self.layout.models and (len(keys) < _MOST_KEYS or key in keys):
                        place[i] = keys.setdefault(key, len(keys))
        codes: Places = place[named.place]
        wrong |= codes == ODD
        return list(keys), codes


def plan_has_columns(plan: ModelPlan) -> bool:
    """Whether requests of this model may travel as columns: they have classes, and a reference that types features."""
    known = plan.reference is not None and set(plan.segments) <= plan.reference.features.keys()
    return known and plan.task in _TASKS


def _with(features: FeatureColumns, strange: Any) -> FeatureColumns:
    return FeatureColumns(features.numbers, features.matrix, features.texts, strange)


def _times(rows: PlainPredictions | PlainLabels, now: float) -> tuple[Floats, Mask]:
    """Event times, and which of them the lines have themselves. A time too far in the future is wrong."""
    when = rows.when
    if (when >= MILLISECONDS).any():
        when = when.copy()
        for limit, unit in ((1e17, 1e9), (1e14, 1e6), (MILLISECONDS, 1e3)):
            when[when >= limit] /= unit
    own = ~np.isnan(when)
    if not own.all():
        when = np.where(own, when, now)
    np.logical_or(rows.wrong, when > now + FUTURE_SLACK, out=rows.wrong)
    return when, own


def _seconds_of(milliseconds: Floats, wrong: Mask) -> Floats:
    """Durations in seconds from milliseconds, at least 0, NaN where missing."""
    wrong |= np.abs(milliseconds) > LARGEST
    found: Floats = np.maximum(milliseconds / 1000.0, 0.0)
    return found
