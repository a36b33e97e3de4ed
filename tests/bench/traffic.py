"""Endless traffic for an exporter under test, with the truth about it, at the price of copying bytes.

A few chunks of records are made once; what they say again has other ids and times, which are written over the digits
that stand at known places. 10 million records then cost seconds, not minutes, and every counter is known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bench_records import NUMBERS, PLAIN, VERSIONS, Rows, Shape, interleaved, label_lines, prediction_lines
from numpy.typing import NDArray

_ID, _ID_DIGITS = b'"id":"req-0000-', 16
_TS, _TS_DIGITS = b'"ts":', 13
_BASE_MS = 1_700_000_000_000


class Stamp:
    """Lines whose ids and times can be written anew; `numbers` and `times` are relative to what `at` is given."""

    def __init__(self, lines: Sequence[bytes], numbers: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        """`numbers`: of the record that each line is about; `times`: milliseconds."""
        self._bytes = np.frombuffer(b"".join(line + b"\n" for line in lines), dtype=np.uint8)
        starts = np.cumsum([0, *(len(line) + 1 for line in lines[:-1])]) if lines else np.zeros(0, dtype=np.int64)
        ids = starts + np.array([line.index(_ID) + len(_ID) for line in lines], dtype=np.int64)
        seconds = starts + np.array([line.index(_TS) + len(_TS) for line in lines], dtype=np.int64)
        self._ids = ids[:, None] + np.arange(_ID_DIGITS)
        places = np.arange(_TS_DIGITS)
        self._times = seconds[:, None] + places + (places >= _TS_DIGITS - 3)  # a point stands before the milliseconds
        self._number, self._time = numbers, times

    def at(self, number: int, ms: int) -> bytes:
        """The lines with the first record numbered `number`, at `ms` Unix milliseconds."""
        made = self._bytes.copy()
        made[self._ids] = _digits(self._number + number, _ID_DIGITS)
        made[self._times] = _digits(self._time + ms, _TS_DIGITS)
        return made.tobytes()


def _digits(numbers: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    found: NDArray[np.uint8] = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return found


@dataclass
class Truth:
    """What was written, counted with numpy and never by the exporter: by version, and for one feature by bin."""

    predictions: NDArray[np.int64]
    labeled: NDArray[np.int64]
    """Shape (versions, actual class, predicted class)."""
    bins: NDArray[np.int64]
    """Shape (versions, bins)."""
    missing: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Rows, feature: int, edges: NDArray[np.float64]) -> Truth:
        """All of these rows, each labelled. `edges`: inner edges of bins, each part of the bin below it."""
        size = len(VERSIONS)
        labeled = np.zeros((size, 2, 2), dtype=np.int64)
        np.add.at(labeled, (rows.version, rows.actual, rows.predicted), 1)
        values = rows.numbers[:, feature]
        there = ~np.isnan(values)
        bins = np.zeros((size, len(edges) + 1), dtype=np.int64)
        np.add.at(bins, (rows.version[there], (values[there, None] > edges).sum(axis=1)), 1)
        return cls(
            np.bincount(rows.version, minlength=size),
            labeled,
            bins,
            np.bincount(rows.version[~there], minlength=size),
        )

    def add_predictions(self, other: Truth) -> None:
        """Rows were written."""
        self.predictions = self.predictions + other.predictions
        self.bins = self.bins + other.bins
        self.missing = self.missing + other.missing

    def add_labels(self, other: Truth) -> None:
        """Their labels were."""
        self.labeled = self.labeled + other.labeled


class Traffic:
    """Chunks of `size` records; with each come the labels of the chunk that came `delay` chunks before."""

    def __init__(
        self,
        size: int,
        delay: int,
        *,
        span_ms: int,
        shape: Shape = PLAIN,
        seed: int = 0,
        kinds: int = 8,
        edges: NDArray[np.float64] | None = None,
        feature: str = NUMBERS[0],
    ) -> None:
        """`span_ms`: event time of a chunk. `kinds`: chunks that differ. `edges`: of the bins of `feature` to count."""
        self.size, self.span_ms, self.written = size, span_ms, 0
        self._delay, self._kinds = delay, kinds
        self._offsets = np.arange(size, dtype=np.int64)
        self._times = self._offsets * span_ms // size
        self._rows = [Rows.random(size, (seed, kind), shape) for kind in range(kinds)]
        bounds = np.zeros(0) if edges is None else edges
        self._truths = [Truth.of(rows, NUMBERS.index(feature), bounds) for rows in self._rows]
        self._predictions = [prediction_lines(rows, 0, self._times + _BASE_MS, shape) for rows in self._rows]
        self._labels = [label_lines(rows.actual, 0, self._times + _BASE_MS) for rows in self._rows]
        self._stamps: dict[int, Stamp] = {}
        none = Truth.of(Rows.random(0, (0,)), 0, bounds)
        self.truth = none

    @property
    def records(self) -> int:
        """Predictions written so far."""
        return self.written * self.size

    def chunk(self, ms: int) -> bytes:
        """The next lines. `ms`: Unix milliseconds of the first."""
        at, labelled = self.written % self._kinds, self.written - self._delay
        self.truth.add_predictions(self._truths[at])
        if labelled < 0:
            stamp = Stamp(self._predictions[at], self._offsets, self._times)
        else:
            self.truth.add_labels(self._truths[labelled % self._kinds])
            stamp = self._stamps.get(at) or self._both(at, labelled % self._kinds)
            self._stamps[at] = stamp
        found = stamp.at(self.records, ms)
        self.written += 1
        return found

    def rest(self, ms: int) -> bytes:
        """The labels that have not come yet."""
        found = []
        for labelled in range(max(0, self.written - self._delay), self.written):
            at = labelled % self._kinds
            self.truth.add_labels(self._truths[at])
            found.append(Stamp(self._labels[at], self._offsets, self._times).at(labelled * self.size, ms))
        return b"".join(found)

    def _both(self, at: int, labelled: int) -> Stamp:
        before = self._offsets - self._delay * self.size
        return Stamp(
            interleaved(self._predictions[at], self._labels[labelled]),
            np.array(interleaved(self._offsets.tolist(), before.tolist()), dtype=np.int64),
            np.array(interleaved(self._times.tolist(), self._times.tolist()), dtype=np.int64),
        )
