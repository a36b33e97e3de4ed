"""Native JSON lines: one object per line, predictions and labels mixed in any order.

    {"id": "r-1", "ts": "2026-11-01T10:00:00Z", "model": "churn", "version": "v2", "features": {"age": 41},
     "score": 0.7, "prediction": 1, "latency_ms": 12.5}
    {"kind": "label", "id": "r-1", "ts": 1793527260, "label": 1}
    {"kind": "label", "id": "r-1", "event": "purchase", "value": 59.9}
    {"id": "r-2", "ts": 1793527200, "model": "feed", "version": "v1", "user": "u-7", "items": ["a", "b", "c"]}
    {"kind": "label", "id": "r-2", "model": "feed", "label": {"b": 2, "c": 1}}

Guarantee: every line gives one record or one reject with a reason of `REASONS`; blank lines give nothing;
no line can harm another. Unknown keys are ignored. `request_id` and `timestamp` are read as `id` and `ts`.
`ts`: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds told apart by size; without
a zone it is UTC; without `ts` it is the time of arrival. `status` other than 200 makes the request an error.
What a prediction must hold depends on the task of its model: a class or a score, class probabilities in `scores`, a
number, or a ranking in `items`, whose label are the right items or their grades. `user` is hashed right here.
Lines in which a client says what it dropped (`client_lines`) give no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from mlcanary.columns import Classes
from mlcanary.compiled import CORE
from mlcanary.formats.client_lines import client_drops
from mlcanary.formats.compiled_lines import LONGEST_BLOCK, CompiledDecoder
from mlcanary.formats.contract import UNUSABLE, Decoded, reject_of
from mlcanary.formats.layout import Layout, can_be_field
from mlcanary.formats.lines import Lines
from mlcanary.formats.native_columns import ColumnMaker, plan_has_columns
from mlcanary.formats.rows import Row, RowReader
from mlcanary.formats.typed_lines import TypedDecoder
from mlcanary.records import Prediction
from mlcanary.stats.row_choice import Unnamed

_DECODER = msgspec.json.Decoder(Row)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MOST_MODELS, _MOST_STRANGE = 8, 200
_BLOCKS_WITHOUT = 50
_FIRST_LINES = 256
"""Lines of the first block that are decoded twice: one by one, to see which models and keys the log has."""


class NativeFormat:
    """Decoder of native lines: plain ones of models with a reference become columns, all others records."""

    reasons: tuple[str, ...] = ()

    def __init__(self, reader: RowReader, *, columns: bool = True, whole: bool = False, compiled: bool = True) -> None:
        """Without `columns` every line becomes a record, in the order of the lines.

        `whole`: a line with features beside its reference becomes a record too, as columns only count these.
        `compiled`: by the compiled core, where there is one.
        """
        self._reader = reader
        self._whole = whole
        self._wanted = columns
        self._classes, self._segment_values = Classes(), Classes()
        self._core = CORE if compiled else None
        self._maker: ColumnMaker | None = None
        self._typed: TypedDecoder | None = None
        self._compiled: CompiledDecoder | None = None
        self._models: dict[str, None] = {}
        self._strange: dict[str, None] = {}
        self._keys: dict[str, None] = {}
        self._resting = 0
        self._fresh = self._wanted
        self.share = 1.0
        self._unnamed = Unnamed()

    def decode_block(self, block: bytes, now: float, source: str = "") -> Decoded:
        """Decode complete lines of one log. `now`, Unix seconds: arrival time, and what bounds a time in the future."""
        self._reader.enter(source)
        out = Decoded()
        if self._fresh:
            self._fresh = False
            self._decode(block[: _end_of(block, _FIRST_LINES)], now, Decoded())  # to see what the log has
        self._decode(block, now, out)
        return out

    def _decode(self, block: bytes, now: float, out: Decoded) -> None:
        """Add what these lines give."""
        if self._maker is not None:
            self._maker.choice.share, self._maker.choice.unnamed = self.share, self._unnamed
        taken = 0
        if self._compiled is not None and len(block) <= LONGEST_BLOCK:
            left = self._compiled.take(block, now, out)
            block, taken = left.block, left.taken
        out.lines += taken
        if not block:
            return
        lines = Lines(block)
        out.lines += len(lines)
        regular = lines.one_object_each
        odd: Sequence[int] = range(len(lines))
        if self._typed is not None and regular and not self._resting:
            odd = self._in_columns(self._typed, block, lines, now, out)
        self._resting = max(0, self._resting - 1)
        self._one_by_one(odd, lines, block if regular else None, now, out)

    def _in_columns(self, decoder: TypedDecoder, block: bytes, lines: Lines, now: float, out: Decoded) -> Sequence[int]:
        """Take what is plain; the numbers of the other lines."""
        if not decoder.takes_all and not _is_text(block):  # nobody checks features that are stepped over
            return range(len(lines))
        found = decoder.columns(lines, now)
        out.predictions += found.predictions
        out.labels += found.labels
        out.times.frombytes(found.times.tobytes())
        if 2 * len(found.odd) > len(lines):  # decoding twice costs more than it gains
            self._resting = _BLOCKS_WITHOUT
        return found.odd

    def _one_by_one(
        self, odd: Sequence[int], lines: Sequence[bytes], block: bytes | None, now: float, out: Decoded
    ) -> None:
        """Records of these lines; `block` if all of them may be decoded at once."""
        known = len(self._models), len(self._strange), len(self._keys)
        for i, fields in zip(odd, self._rows(odd, lines, block), strict=True):
            try:
                if fields is None and not lines[i].strip():
                    continue
                row = _DECODER.decode(lines[i]) if fields is None else fields
                record = self._reader.record(row, now)
            except UNUSABLE as error:
                if (dropped := client_drops(lines[i])) is not None:
                    out.client_dropped.update(dropped)
                else:
                    out.rejects.append(reject_of(error, lines[i]))
                continue
            out.records.append(record)
            if row.ts is not None or row.timestamp is not None:
                out.times.append(record.ts)
            if self._wanted and isinstance(record, Prediction):
                self._meet(record)
            if self._models and len(self._keys) < _MOST_STRANGE:
                self._note_keys(lines[i])
        if known != (len(self._models), len(self._strange), len(self._keys)) and self._models:
            self._lay_out()

    def _note_keys(self, line: bytes) -> None:
        """Keys for the type of a line: all but those that are no UTF-8, which a row is not asked for."""
        with suppress(*UNUSABLE):
            self._keys |= dict.fromkeys(filter(can_be_field, _KEYS.decode(line)))

    def _rows(self, odd: Sequence[int], lines: Sequence[bytes], block: bytes | None) -> Sequence[Row | None]:
        if block is not None and isinstance(odd, range):
            try:
                found = _DECODER.decode_lines(block)
            except UNUSABLE:  # a broken line somewhere: they are taken one by one
                found = []
            if len(found) == len(odd):
                return found
        return [None] * len(odd)

    def _meet(self, record: Prediction) -> None:
        """Note a model that can have columns, and features that its reference does not know."""
        model = record.key.model
        if model not in self._models:
            plan = self._reader.plan_of(model)
            if not plan_has_columns(plan) or len(self._models) >= _MOST_MODELS:
                return
            self._models[model] = None
        layout = self._maker.layout if self._maker is not None and not self._whole else None
        for name in record.features:
            if layout is None or name in layout.names or not can_be_field(name):
                continue
            if len(self._strange) < _MOST_STRANGE:
                self._strange[name] = None

    def _lay_out(self) -> None:
        self._resting = 0
        references = {model: self._reader.plan_of(model).reference for model in self._models}
        try:
            layout = Layout({m: r for m, r in references.items() if r is not None}, tuple(self._strange))
        except ValueError:
            self._maker = self._typed = self._compiled = None
            return
        self._maker = ColumnMaker(layout, self._reader, self._classes, self._segment_values)
        self._typed = TypedDecoder(self._maker, self._keys)
        self._compiled = None
        if self._core is not None:
            with suppress(ValueError):  # keys that are too much alike
                self._compiled = CompiledDecoder(self._core, self._maker, self._keys)

    def dump(self) -> Any:
        """Nothing waits, a line is a record; rows without an id are counted."""
        return self._unnamed.count or None

    def load(self, state: Any) -> None:
        """Take over what `dump` gave."""
        if isinstance(state, int):
            self._unnamed.count = state


def _end_of(block: bytes, lines: int) -> int:
    """Where the first lines end."""
    end = 0
    for _ in range(lines):
        end = block.find(b"\n", end) + 1
        if not end:
            return len(block)
    return end


def _is_text(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
