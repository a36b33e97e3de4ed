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
from mlcanary.formats.rows import Rejected, Row, RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, Prediction, Record, Reject

_MOST_EXCERPTS = 2
_TWO = 2
_MOST_CLASSES = 20
SCORE = "score"
"""The reason of rows that are in form, and whose score is no probability."""
_NAMED = ("native", "mapping", "bentoml")
"""Formats whose records say what is a score."""


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


@dataclass(frozen=True)
class Refused:
    """A row in the form of its format, whose score is no probability; and the version that it names, if any."""

    row: Row
    version: str | None


@dataclass
class Reading:
    """What a format understood. `waiting`: lines whose other half or schema is not in the sample.

    `refused`: rows of which only the score could not be used; they are rejects too.
    """

    options: FormatOptions
    task: Task
    lines: int = 0
    seen: list[Seen] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Reject]] = field(default_factory=dict)
    waiting: int = 0
    tried: list[Row] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
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

    @property
    def in_form(self) -> float:
        """Share of lines that are in this format, though it may refuse their score; no less than `understood`."""
        if not (self.seen or self.refused) or not self.lines:
            return 0.0
        strange = self.rejects.total() - self.rejects[SCORE] + self.waiting
        return max(0.0, 1.0 - strange / self.lines)


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
    """Keeps the row of every record, and the rows that gave none."""

    def __init__(self, out: Reading) -> None:
        plan, options = ModelPlan(task=out.task), out.options
        super().__init__(lambda _model: plan, model=options.model, version=options.version, path=options.path)
        self._out = out
        self._log = ""

    def enter(self, source: str) -> None:
        self._log = source
        super().enter(source)

    def record(self, line: Row, now: float) -> Record:
        self._out.tried.append(line)
        try:
            found = super().record(line, now)
        except Rejected as error:
            if error.reason == SCORE:
                version = self.key(None, line.version).version
                self._out.refused.append(Refused(line, None if version == UNKNOWN else version))
            raise
        self._out.seen.append(Seen(line, found, self._log))
        return found


def read_as(options: FormatOptions, logs: Sequence[SampledLog], now: float, task: Task = Task.BINARY) -> Reading:
    """The lines in this format. `now`: Unix seconds. Options that cannot be used are told in `error`."""
    out = Reading(options, task)
    try:
        rows: RowFormat = (
            _NativeRows() if options.name == "native" else ROW_FORMATS[options.name](_with_task(options, task))
        )
    except ValueError as error:
        out.error = str(error)
        return out
    decoder = RowsDecoder(rows, _Spy(out))
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
    """The task that the answers look like: items rank, many different numbers are amounts, more than two classes.

    A body whose numbers are no probabilities is one of amounts; a field that somebody called `score` is not.
    """
    rows = [row for row in reading.tried if row.kind == "prediction"]
    if any(row.items is not None for row in rows):
        return Task.RANKING
    if any(row.scores is not None and len(row.scores) > _TWO for row in rows):
        return Task.MULTICLASS
    scores = [row.score for row in rows if row.score is not None]
    if scores:
        outside = sum(not 0 <= score <= 1 for score in scores)
        return Task.REGRESSION if reading.options.name not in _NAMED and 2 * outside > len(scores) else Task.BINARY
    answers = [row.prediction for row in rows if row.prediction is not None]
    numbers = [float(a) for a in answers if isinstance(a, int | float) and not isinstance(a, bool)]
    different = len(set(answers))
    if numbers and len(numbers) == len(answers):
        many = different > max(_MOST_CLASSES, len(answers) // 10)
        if many or any(not number.is_integer() for number in numbers):
            return Task.REGRESSION
    return Task.MULTICLASS if different > _TWO else Task.BINARY
