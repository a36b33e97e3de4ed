"""A log of every kind of line, decoded as the exporter does it and put into a store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mlcanary.documents import Seconds
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.store.layout import DATASETS
from mlcanary.store.layout import segments as segments_of
from mlcanary.store.settings import StoreSection
from mlcanary.store.writer import Store

NOW = 1_790_000_000.0
"""Unix seconds, a little after a full hour."""

REFERENCE = profile_columns(
    {
        "a": [i / 10 for i in range(20)],
        "b": [float(i) for i in range(20)],
        "city": ["ulm", "bonn"] * 10,
        "score": [0.5] * 20,
    },
    ProfileOptions(),
)
"""Two numbers and a name."""


def section(path: Path, **given: Any) -> StoreSection:
    """Settings of a store; durations in seconds."""
    for name in ("retention", "segment_interval"):
        if name in given:
            given[name] = Seconds(given[name])
    return StoreSection(path=str(path), **given)


class StoredLog:
    """Blocks of lines on their way into a store."""

    def __init__(self, path: Path, plan: ModelPlan | None = None, **given: Any) -> None:
        self.plan = plan or ModelPlan()
        self._decoder = make_format(FormatOptions(), lambda _model: self.plan, whole=True)
        self._given = given
        self._path = path
        self.store = self._opened(None, NOW)

    def _opened(self, saved: Any, now: float) -> Store:
        store = Store(section(self._path, **self._given), lambda _model: self.plan)
        store.restore(saved, now)
        return store

    def take(self, lines: Iterable[dict[str, Any]], now: float = NOW) -> None:
        """One block."""
        block = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        decoded = self._decoder.decode_block(block, now)
        assert not decoded.rejects
        self.store.take(decoded, now, len(block))

    def checkpoint(self, now: float = NOW) -> dict[str, Any]:
        """A record that became durable."""
        saved = self.store.record(now)
        self.store.publish(now)
        return saved

    def killed(self, saved: Any, now: float = NOW) -> None:
        """The process dies, and another one goes on from a record."""
        self.store.close()
        self.store = self._opened(saved, now)

    def end(self, now: float = NOW) -> None:
        """A clean end: everything is in segments."""
        self.store.finish()
        self.checkpoint(now)
        self.store.close()


def rows(path: Path, dataset: str) -> list[dict[str, Any]]:
    """All rows of the segments of a data set with the model, without what is null, in the order of arrival."""
    found: list[dict[str, Any]] = []
    for segment in sorted(segments_of(path, dataset)):
        for row in parquet.ParquetFile(segment.path).read().to_pylist():
            found.append({"model": segment.model, **{name: value for name, value in row.items() if value is not None}})
    return found


def segment_count(path: Path) -> int:
    """Files of both data sets."""
    return sum(1 for dataset in DATASETS for _ in segments_of(path, dataset))


def joined(batches: Iterable[pa.RecordBatch]) -> Sequence[dict[str, Any]]:
    """Rows of batches."""
    return [row for batch in batches for row in batch.to_pylist()]
