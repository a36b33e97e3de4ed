"""One path followed through the generations of its content.

Guarantee: every complete line that ever stood in the path's content is returned once, oldest generation first,
through rename rotation, copytruncate, deletion and any number of rotations that nobody watched, as long as the
content still lies uncompressed beside the path. What cannot be found is counted in `lost`.

States: *searching* (the generation that was being read is looked for under other names), *reading* (a
generation is open), *settling* (it was renamed and is at its end, and its writer may still hold it).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from enum import Enum

from mlcanary.sources.contract import Mark, SourceStatus, TailPosition
from mlcanary.sources.generation import Generation, begins_compressed
from mlcanary.sources.history import Found, History, Survey, first_to_read
from mlcanary.sources.line_feeds import line_feeds
from mlcanary.sources.surroundings import Surroundings


class Step(Enum):
    """What a step did when it returned no lines."""

    MOVED = "moved"
    IDLE = "idle"


class Tail:
    """Follows one path. `step` does one bounded piece of work; nothing blocks and nothing is raised.

    `retired` says that the file was removed and that nothing is expected to follow under its name.
    """

    def __init__(self, source: str, saved: TailPosition, shared: Surroundings) -> None:
        self.source = source
        marks = saved.consumed if saved.current is None else (*saved.consumed, saved.current)
        self._shared = shared
        self._history = History(source, marks, shared.listing)
        self._generation: Generation | None = None
        self._missing = saved.current
        self._missing_since: float | None = None
        self._quiet: tuple[int, float] | None = None
        self._revisit = False
        self._idle = self._at_live_end = False
        self.retired = False
        self._writer, self._fragment, self._skipping = saved.writer, saved.fragment, saved.skipping
        self._error, self._backlog = "", 0
        self._lines = self._bytes = self._oversized = 0
        self._rotations: dict[str, int] = {}
        self._lost: dict[str, int] = {}

    def ignore_rotated(self, before_ns: int | None) -> None:
        """Take unknown rotated files last written before `before_ns` (Unix ns; None: all) as consumed."""
        for found in self._history.survey(None, self._shared.others).older:
            if found.mark is not None or (before_ns is not None and found.mtime_ns >= before_ns):
                continue
            try:
                file = Generation(found.path)
            except OSError:
                continue
            file.advance_to(found.size)
            self._history.remember(file.mark())
            file.close()

    def step(self) -> bytes | Step:
        """Complete lines, or what was done instead."""
        self._at_live_end = False
        try:
            done = self._step(self._shared.clock())
        except OSError as error:
            self._error = error.strerror or str(error)
            self._put_aside(searching=True)
            done = Step.IDLE
        self._idle = done is Step.IDLE
        return done

    @property
    def caught_up(self) -> bool:
        """True if the last step found the end of everything; False also while it waits before it reads on."""
        if not self._idle:
            return False
        if self._at_live_end:
            return not self._revisit
        # A log that we may not open would be waited for without end; `up` and `error` tell of it.
        return not self._backlog and not (self._live_bytes() and os.access(self.source, os.R_OK))

    @property
    def waiting(self) -> bool:
        """True if there is more to read but the last step had to wait for it."""
        return self._idle and not self.caught_up

    def position(self) -> TailPosition:
        """How far the path has been followed."""
        reading = self._generation
        current = reading.mark() if reading is not None and reading.offset else self._missing
        return TailPosition(
            current=current,
            consumed=tuple(mark for mark in self._history.marks if mark != current),
            writer=self._writer,
            fragment=self._fragment,
            skipping=self._skipping,
        )

    def status(self) -> SourceStatus:
        """Health of the path and what was counted since the object was made."""
        return SourceStatus(
            source=self.source,
            up=not self._error,
            error=self._error,
            lag_bytes=self._lag(),
            lines=self._lines,
            bytes_read=self._bytes,
            oversized_lines=self._oversized,
            rotations={"rename": 0, "truncate": 0, **self._rotations},
            lost={"vanished": 0, "truncated": 0, "compressed": 0, **self._lost},
        )

    def close(self) -> None:
        """Release the descriptor; `position` stays what it was."""
        self._put_aside(searching=True)

    def marks(self) -> tuple[Mark, ...]:
        """Everything consumed, the generation being read included."""
        position = self.position()
        return position.consumed if position.current is None else (*position.consumed, position.current)

    def is_delivered(self, *, gone: bool) -> bool:
        """True if the path does not exist and nothing unread is left of it; with `gone`, nothing at all."""
        reading = self._generation
        survey = self._history.survey(reading, self._shared.others)
        unread = self._fragment or (reading is not None and reading.size() > reading.offset)
        return not (survey.live or survey.older or unread or (gone and (survey.consumed or survey.sequence)))

    def last_position(self) -> TailPosition:
        """What to remember when the path is left: what was read to its end need not be found again."""
        return self.position() if self._generation is None else TailPosition(consumed=self.marks())

    def finished(self) -> os.stat_result | None:
        """The state of the file if nothing is left in it and nothing was rotated from it; None otherwise.

        `position().current` is then all there is to remember, and None of it for an empty file.
        """
        reading = self._generation
        if not self._at_live_end or self._revisit or self._fragment or self._skipping or reading is None:
            return None
        try:
            info = os.stat(self.source)
        except OSError:
            return None
        whole = (info.st_dev, info.st_ino) == reading.identity and info.st_size == reading.offset
        return info if whole and not self.position().consumed else None

    # --- reading

    def _step(self, now: float) -> bytes | Step:
        fresh = self._generation is None or self._generation.offset == 0
        if fresh and (flushed := self._select(now)) is not None:
            return flushed
        reading = self._generation
        if reading is None:
            return Step.IDLE
        memory = self._shared.buffer.block()
        filled = reading.fill(memory)
        if not reading.holds():  # asked after reading: what was read is then certain to be its continuation
            self._put_aside(searching=True)
            return Step.MOVED
        if not filled:
            return self._at_end(reading, b"", now)
        if reading.offset == 0 and memory[0] == 0 and reading.skip_hole():
            return Step.MOVED
        return self._take(reading, memory, filled, now)

    def _take(self, reading: Generation, memory: bytearray, filled: int, now: float) -> bytes | Step:
        if self._skipping:
            end = memory.find(b"\n", 0, filled)
            self._consume(reading, bytes(memoryview(memory)[: filled if end < 0 else end + 1]))
            self._skipping = end < 0
            return Step.MOVED
        end = memory.rfind(b"\n", 0, filled)
        if end < 0 and filled == len(memory):
            if filled > self._shared.buffer.limit:
                self._consume(reading, bytes(memory))
                self._skip_line()
                return Step.MOVED
            memory = self._shared.buffer.whole()
            filled = reading.fill(memory)
            return self._take(reading, memory, filled, now) if reading.holds() else Step.MOVED
        if end < 0:
            return self._at_end(reading, bytes(memory[:filled]), now)
        data = bytes(memoryview(memory)[: end + 1])
        self._consume(reading, data)
        return self._deliver(data)

    def _deliver(self, data: bytes) -> bytes | Step:
        """`data`, joined to the fragment that copytruncate left of its first line."""
        if self._fragment:
            data, self._fragment = self._fragment + data, b""
            first = data.index(b"\n")
            if first > self._shared.buffer.limit:
                self._oversized += 1
                data = data[first + 1 :]
        if not data:
            return Step.MOVED
        self._lines += line_feeds(data)
        return data

    def _consume(self, reading: Generation, data: bytes) -> None:
        reading.consume(data)
        self._bytes += len(data)
        self._quiet = None

    def _skip_line(self) -> None:
        self._oversized += 1
        self._skipping, self._fragment = True, b""

    # --- the end of a generation

    def _at_end(self, reading: Generation, partial: bytes, now: float) -> bytes | Step:
        """Wait at the end of the live file; leave a rotated one once something follows it."""
        if self._is_live(reading):
            self._error, self._backlog = "", 0
            self._at_live_end = True
            if self._shared.complete and partial:
                self._consume(reading, partial)
                return self._deliver(partial + b"\n")
            if self._revisit and not (partial or self._fragment or self._skipping):
                self._revisit = False
                self._put_aside(searching=False)
                return Step.MOVED
            return Step.IDLE
        survey = self._look_around(reading)
        copied = self._is_copy_of_writer(reading.identity[1], survey)
        if not (copied or survey.older or self.retired or (survey.live and survey.live.size)):
            return Step.IDLE
        if not (copied or survey.older or self._has_settled(reading, partial, now)):
            return Step.IDLE
        self._consume(reading, partial)
        self._put_aside(searching=False)
        return self._end(partial, copied=copied)

    def _has_settled(self, reading: Generation, partial: bytes, now: float) -> bool:
        """True if the end has not moved for the settling time: a writer may hold a renamed file for a moment."""
        size = reading.size()
        if self._quiet is None or self._quiet[0] != size or now < self._quiet[1]:
            self._quiet = (size, now)
        settled = now - self._quiet[1] >= self._shared.settle_seconds
        return settled and reading.offset + len(partial) == size

    def _end(self, partial: bytes, *, copied: bool) -> bytes | Step:
        """Close the account of a generation: after copytruncate its last line goes on in the next one."""
        self._count_rotation(copied=copied)
        if copied:
            self._fragment += partial
            if len(self._fragment) > self._shared.buffer.limit:
                self._skip_line()
            return Step.MOVED
        skipping, self._skipping = self._skipping, False
        if skipping or not (partial or self._fragment):
            return Step.MOVED
        return self._deliver(partial + b"\n")

    def _put_aside(self, *, searching: bool) -> None:
        """Close the generation. `searching`: its rest must be found again before anything else is read."""
        reading, self._generation, self._quiet = self._generation, None, None
        if reading is None:
            return
        reading.close()
        self._history.remember(reading.mark())
        if searching and reading.offset:
            self._missing, self._missing_since = reading.mark(), None

    # --- the choice of the next generation

    def _select(self, now: float) -> bytes | Step | None:
        """Open the oldest generation with something to read, else the live file. Lines if a fragment ended."""
        survey = self._look_around(None)
        if self._generation is not None:
            found = {file.identity for file in (*survey.older, survey.live) if file is not None}
            if self._generation.identity not in found and self._generation.size():
                return None  # removed before anything of it was read: only we still have it
        sought = self._missing
        if sought is not None and not self._resolve(sought, survey, now):
            return None
        chosen = first_to_read(survey, sought)
        kept = self._generation is not None and chosen is not None and chosen.identity == self._generation.identity
        if chosen is None:
            self._put_aside(searching=False)
            return None
        self._revisit = bool(survey.older) and chosen is survey.live
        self._backlog -= 0 if chosen is survey.live else chosen.unread
        return None if kept and not chosen.mark else self._adopt(chosen, survey, sought)

    def _resolve(self, sought: Mark, survey: Survey, now: float) -> bool:
        """Decide about the generation that is looked for. False while it is still to be waited for."""
        live = survey.live
        holders = [f.identity[1] for f in (*survey.older, live) if f is not None and f.mark == sought]
        if sought in survey.consumed:
            holders.append(survey.consumed[sought])
            self._count_rotation(copied=self._is_copy_of_writer(holders[0], survey))
        if not holders:
            # A rename may hide a file from one listing: only what stays away is lost.
            if live is None and (not survey.older or os.path.lexists(self.source)):
                return False
            if self._missing_since is None or now < self._missing_since:
                self._missing_since = now
            if now - self._missing_since < self._shared.settle_seconds:
                return False
            self._lose(sought, survey, in_place=live is not None and live.identity[1] == sought.inode)
        self._missing, self._missing_since = None, None
        return True

    def _adopt(self, chosen: Found, survey: Survey, sought: Mark | None) -> bytes | Step | None:
        try:
            opened = Generation(chosen.path)
        except OSError as error:
            self._error = error.strerror or str(error)
            return self._put_off(sought)
        if opened.identity != chosen.identity:
            opened.close()
            return self._put_off(sought)
        self._put_aside(searching=False)
        opened.advance_to(chosen.mark.offset if chosen.mark else 0)
        self._history.forget(chosen.mark)
        self._generation = opened
        inode = chosen.identity[1]
        follows = inode == self._writer or self._is_copy_of_writer(inode, survey)
        goes_on = chosen.mark == sought if chosen.mark else follows
        if survey.live is not None and chosen.identity == survey.live.identity:
            self._writer = inode
        if goes_on:
            return None
        skipping, self._skipping = self._skipping, False
        return self._deliver(b"\n") if self._fragment and not skipping else None

    def _put_off(self, sought: Mark | None) -> Step:
        """The file was renamed since it was seen: the next step looks again."""
        self._put_aside(searching=False)
        self._missing = sought
        return Step.IDLE

    def _look_around(self, reading: Generation | None) -> Survey:
        survey = self._history.survey(reading, self._shared.others)
        self._error = survey.error
        self._backlog = sum(found.unread for found in survey.older)
        return survey

    # --- accounts

    def _is_live(self, reading: Generation) -> bool:
        try:
            info = os.stat(self.source)
        except OSError:
            return False
        return (info.st_dev, info.st_ino) == reading.identity

    def _is_copy_of_writer(self, inode: int, survey: Survey) -> bool:
        """True if the file that was last read under the path holds later content than the file `inode`.

        Then `inode` was made by copytruncate, and its last line goes on in what follows.
        """
        places = {inode: place for place, inode in enumerate(survey.sequence)}
        return places.get(inode, -1) < places.get(self._writer, -1)

    def _count_rotation(self, *, copied: bool) -> None:
        kind = "truncate" if copied else "rename"
        self._rotations[kind] = self._rotations.get(kind, 0) + 1

    def _lose(self, sought: Mark, survey: Survey, *, in_place: bool) -> None:
        self._count_rotation(copied=in_place)
        reason = "truncated" if in_place else "vanished"
        if any(begins_compressed(path, sought) for path in survey.compressed):
            reason = "compressed"
        self._lost[reason] = self._lost.get(reason, 0) + 1
        self._writer = 0

    def _lag(self) -> int:
        lag = self._backlog
        reading = self._generation
        with suppress(OSError):
            lag += max(0, reading.size() - reading.offset) if reading is not None else 0
        if reading is None or not self._is_live(reading):
            lag += self._live_bytes()
        return lag

    def _live_bytes(self) -> int:
        """Size of the file at the path, 0 if there is none."""
        try:
            info = os.stat(self.source)
        except OSError:
            return 0
        return info.st_size if stat.S_ISREG(info.st_mode) else 0
