"""Segments: Parquet files made of a journal, and removed when they are old or too many.

Guarantee: a segment appears whole, under a name that tells what it holds, and is never written to again; making it
twice of the same journal makes the same file. The oldest go first, whole.
Cost: about 2 us per row of 25 features; memory of 8 MB of rows, whatever the journal holds.
"""

from __future__ import annotations

import contextlib
import logging
import os
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import parquet

from mlcanary.durable import sync_directory
from mlcanary.store.batches import OUTCOME_FIELDS, PREDICTION_FIELDS
from mlcanary.store.class_numbers import NUMBER_OF, numbers_of
from mlcanary.store.feature_kinds import OTHER_FEATURES, PREFIX
from mlcanary.store.journal import Frame, Group, frames, read
from mlcanary.store.layout import DATASETS, HOUR, PREDICTIONS, Segment, segment_path, segments

log = logging.getLogger(__name__)

SCHEMA = {b"mlcanary.schema": b"2"}
"""In the metadata of a segment. 2: with `label_number` and `prediction_number`; segments without a word are 1."""

_GROUP_ROWS = 16_384
_GROUP_BYTES = 8 << 20
_UNLIKE = frozenset({"id", "scores", "items", OTHER_FEATURES})
"""Texts that hardly repeat: a dictionary of them is larger than they are."""


class Segments:
    """The segments of one store, oldest first. `removed`: by reason, `age` or `size`."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = name
        self._known = sorted(segment for dataset in DATASETS for segment in segments(root, dataset))
        self.nbytes = sum(segment.nbytes for segment in self._known)
        self.removed: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def last(self) -> int:
        """The greatest number of a segment, 0 without any."""
        return max((segment.sequence for segment in self._known), default=0)

    def has(self, sequence: int) -> bool:
        """Whether there are segments of this number."""
        return any(segment.sequence == sequence for segment in self._known)

    def newest(self, dataset: str) -> Iterator[Segment]:
        """The newest segment of each model."""
        found = {segment.model: segment for segment in self._known if segment.dataset == dataset}
        yield from found.values()

    def make(self, journal: Path, length: int, sequence: int, closed_at: float) -> None:
        """Segments of a journal's rows, one per data set and model. Raises OSError, pa.ArrowInvalid."""
        with journal.open("rb") as handle:
            groups: dict[Group, list[Frame]] = {}
            for frame in frames(handle, length):
                groups.setdefault(frame.group, []).append(frame)
            for group, found in groups.items():
                path = segment_path(self._root, *group, sequence, closed_at, self._name)
                nbytes = self._make_one(handle, found, group, path)
                self._note(Segment(closed_at // HOUR * HOUR, sequence, path, *group, nbytes))

    def _make_one(self, handle: IO[bytes], found: Sequence[Frame], group: Group, path: Path) -> int:
        temporary = self._root / "_open" / f"{path.name}.tmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = _schema(handle, found, group[0])
        texts = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in _UNLIKE]
        try:
            with temporary.open("wb") as out:
                with parquet.ParquetWriter(
                    out, schema, compression="zstd", compression_level=1, use_dictionary=texts
                ) as writer:
                    for table in _row_groups(handle, found, schema):
                        writer.write_table(table, row_group_size=table.num_rows)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
        return path.stat().st_size

    def _note(self, segment: Segment) -> None:
        for i, known in enumerate(self._known):
            if known.path == segment.path:  # made a second time, after a kill
                self.nbytes -= known.nbytes
                del self._known[i]
                break
        insort(self._known, segment)
        self.nbytes += segment.nbytes

    def trim(self, now: float, retention: float, max_bytes: int) -> None:
        """Remove what is older than `retention` seconds at `now`, and the oldest while all take over `max_bytes`."""
        while self._known:
            oldest = self._known[0]
            old = oldest.hour + HOUR + retention <= now
            if not old and self.nbytes <= max_bytes:
                return
            try:
                oldest.path.unlink(missing_ok=True)
            except OSError as error:
                log.error("%s cannot be removed: %s", oldest.path, error.strerror)  # noqa: TRY400 - no bug of ours
                return
            del self._known[0]
            self.nbytes -= oldest.nbytes
            self.removed["age" if old else "size"] += 1
            for directory in list(oldest.path.parents)[:3]:
                with contextlib.suppress(OSError):  # other segments lie there
                    directory.rmdir()


def _schema(handle: IO[bytes], found: Sequence[Frame], dataset: str) -> pa.Schema:
    """All columns of the data set, then those of the features that the frames have."""
    fields = {field.name: field for field in (PREDICTION_FIELDS if dataset == PREDICTIONS else OUTCOME_FIELDS)}
    for frame in found:
        fields.update((f.name, f) for f in read(handle, frame).schema if f.name.startswith(PREFIX))
    return pa.schema(list(fields.values()), metadata=SCHEMA)


def _row_groups(handle: IO[bytes], found: Sequence[Frame], schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for frame in found:
        waiting.append(fitted(read(handle, frame), schema))
        if sum(b.num_rows for b in waiting) >= _GROUP_ROWS or sum(b.nbytes for b in waiting) >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch under another schema: columns that it lacks are null, but for the numbers of labels and predictions."""
    there = set(batch.schema.names)

    def column(field: pa.Field) -> pa.Array:
        if field.name in there:
            return batch.column(field.name)
        if NUMBER_OF.get(field.name) in there:
            return numbers_of(batch.column(NUMBER_OF[field.name]))
        return pa.nulls(batch.num_rows, field.type)

    return pa.RecordBatch.from_arrays([column(field) for field in schema], schema=schema)
