"""Checkpoint files that were damaged: bits flipped, cut off, rows swapped or gone, values of other types.

An input is a list of changes of six bytes each to a good file: what, where (two bytes each, of which most changes use
one), and a value.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from exporter_process import parsed, total
from formats.same_traffic import NOW
from fuzz.contract import Target, demand
from fuzz.line_targets import MONITORED, READINGS
from fuzz.mutations import HOSTILE
from mlcanary.engine import Engine
from mlcanary.errors import StateError
from mlcanary.settings import ExporterSettings
from mlcanary.source_settings import Origin
from mlcanary.sources.checkpoint import Checkpoint

_CHANGE = 6
_MOST_CHANGES = 40
_FLIP, _CUT, _ZERO, _SWAP, _DELETE, _TYPE, _VALUE, _SEAL = range(8)
_READING = next(reading for reading in READINGS if reading.name == "native")
_LINES = b"\n".join(_READING.lines) + b"\n"


def _engine(folder: Path, checkpoint: Checkpoint) -> Engine:
    log = str(folder / "log.jsonl")
    settings = ExporterSettings((log,), MONITORED, origins=(Origin(log, _READING.options),))
    return Engine(settings, clock=lambda: NOW, checkpoint=checkpoint)


def _run(folder: Path) -> str:
    """Read on from the checkpoint, and the page. Raises StateError."""
    checkpoint = Checkpoint(folder / "state.db")
    try:
        engine = _engine(folder, checkpoint)
        while engine.read_some():
            pass
        engine.publish()
        engine.close()
    finally:
        checkpoint.close()
    return engine.page.text.decode()


@cache
def good_file() -> bytes:
    """The state after half of a log, as one file."""
    with tempfile.TemporaryDirectory(prefix="mlcanary-fuzz-") as name:
        folder = Path(name)
        half = _LINES[: _LINES.index(b"\n", len(_LINES) // 2) + 1]
        (folder / "log.jsonl").write_bytes(half)
        _run(folder)
        with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
            database.execute("VACUUM")
        return (folder / "state.db").read_bytes()


def attempt_checkpoint(data: bytes) -> None:
    """Damage the file, start from it, read on: a `StateError` with a hint, or counters that can be right."""
    changes = [data[i : i + _CHANGE].ljust(_CHANGE, b"\0") for i in range(0, len(data), _CHANGE)][:_MOST_CHANGES]
    with tempfile.TemporaryDirectory(prefix="mlcanary-fuzz-") as name:
        folder = Path(name)
        state = folder / "state.db"
        (folder / "log.jsonl").write_bytes(_LINES)
        state.write_bytes(good_file())
        with closing(sqlite3.connect(state, isolation_level=None)) as database:
            for change in changes:
                with suppress(sqlite3.Error):
                    _change_rows(database, change)
        state.write_bytes(_changed_bytes(bytearray(state.read_bytes()), changes))
        try:
            page = _run(folder)
        except StateError as error:
            demand(bool(error.hint), "a StateError without a hint")
            (str(error) + error.hint).encode()
            return
    counters = parsed(page)
    predictions = total(counters, "mlcanary_predictions_total")
    whole = sum(1 for line in _READING.lines if b'"label"' not in line)
    # The log is a copy, and so it is read from its start again: twice where the ids of the first time are gone.
    demand(whole <= predictions <= 2 * whole, f"{predictions} predictions of {whole}")


def _changed_bytes(file: bytearray, changes: list[bytes]) -> bytes:
    for what, a, b, c, value, _ in changes:
        at = (a << 16 | b << 8 | c) % max(1, len(file))
        match what % 8:
            case 0 if file:
                file[at] ^= value | 1
            case 1 if value % 4 == 0:
                del file[at:]
            case 2:
                file[at : at + 64] = bytes(len(file[at : at + 64]))
    return bytes(file)


def _places(database: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Table, column and rowid of every value that a checksum guards."""
    found = []
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        column = database.execute(f"SELECT name FROM pragma_table_info('{table}') WHERE type = 'BLOB'").fetchone()[0]
        found += [(table, column, row) for (row,) in database.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]
    return found


def _change_rows(database: sqlite3.Connection, change: bytes) -> None:
    what, a, b, c, value, other = change
    places = _places(database)
    if not places or what % 8 < _SWAP:
        return
    table, column, row = places[a % len(places)]
    to_table, to_column, to_row = places[b % len(places)]
    read, write = (
        f"SELECT {column} FROM {table} WHERE rowid = ?",
        f"UPDATE {to_table} SET {to_column} = ? WHERE rowid = ?",
    )
    (stored,) = database.execute(read, (row,)).fetchone()
    match what % 8:
        case 3:
            database.execute(write, (stored, to_row))
        case 4:
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
        case 5:
            database.execute(write, ((value, "text", b"", bytes([value, other]))[c % 4], to_row))
        case _:
            if isinstance(stored, bytes):
                database.execute(write, (_other_value(stored, b << 8 | c, value), row))


def _other_value(stored: bytes, place: int, value: int) -> bytes:
    """A value of the stored document replaced, without or with the four bytes of its checksum."""
    for head in (0, 4):
        with suppress(msgspec.MsgspecError, OverflowError, ValueError, RecursionError):
            document = msgspec.msgpack.decode(stored[head:])
            nodes = list(_nodes(document))
            if nodes:
                owner, key = nodes[place % len(nodes)]
                owner[key] = HOSTILE[value % len(HOSTILE)]
                return stored[:head] + msgspec.msgpack.encode(document)
    return stored[: place % (len(stored) + 1)]


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _nodes(value[key])


SEEDS = (
    b"",
    *(bytes([what, a, b, c, value, 7]) for what, a, b, c, value in (
        (_FLIP, 0, 0, 20, 1), (_FLIP, 1, 9, 9, 64), (_CUT, 0, 77, 0, 0), (_ZERO, 0, 200, 0, 0), (_SWAP, 0, 1, 0, 0),
        (_SWAP, 2, 3, 0, 0), (_DELETE, 1, 0, 0, 0), (_TYPE, 0, 0, 1, 9), (_VALUE, 1, 0, 5, 3), (_SEAL, 2, 1, 8, 40),
    )),
)  # fmt: skip

CHECKPOINTS = Target("checkpoints", attempt_checkpoint, SEEDS)
