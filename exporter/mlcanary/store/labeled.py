"""Predictions of a store with what became of them, as they were known at a moment.

Guarantee: what the exporter's join says, said from the files: the same rows are duplicates, the same label is final.
With `maturity` 0 the first label that came counts, if its age is at most `label_ttl`; with a maturity the newest one up
to that age, and only predictions that have reached it by `as_of`. A row or label that was not there yet at `as_of` is
not seen. Where the join forgot something for want of memory, the files know better. A label without a model belongs to
every model that knows its id. Failed requests are left out.
Memory: that of `bucket_rows` predictions with their outcomes, however many there are; more are sorted into files by a
hash of their id first.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from mlcanary.store.layout import OUTCOMES, PREDICTIONS
from mlcanary.store.outcome_join import JOINED_FIELDS, Terms, with_outcomes
from mlcanary.store.scan import Scan, Span

_MOST_BUCKETS = 256
_EARLY_SECONDS = 86_400.0


def labeled_rows(
    path: str | Path,
    *,
    model: str | None = None,
    since: float | None = None,
    until: float | None = None,
    as_of: float | None = None,
    maturity: float = 0.0,
    label_ttl: float = 86_400.0,
    unlabeled: str | None = None,
    labeled_only: bool = True,
    clock: Literal["arrival", "event"] = "arrival",
    bucket_rows: int = 50_000,
) -> Iterator[pa.RecordBatch]:
    """The labelled window of a store in batches, each in the order of its event times.

    Input: `model`, None for all; `since` and `until`, Unix seconds of event time, `until` excluded; `as_of`, Unix
    seconds, None for all that is known; `maturity` and `label_ttl`, seconds; `unlabeled`: the class of a mature
    prediction without a label, as in the exporter's settings; without `labeled_only` rows without a label come too.
    `clock`: what `as_of` looks at: when a row was read as well, or, for a store filled from old logs, its event time
    alone.
    Output columns: model, those of the predictions, and of `JOINED_FIELDS`; `schema_of` tells them before.
    Raises ConfigError for a directory that is no store, or a damaged file.
    Cost: see tests/bench/store.py; the disk space of the rows where there is more than one bucket.
    """
    terms = Terms(inf if as_of is None else as_of, maturity, label_ttl, unlabeled, labeled_only, clock == "event")
    predictions, outcomes = _scans(Path(path), model, since, until, terms)
    if not predictions.rows:
        return
    schema = _schema(predictions)
    if (found := min(_MOST_BUCKETS, -(-(predictions.rows + outcomes.rows) // (2 * bucket_rows)))) == 1:
        yield from with_outcomes(list(predictions.batches()), list(outcomes.batches()), terms, schema)
        return
    with tempfile.TemporaryDirectory(prefix="mlcanary-store-") as directory:
        left = _sorted_out(Path(directory), PREDICTIONS, predictions, found)
        right = _sorted_out(Path(directory), OUTCOMES, outcomes, found)
        for one, other in zip(left, right, strict=True):
            yield from with_outcomes(_read(one), _read(other), terms, schema)


def schema_of(
    path: str | Path, *, model: str | None = None, since: float | None = None, until: float | None = None
) -> pa.Schema:
    """The columns that `labeled_rows` of the same arguments gives. Raises ConfigError."""
    return _schema(Scan(Path(path), PREDICTIONS, None if model is None else [model], Span(since, until)))


def _schema(predictions: Scan) -> pa.Schema:
    names = {field.name for field in JOINED_FIELDS} | {"error"}
    return pa.schema([*(field for field in predictions.schema if field.name not in names), *JOINED_FIELDS])


def _scans(root: Path, model: str | None, since: float | None, until: float | None, terms: Terms) -> tuple[Scan, Scan]:
    predictions = Scan(root, PREDICTIONS, None if model is None else [model], Span(since, until))
    first = None if since is None else since - _EARLY_SECONDS
    last = None if until is None else until + terms.wait
    return predictions, Scan(root, OUTCOMES, None if model is None else [model, None], Span(first, last))


@dataclass(frozen=True)
class _Bucket:
    """A file of the rows whose ids have one hash."""

    path: Path


def _sorted_out(directory: Path, name: str, scan: Scan, count: int) -> Sequence[_Bucket]:
    """One file per hash; rows keep their order. Rows without an id, which meet no other row, are spread."""
    buckets = [_Bucket(directory / f"{name}-{i}.arrow") for i in range(count)]
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(str(bucket.path), scan.schema)) for bucket in buckets]
        for batch in scan.batches():
            ids = batch.column("id").to_pylist()
            place = pa.array([i % count if x is None else zlib.crc32(x.encode()) % count for i, x in enumerate(ids)])
            for i in pc.unique(place).to_pylist():
                writers[i].write_batch(batch.filter(pc.equal(place, i)))
    return buckets


def _read(bucket: _Bucket) -> list[pa.RecordBatch]:
    with pa.ipc.open_stream(str(bucket.path)) as reader:
        return list(reader)
