"""What one format makes of the sampled lines: rows, records, rejects, and halves of calls that wait.

Guarantee: reads through the format itself, so what is shown is what the exporter will count. Pure: time comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlcanary.catalog import UNKNOWN, Task
from mlcanary.doctor.sample import SampledLog
from mlcanary.formats.client_lines import client_drops
from mlcanary.formats.contract import FormatOptions, RowFormat, RowsDecoder
from mlcanary.formats.registry import ROW_FORMATS
from mlcanary.formats.rows import Row, RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, Prediction, Record, Reject

_MOST_EXCERPTS = 2


@dataclass(frozen=True)
class Seen:
    """A row, and the record it gave."""

    row: Row
    record: Record
    log: str

    @property
    def version(self) -> str | None:
        """The version, None if nothing names it."""
        named = self.record.key.version if isinstance(self.record, Prediction) else UNKNOWN
        return None if named == UNKNOWN else named


@dataclass
class Reading:
    """What a format understood. `waiting`: lines whose other half or schema is not in the sample."""

    options: FormatOptions
    task: Task
    lines: int = 0
    seen: list[Seen] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Reject]] = field(default_factory=dict)
    waiting: int = 0
    error: str = ""

    @property
    def predictions(self) -> list[Seen]:
        """Rows that are predictions."""
        return [each for each in self.seen if isinstance(each.record, Prediction)]

    @property
    def labels(self) -> list[Seen]:
        """Rows that are labels or events."""
        return [each for each in self.seen if isinstance(each.record, Label)]

    @property
    def understood(self) -> float:
        """Share of lines that gave something or will once their other half is there; 0 if nothing gave a row."""
        if not self.seen or not self.lines:
            return 0.0
        return max(0.0, 1.0 - (self.rejects.total() + self.waiting) / self.lines)


class _NativeRows:
    """The native format row by row."""

    reasons: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Row)

    def rows(self, line: bytes, source: str, now: float) -> Iterable[Row]:
        try:
            return [self._decoder.decode(line)]
        except msgspec.ValidationError:
            if client_drops(line) is not None:
                return []
            raise

    def take_dropped(self) -> Iterable[Reject]:
        return ()

    def dump(self) -> Any:
        return None

    def load(self, state: Any) -> None:
        """Nothing waits."""


class _Spy(RowReader):
    """Keeps the row of every record."""

    def __init__(self, options: FormatOptions, task: Task, kept: list[Seen]) -> None:
        plan = ModelPlan(task=task)
        super().__init__(lambda _model: plan, model=options.model, version=options.version, path=options.path)
        self._kept = kept
        self._log = ""

    def enter(self, source: str) -> None:
        self._log = source
        super().enter(source)

    def record(self, line: Row, now: float) -> Record:
        found = super().record(line, now)
        self._kept.append(Seen(line, found, self._log))
        return found


def read_as(options: FormatOptions, logs: Sequence[SampledLog], now: float, task: Task = Task.BINARY) -> Reading:
    """The lines in this format. `now`: Unix seconds. Options that cannot be used are told in `error`."""
    out = Reading(options, task)
    try:
        rows: RowFormat = _NativeRows() if options.name == "native" else ROW_FORMATS[options.name](_with_task(options, task))
    except ValueError as error:
        out.error = str(error)
        return out
    decoder = RowsDecoder(rows, _Spy(options, task, out.seen))
    for log in logs:
        decoded = decoder.decode_block(b"\n".join(log.lines) + b"\n", now, log.path)
        out.lines += len(log.lines)
        for reject in decoded.rejects:
            out.rejects[reject.reason] += 1
            kept = out.examples.setdefault(reject.reason, [])
            if len(kept) < _MOST_EXCERPTS:
                kept.append(reject)
    out.waiting = _waiting(decoder.dump())
    return out


def _waiting(state: Any) -> int:
    """Lines that a format keeps: halves of calls, or data lines without a schema."""
    if isinstance(state, dict):
        return len(state.get("waiting", ()))
    return len(state[1]) if isinstance(state, list) and len(state) > 1 else 0


def _with_task(options: FormatOptions, task: Task) -> FormatOptions:
    return FormatOptions(
        options.name, options.model, options.version, options.path, options.mapping, lambda _model: task
    )


def task_of(reading: Reading) -> Task:
    """The task that the answers look like: items rank, many different numbers are amounts, more than two classes."""
    rows = [each.row for each in reading.predictions]
    if any(row.items is not None for row in rows):
        return Task.RANKING
    if any(row.scores is not None and len(row.scores) > 2 for row in rows):
        return Task.MULTICLASS
    if any(row.score is not None for row in rows):
        return Task.BINARY
    answers = [row.prediction for row in rows if row.prediction is not None]
    different = set(answers)
    numbers = [a for a in answers if isinstance(a, int | float) and not isinstance(a, bool)]
    if len(numbers) == len(answers) and (
        any(not float(number).is_integer() for number in numbers) or len(different) > max(20, len(answers) // 10)
    ):
        return Task.REGRESSION if answers else Task.BINARY
    return Task.MULTICLASS if len(different) > 2 else Task.BINARY
