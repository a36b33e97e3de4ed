"""The store of one exporter: takes what blocks decode to, keeps it until a checkpoint knows of it, then shows it.

Guarantee: with the checkpoint, every row that was read is in exactly one segment in the end, whatever kills the process
and when. Rows go into a journal; the checkpoint that knows how far the logs were read also knows how long the journal
was then. What lies behind that is cut off at the next start, for its lines are read again. A journal becomes segments
only after a checkpoint that says it is closed, so a file that a reader saw is never taken back but by retention. After
a power cut the last rows may be there twice; what reads labelled rows drops the second one.
Memory: some 8,000 rows. A full disk stops nothing: rows that cannot be kept are counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mlcanary import durable
from mlcanary.errors import StateError
from mlcanary.formats.contract import Decoded
from mlcanary.measures.contract import sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Sample
from mlcanary.store.feature_kinds import NUMBER, PREFIX, TEXT
from mlcanary.store.intake import Intake
from mlcanary.store.journal import Group, Journal, frames
from mlcanary.store.layout import DATASETS, PREDICTIONS, journal_path, journals
from mlcanary.store.segments import Segments
from mlcanary.store.settings import StoreSection

log = logging.getLogger(__name__)

DROP_REASONS = ("disk", "models", "invalid", "features", "lost")
"""Why a row is not kept: no room, too many models, a value that no column takes, a journal that is gone; or why a part
of it is not: features that only the reference of another model has."""

LAYOUT = 1
_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Closed:
    """A journal of which segments are to be made, as the checkpoint knows it."""

    sequence: int
    length: int
    at: float
    rows: int


class Store:
    """Call from the thread that reads: `take` blocks, `record` into the checkpoint, `publish` once that is durable.

    `kept`: rows by data set, `dropped`: by reason.
    """

    def __init__(self, section: StoreSection, plan_of: Callable[[str], ModelPlan]) -> None:
        """Open or create the directory, and hold it. Raises StateError."""
        self._section = section
        self._root = Path(section.path)
        pa.set_cpu_count(1)  # a sidecar: the cores belong to the model server
        pa.set_io_thread_count(1)
        try:
            (self._root / "_open").mkdir(mode=0o750, parents=True, exist_ok=True)
            held = durable.lock(self._root / "_store")
            if held is None:
                raise StateError(f"{self._root}: held by another process", hint="give each exporter a store of its own")
            self._lock = held
            self._segments = Segments(self._root, _name(self._root / "_store.json"))
        except OSError as error:
            hint = "choose a directory that this user may write"
            raise StateError(f"{self._root}: {error.strerror}", hint=hint) from error
        self._intake = Intake(section, plan_of, self)
        self._journal: Journal | None = None
        self._sequence = self._segments.last + 1
        self._rows = 0
        self._opened: float | None = None
        self._closed: list[_Closed] = []
        self._retry_at = 0.0
        self._complaint = ""
        self._finishing = False
        self.kept: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def restore(self, saved: Any, now: float) -> None:
        """Go on from a former `record`, None for none. `now`: Unix seconds. Raises StateError."""
        try:
            if isinstance(saved, dict) and saved.get("path") == str(self._root.resolve()):
                self._go_on(saved)
            else:
                self._start_anew(now)
        except (OSError, pa.ArrowException) as error:
            raise StateError(f"{self._root}: cannot be used: {error}", hint="check its permissions") from error
        self.publish(now)

    def _go_on(self, saved: dict[str, Any]) -> None:
        there = journals(self._root)
        self._intake.load(saved["models"])
        self.kept.update(saved["kept"])
        self.dropped.update(saved["dropped"])
        self._segments.removed.update(saved["removed"])
        self._closed = [_Closed(*row) for row in saved["closed"] if row[0] in there]
        sequence = int(saved["sequence"])
        if sequence in there:
            self._sequence, self._opened = sequence, saved["opened"]
            self._journal = Journal(there[sequence], saved["length"])
            with there[sequence].open("rb") as handle:
                self._rows = sum(frame.rows for frame in frames(handle))
        else:  # after a power cut its segments may be there, though the checkpoint does not know
            self._sequence = max(sequence, self._segments.last + 1)
        if self._rows < saved["rows"] and not self._segments.has(sequence):
            self.drop("lost", saved["rows"] - self._rows, "the journal is shorter than the checkpoint says")
        known = {self._sequence, *(closed.sequence for closed in self._closed)}
        for number, path in there.items():
            if number not in known:  # written after the checkpoint: these lines are read again
                path.unlink()

    def _start_anew(self, now: float) -> None:
        """No checkpoint knows of this store: what lies here stays, as the logs may not hold it any more."""
        for segment in self._segments.newest(PREDICTIONS):
            schema = parquet.read_schema(segment.path)
            if segment.model is not None:
                self._intake.load({segment.model: _kinds_in(schema)})
        for number, path in sorted(journals(self._root).items()):
            with path.open("rb") as handle:
                found = list(frames(handle))
            length = found[-1].start + found[-1].nbytes if found else 0
            self._closed.append(_Closed(number, length, now, sum(frame.rows for frame in found)))
            self._sequence = max(self._sequence, number + 1)
        if len(self._segments) or self._closed:
            log.warning(
                "%s: rows of an exporter with another state file; lines read again are stored again", self._root
            )

    def take(self, decoded: Decoded, now: float, nbytes: int) -> None:
        """Keep what a block of `nbytes` gave. `now`: time of arrival, Unix seconds."""
        self._intake.take(decoded, now, nbytes)

    def record(self, now: float) -> dict[str, Any]:
        """What the checkpoint has to know; call `publish` once it is durable."""
        self._intake.flush()
        if self._opened is None and self._rows:
            self._opened = now
        if self._journal is not None:
            try:
                self._journal.sync()
            except OSError as error:
                self._complain(f"cannot be synchronised: {error.strerror}")
            age = now - (now if self._opened is None else self._opened)
            full = self._rows >= self._section.segment_rows or age >= self._section.segment_interval
            if self._rows and (full or self._finishing):
                self._closed.append(_Closed(self._sequence, self._journal.length, now, self._rows))
                self._journal.close()
                self._journal, self._opened, self._rows = None, None, 0
                self._sequence += 1
        return {
            "path": str(self._root.resolve()),
            "sequence": self._sequence,
            "length": 0 if self._journal is None else self._journal.length,
            "rows": self._rows,
            "opened": self._opened,
            "closed": [[c.sequence, c.length, c.at, c.rows] for c in self._closed],
            "models": self._intake.dump(),
            "kept": dict(self.kept),
            "dropped": dict(self.dropped),
            "removed": dict(self._segments.removed),
        }

    def publish(self, now: float) -> None:
        """Make segments of the journals that the last `record` called closed, and remove old ones."""
        while self._closed and (now >= self._retry_at or self._finishing):
            closed = self._closed[0]
            path = journal_path(self._root, closed.sequence)
            try:
                if path.exists():
                    self._segments.make(path, closed.length, closed.sequence, closed.at)
                    path.unlink()
            except pa.ArrowInvalid as error:
                self._give_up(closed, "invalid", f"{path} is damaged: {error}")
                continue
            except OSError as error:
                self._retry_at = now + _RETRY_SECONDS
                self._complain(f"no segment could be made: {error.strerror}")
                break
            del self._closed[0]
            self._complaint = ""
        while self._closed and self._waiting > self._section.max_bytes:
            self._give_up(self._closed[0], "disk", "no segment could be made of it for too long")
        room = max(0, self._section.max_bytes - self._waiting)
        self._segments.trim(now, float(self._section.retention), room)

    @property
    def _waiting(self) -> int:
        """Bytes of which no segment is made yet."""
        open_bytes = 0 if self._journal is None else self._journal.length
        return open_bytes + sum(closed.length for closed in self._closed)

    def _give_up(self, closed: _Closed, reason: str, why: str) -> None:
        self.drop(reason, closed.rows, why)
        self._closed.remove(closed)
        with contextlib.suppress(OSError):
            journal_path(self._root, closed.sequence).unlink(missing_ok=True)

    def finish(self) -> None:
        """The next `record` closes the journal: the exporter ends."""
        self._finishing = True

    def close(self) -> None:
        """Give the directory back."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        os.close(self._lock)

    def samples(self) -> Iterator[Sample]:
        """What it says about itself."""
        yield sample("store_bytes", (), float(self._segments.nbytes + self._waiting))
        yield sample("store_segments", (), float(len(self._segments)))
        for dataset in DATASETS:
            yield sample("store_rows_total", (dataset,), float(self.kept[dataset]))
        for reason in DROP_REASONS:
            yield sample("store_rows_dropped_total", (reason,), float(self.dropped[reason]))
        for reason in ("age", "size"):
            yield sample("store_segments_removed_total", (reason,), float(self._segments.removed[reason]))

    def write(self, group: Group, batch: pa.RecordBatch) -> None:
        """Keep these rows: add them to the journal."""
        try:
            if self._journal is None:
                self._journal = Journal(journal_path(self._root, self._sequence))
            self._journal.append(group, batch)
        except OSError as error:
            self.drop("disk", batch.num_rows, error.strerror or str(error))
            return
        self._rows += batch.num_rows
        self.kept[group[0]] += batch.num_rows

    def drop(self, reason: str, rows: int, why: str) -> None:
        """Count rows that are not kept."""
        self.dropped[reason] += rows
        self._complain(f"rows are not kept ({reason}): {why}")

    def _complain(self, what: str) -> None:
        """Once until something else goes wrong: a full disk fails at every block."""
        if what != self._complaint:
            self._complaint = what
            log.error("%s: %s", self._root, what)


def _kinds_in(schema: pa.Schema) -> dict[str, str]:
    """The kind of each feature that a segment has."""
    return {
        field.name.removeprefix(PREFIX): NUMBER if pa.types.is_floating(field.type) else TEXT
        for field in schema
        if field.name.startswith(PREFIX)
    }


def _name(path: Path) -> str:
    """What the segments of this store are called by, so that several stores can be put together. Raises StateError."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        layout, name = known["layout"], str(known["name"])
    except FileNotFoundError:
        layout, name = LAYOUT, secrets.token_hex(4)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"layout": layout, "name": name}), encoding="utf-8")
        os.replace(temporary, path)
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path}: not readable", hint="remove the file; segments get a new name then") from error
    if layout != LAYOUT:
        hint = "choose an empty directory, or run the version that wrote it"
        raise StateError(f"{path}: layout {layout}, this version writes {LAYOUT}", hint=hint)
    return name
