"""What a log format promises, and the adapter that makes one out of a function from lines to rows.

Guarantee: every line of a block gives records, a reject, or nothing yet; blank lines give nothing; no line can harm
another. A format is pure: no clock, no files. One that must keep something between lines (half of a request and
response pair, a schema) bounds it, counts what it drops, and gives it to the checkpoint by `dump`.
A new format is one file with a class under the contract `RowFormat`, one test module and one line in `registry.py`.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from mlcanary.catalog import UNKNOWN, Task
from mlcanary.columns import LabelColumns, PredictionColumns
from mlcanary.formats.rows import Rejected, Row, RowReader
from mlcanary.records import Record, Reject

UNUSABLE = (Rejected, msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError)
"""What a line that cannot be used may raise."""

_EXCERPT, _DETAIL = 160, 500


@dataclass
class Decoded:
    """What a block of lines gave. `lines` counts every line, blank and broken ones included.

    Records travel one by one in `records`, or many at once in `predictions` and `labels`; none twice. `times`: Unix
    seconds that lines told. `client_dropped`: records that clients say they dropped, by reason of the catalogue.
    """

    records: list[Record] = field(default_factory=list)
    predictions: list[PredictionColumns] = field(default_factory=list)
    labels: list[LabelColumns] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    lines: int = 0
    times: array[float] = field(default_factory=lambda: array("d"))
    client_dropped: Counter[str] = field(default_factory=Counter)

    def reached(self, now: float) -> float:
        """How far in event time these lines are, -inf if they do not tell: the median of their own times.

        Not the newest: one clock that runs ahead, or one line without a time, must not end the wait of all others.
        """
        if not self.times:
            return -math.inf
        middle = (len(self.times) - 1) // 2
        return min(now, float(np.partition(np.frombuffer(self.times), middle)[middle]))

    def every_record(self) -> list[Record]:
        """All of them one by one, those of columns last."""
        predictions = (record for batch in self.predictions for record in batch.rows())
        labels = (record for batch in self.labels for record in batch.rows())
        return [*self.records, *predictions, *labels]


class Format(Protocol):
    """Blocks of complete lines to records."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons of rejects that only this format has, beside `rows.REASONS`."""

    def decode_block(self, block: bytes, now: float, source: str = "") -> Decoded:
        """Decode complete lines of the log `source`, in their order. `now`: Unix seconds, time of arrival."""

    def dump(self) -> Any:
        """What waits between blocks, in values that msgpack can carry; None if nothing does."""

    def load(self, state: Any) -> None:
        """Take over what `dump` gave, of an older layout perhaps: what does not fit is dropped, never raised."""


class RowFormat(Protocol):
    """One format as a function from a line to rows; `RowsDecoder` makes a `Format` of it."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons of rejects that only this format has."""

    def rows(self, line: bytes, source: str, now: float) -> Iterable[Row]:
        """The rows that this line completes: none, one, or a batch. Raises what `UNUSABLE` holds.

        `line` has no line feed and is not blank; `source` is the path or name of its log.
        """

    def take_dropped(self) -> Iterable[Reject]:
        """What was given up since the last call, such as a request whose response never came."""

    def dump(self) -> Any:
        """See `Format`."""

    def load(self, state: Any) -> None:
        """See `Format`."""


@runtime_checkable
class Waits(Protocol):
    """A `RowFormat` whose lines may give nothing yet, and still tell how far in event time their log is.

    Without it a log of requests alone would seem to stand still, and be read to its end before that of the responses.
    """

    def take_times(self) -> Iterable[float]:
        """Event times, Unix seconds, of the halves since the last call."""


@dataclass(frozen=True)
class FormatOptions:
    """How one source is read. `path`: with named groups `model` and `version`; `mapping`: as the file has it.

    `task_of`: the task of a model, for answers that only it can tell: one number is a score, a class or an amount.
    """

    name: str = "native"
    model: str = "default"
    version: str = UNKNOWN
    path: re.Pattern[str] | None = None
    mapping: Mapping[str, Any] | None = None
    task_of: Callable[[str], Task] = field(default=lambda _model: Task.BINARY, compare=False)

    def model_of(self, source: str) -> str:
        """The model of the records of a log that do not name one."""
        found = self.path.search(source) if self.path is not None else None
        return (found.groupdict().get("model") if found is not None else None) or self.model


class RowsDecoder:
    """A `Format` out of a `RowFormat`."""

    def __init__(self, rows: RowFormat, reader: RowReader) -> None:
        self._rows = rows
        self._reader = reader
        self._waits = rows if isinstance(rows, Waits) else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Those of the row format."""
        return self._rows.reasons

    def decode_block(self, block: bytes, now: float, source: str = "") -> Decoded:
        """Decode line by line; a row that cannot be used does not take the others of its line with it."""
        self._reader.enter(source)
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        out = Decoded(lines=len(lines))
        for line in lines:
            if not line.strip():
                continue
            try:
                for row in self._rows.rows(line, source, now):
                    self._take(row, line, now, out)
            except UNUSABLE as error:
                out.rejects.append(reject_of(error, line))
        out.rejects.extend(self._rows.take_dropped())
        if self._waits is not None:
            out.times.extend(self._waits.take_times())
        return out

    def _take(self, row: Row, line: bytes, now: float, out: Decoded) -> None:
        try:
            record = self._reader.record(row, now)
        except Rejected as error:
            out.rejects.append(reject_of(error, line))
            return
        out.records.append(record)
        if row.ts is not None or row.timestamp is not None:
            out.times.append(record.ts)

    def dump(self) -> Any:
        """That of the row format."""
        return self._rows.dump()

    def load(self, state: Any) -> None:
        """To the row format."""
        self._rows.load(state)


def reject_of(error: Exception, line: bytes) -> Reject:
    """The reject of a line that raised one of `UNUSABLE`."""
    excerpt = line[:_EXCERPT].decode("utf-8", "replace")
    detail = str(error)[:_DETAIL]
    if isinstance(error, Rejected):
        return Reject(error.reason, detail, excerpt)
    if isinstance(error, msgspec.ValidationError):
        return Reject("type", detail, excerpt)
    if isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
        return Reject("utf8", str(error.reason), excerpt)
    if isinstance(error, OverflowError):
        return Reject("type", f"a number that is too large: {detail}", excerpt)
    return Reject("json", detail, excerpt)
