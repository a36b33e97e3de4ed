"""Joins a bucket of predictions with its outcomes, all at once, by arrays.

Guarantee: see `labeled`; the rules are those of `joins.machine`, and a test holds the two against each other.
Method: ids become codes over both sides; outcomes are sorted by code, so that those of a prediction are a range; the
ranges are laid out as pairs, filtered by the terms, and the best pair of each prediction is the first one in the order
of the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlcanary.store.batches import TIME
from mlcanary.store.class_numbers import numbers_of

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

JOINED_FIELDS = (
    pa.field("label", pa.string()),
    pa.field("label_number", pa.float64()),
    pa.field("label_ts", TIME),
    pa.field("label_arrived", TIME),
    pa.field("label_assumed", pa.bool_()),
    pa.field("events", pa.string()),
)
"""What became of a prediction; `events`: JSON of each event's amount, null for one without."""

_ROWS = 16_384
_INLINE = -1
_FOREVER = 2**62


@dataclass(frozen=True)
class Terms:
    """What is known, and what counts; see `labeled_rows`. Seconds."""

    as_of: float
    maturity: float
    label_ttl: float
    unlabeled: str | None
    labeled_only: bool
    event_clock: bool

    @property
    def wait(self) -> float:
        """The age up to which a label counts."""
        return self.maturity or self.label_ttl


def with_outcomes(
    predictions: Sequence[pa.RecordBatch], outcomes: Sequence[pa.RecordBatch], terms: Terms, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The predictions that count, in the order of their event times, under `schema`."""
    if not predictions:
        return
    table = _known(pa.Table.from_batches(predictions), terms)
    found = _known(pa.Table.from_batches(outcomes), terms) if outcomes else None
    sides = _Sides.of(table, found)
    table, sides = _unique(table, sides)
    answered = pc.is_null(table["error"]).to_numpy()
    ts = _micros(table["ts"])
    mature = ts + _whole(terms.maturity) <= _whole(terms.as_of)
    kept = np.flatnonzero(answered & (mature if terms.maturity > 0 else True))
    kept = kept[np.argsort(ts[kept], kind="stable")]
    table, sides, ts = table.take(kept), sides.take(kept), ts[kept]
    pairs = _pairs(sides, ts, found, terms)
    columns = _labels(table, ts, found, pairs, terms)
    columns["label_number"] = numbers_of(columns["label"])
    columns["events"] = _events(table.num_rows, found, pairs)
    for name in schema.names:
        columns.setdefault(name, table[name] if name in table.column_names else None)
    joined = pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)
    if terms.labeled_only:
        joined = joined.filter(pc.is_valid(joined["label"]))
    yield from joined.combine_chunks().to_batches(max_chunksize=_ROWS)


@dataclass(frozen=True)
class _Sides:
    """Ids and models as codes over both sides, -1 for none."""

    ids: Ints
    models: Ints
    versions: Ints
    outcome_ids: Ints
    outcome_models: Ints

    @staticmethod
    def of(table: pa.Table, found: pa.Table | None) -> _Sides:
        def codes(name: str) -> tuple[Ints, Ints]:
            columns = [table[name]] if found is None or name not in found.column_names else [table[name], found[name]]
            whole = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
            one = pc.dictionary_encode(whole).combine_chunks()
            one = one.chunk(0) if isinstance(one, pa.ChunkedArray) else one
            numbers = pc.fill_null(one.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
            return numbers[: table.num_rows], numbers[table.num_rows :]

        (ids, outcome_ids), (models, outcome_models) = codes("id"), codes("model")
        return _Sides(ids, models, codes("version")[0], outcome_ids, outcome_models)

    def take(self, rows: Ints) -> _Sides:
        return _Sides(self.ids[rows], self.models[rows], self.versions[rows], self.outcome_ids, self.outcome_models)


@dataclass(frozen=True)
class _Pairs:
    """Prediction and outcome, by row, that belong together and count."""

    row: Ints
    outcome: Ints


def _known(table: pa.Table, terms: Terms) -> pa.Table:
    """The rows that were there at `as_of`, in the order in which they arrived."""
    if isfinite(terms.as_of):
        moment = pa.scalar(_whole(terms.as_of), pa.int64()).cast(TIME)
        table = table.filter(pc.less_equal(table["ts"], moment))
        if not terms.event_clock:
            table = table.filter(pc.less_equal(table["arrived"], moment))
    order = np.argsort(_micros(table["arrived"]), kind="stable")
    return table.take(order)


def _unique(table: pa.Table, sides: _Sides) -> tuple[pa.Table, _Sides]:
    """Each (model, version, id) once, the first that came; rows without an id all stay."""
    has_id = np.flatnonzero(sides.ids >= 0)
    keys = np.stack([sides.ids[has_id], sides.models[has_id], sides.versions[has_id]])
    _, first = np.unique(keys, axis=1, return_index=True)
    kept = np.sort(np.concatenate([has_id[first], np.flatnonzero(sides.ids < 0)]))
    return table.take(kept), sides.take(kept)


def _pairs(sides: _Sides, ts: Ints, found: pa.Table | None, terms: Terms) -> _Pairs:
    """Every outcome with every prediction that it is about, if it is not too late."""
    if found is None or not found.num_rows:
        return _Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    order = np.argsort(sides.outcome_ids, kind="stable")
    sorted_ids = sides.outcome_ids[order]
    low, high = (np.searchsorted(sorted_ids, sides.ids, side=side) for side in ("left", "right"))
    count = np.where(sides.ids >= 0, high - low, 0)
    row = np.repeat(np.arange(len(ts)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    outcome = order[np.repeat(low, count) + within]
    model = sides.outcome_models[outcome]
    fits = ((model < 0) | (model == sides.models[row])) & (
        _micros(found["ts"])[outcome] <= ts[row] + _whole(terms.wait)
    )
    return _Pairs(row[fits], outcome[fits])


def _labels(table: pa.Table, ts: Ints, found: pa.Table | None, pairs: _Pairs, terms: Terms) -> dict[str, Any]:
    """The final label of each prediction: that of the pair, or of its own line, which the rule puts first."""
    inline = np.flatnonzero(pc.is_valid(table["label"]).to_numpy())
    row, outcome = pairs.row, pairs.outcome
    texts = table["label"].take(inline).combine_chunks()
    texts = texts.cast(pa.string())
    label_ts, arrived = ts[inline], _micros(table["arrived"])[inline]
    row_all, source = inline, np.full(len(inline), _INLINE)
    if found is not None and len(row):
        is_label = pc.is_valid(found["label"]).to_numpy()[outcome]
        row, outcome = row[is_label], outcome[is_label]
        row_all, source = np.concatenate([inline, row]), np.concatenate([source, outcome])
        label_ts = np.concatenate([label_ts, _micros(found["ts"])[outcome]])
        arrived = np.concatenate([arrived, _micros(found["arrived"])[outcome]])
        texts = pa.concat_arrays([_flat(texts), _flat(found["label"].take(outcome))])
    if terms.maturity > 0:  # the newest; equal times are settled by name
        rank = pc.rank(_flat(texts), sort_keys="ascending", tiebreaker="dense").to_numpy().astype(np.int64)
        order = np.lexsort((-rank, -label_ts, row_all))
    else:  # the first one that came; outcomes are in that order
        order = np.lexsort((source, row_all))
    first = order[np.unique(row_all[order], return_index=True)[1]]
    chosen = np.full(table.num_rows, -1, dtype=np.int64)
    chosen[row_all[first]] = first
    missing = chosen < 0
    place = pa.array(chosen, mask=missing)
    columns: dict[str, Any] = {
        "label": _flat(texts).take(place),
        "label_ts": pa.array(label_ts, pa.int64()).take(place).cast(TIME),
        "label_arrived": pa.array(arrived, pa.int64()).take(place).cast(TIME),
        "label_assumed": pa.array(np.where(missing, False, False), mask=missing),
    }
    if terms.unlabeled is not None and terms.maturity > 0:
        due = pa.array(ts + _whole(terms.maturity), pa.int64()).cast(TIME)
        columns["label"] = pc.if_else(missing, terms.unlabeled, columns["label"])
        columns["label_ts"] = pc.if_else(missing, due, columns["label_ts"])
        columns["label_assumed"] = pa.array(missing)
    return columns


def _events(rows: int, found: pa.Table | None, pairs: _Pairs) -> pa.Array:
    """JSON of each event of a prediction with its amount: that of the earliest one of a name."""
    result: list[str | None] = [None] * rows
    if found is not None and len(pairs.row):
        is_event = pc.is_valid(found["event"]).to_numpy()[pairs.outcome]
        row, outcome = pairs.row[is_event], pairs.outcome[is_event]
        order = np.lexsort((outcome, _micros(found["ts"])[outcome], row))
        names, values = found["event"].take(outcome[order]).to_pylist(), found["value"].take(outcome[order]).to_pylist()
        seen: dict[int, dict[str, float | None]] = {}
        for i, name, value in zip(row[order].tolist(), names, values, strict=True):
            seen.setdefault(i, {}).setdefault(name, value)
        for i, events in seen.items():
            result[i] = msgspec.json.encode(events, order="sorted").decode()
    return pa.array(result, pa.string())


def _micros(column: pa.ChunkedArray) -> Ints:
    found: Ints = column.cast(pa.int64()).to_numpy()
    return found


def _whole(seconds: float) -> int:
    """Microseconds, as batches round them."""
    return round(seconds * 1e6) if isfinite(seconds) else _FOREVER


def _flat(column: Any) -> pa.Array:
    """One array of a column."""
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) and found.num_chunks else found
