"""Records and columns as Arrow batches of the two data sets.

Guarantee: a row of a batch holds every part of its record that the settings keep, under one set of columns per data
set; what has no value is null. Times are microseconds, held within the years 1 to 9999, whatever a record claims.
Nothing here loads `pyarrow.compute`, which an exporter would carry for the rest of its life.
Cost: see tests/bench/store.py; records cost about five times as much as columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from mlcanary.columns import Classes, Codes, Floats, LabelColumns, PredictionColumns
from mlcanary.records import Label, Prediction
from mlcanary.store.feature_kinds import OTHER_FEATURES, FeatureKinds, numbers_or_null

TIME = pa.timestamp("us", tz="UTC")
PREDICTION_FIELDS = (
    pa.field("ts", TIME),
    pa.field("arrived", TIME),
    pa.field("id", pa.string()),
    pa.field("version", pa.string()),
    pa.field("prediction", pa.string()),
    pa.field("prediction_number", pa.float64()),
    pa.field("score", pa.float64()),
    pa.field("latency_seconds", pa.float64()),
    pa.field("queue_seconds", pa.float64()),
    pa.field("error", pa.string()),
    pa.field("label", pa.string()),
    pa.field("label_number", pa.float64()),
    pa.field("scores", pa.string()),
    pa.field("items", pa.string()),
    pa.field("user_hash", pa.int64()),
    pa.field("weight", pa.float64()),
    pa.field("features_read", pa.bool_()),
    pa.field(OTHER_FEATURES, pa.string()),
)
"""Columns of predictions beside those of their features; `scores` and `items` are JSON. Those of `class_numbers` are
made with the segment.

`features_read` is false where sampling or shedding stepped over the features."""

OUTCOME_FIELDS = (
    pa.field("ts", TIME),
    pa.field("arrived", TIME),
    pa.field("id", pa.string()),
    pa.field("label", pa.string()),
    pa.field("label_number", pa.float64()),
    pa.field("event", pa.string()),
    pa.field("value", pa.float64()),
)
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_000_000
_TYPES = {field.name: field.type for field in (*PREDICTION_FIELDS, *OUTCOME_FIELDS)}


def of_prediction_columns(
    batch: PredictionColumns, arrived: Floats, kinds: FeatureKinds, *, user: bool
) -> pa.RecordBatch:
    """Rows of columns. `arrived`: Unix seconds per row; `user`: keep the hash."""
    columns: dict[str, Any] = {
        "ts": times(batch.ts),
        "arrived": times(arrived),
        "id": pa.array(batch.ids, pa.string()),
        "version": pa.repeat(pa.scalar(batch.key.version), len(batch)),
        "prediction": names(batch.predicted, batch.classes),
        "score": numbers_or_null(batch.score),
        "latency_seconds": numbers_or_null(batch.latency),
        "queue_seconds": numbers_or_null(batch.queue),
        "weight": pa.repeat(pa.scalar(1.0), len(batch)),
        "features_read": pa.array(np.ones(len(batch), dtype=bool) if batch.sampled is None else batch.sampled),
    }
    if batch.label is not None:
        columns["label"] = names(batch.label, batch.classes)
    if user:
        columns["user_hash"] = pa.array(batch.user.view(np.int64), mask=~batch.has_user)
    return _batch(columns | kinds.of_columns(batch.features, len(batch)))


def of_predictions(
    records: Sequence[Prediction], arrived: Floats, kinds: FeatureKinds, *, user: bool
) -> pa.RecordBatch:
    """Rows of records."""
    columns: dict[str, Any] = {
        "ts": times(np.array([p.ts for p in records], dtype=np.float64)),
        "arrived": times(arrived),
        "id": [p.id for p in records],
        "version": [p.key.version for p in records],
        "prediction": [p.predicted for p in records],
        "score": [p.score for p in records],
        "latency_seconds": [p.latency for p in records],
        "queue_seconds": [p.queue for p in records],
        "error": [p.error for p in records],
        "label": [p.label for p in records],
        "scores": [_json(p.scores) for p in records],
        "items": [_json(p.items) for p in records],
        "weight": [p.weight for p in records],
        "features_read": pa.repeat(pa.scalar(True), len(records)),
    }
    if user:
        columns["user_hash"] = [None if p.user is None else p.user - ((p.user >> 63) << 64) for p in records]
    return _batch(columns | kinds.of_rows([p.features for p in records]))


def of_label_columns(batch: LabelColumns, arrived: Floats) -> pa.RecordBatch:
    """Labels of columns."""
    label = names(batch.label, batch.classes)
    return _batch({"ts": times(batch.ts), "arrived": times(arrived), "id": batch.ids, "label": label})


def of_labels(records: Sequence[Label], arrived: Floats) -> pa.RecordBatch:
    """Labels and business events."""
    return _batch(
        {
            "ts": times(np.array([x.ts for x in records], dtype=np.float64)),
            "arrived": times(arrived),
            "id": [x.id for x in records],
            "label": [x.label for x in records],
            "event": [x.event for x in records],
            "value": [x.value for x in records],
        }
    )


def times(seconds: Floats) -> pa.Array:
    """Unix seconds as times."""
    whole = np.clip(np.round(np.nan_to_num(seconds) * 1e6), _FIRST, _LAST).astype(np.int64)
    return pa.array(whole.view("datetime64[us]"), TIME)


def names(codes: Codes, classes: Classes) -> pa.Array:
    """The class of each code as text."""
    return pa.array([classes.name(code) for code in codes.tolist()], pa.string())


def _batch(columns: Mapping[str, Any]) -> pa.RecordBatch:
    """A batch without the columns that hold nothing."""
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values, _TYPES[name])
        for name, values in columns.items()
    }
    kept = {name: array for name, array in arrays.items() if array.null_count < len(array)}
    return pa.RecordBatch.from_pydict(kept)


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
