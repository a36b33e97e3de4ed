"""Log files named by paths and glob patterns, each followed through its rotations.

Guarantee: see `contract`. A file that only carries a rotated name of a followed path is never read on its own,
whatever the patterns match; a symbolic link beside its own target is not read twice.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from mlcanary.sources.contract import Block, Mark, Position, SourceStatus, TailPosition
from mlcanary.sources.finished import Finished, Pending, Totals, looked_at
from mlcanary.sources.generation import ReadBuffer, by_inode, longest_at
from mlcanary.sources.history import DirectoryListing
from mlcanary.sources.patterns import Pattern, configured, pattern_key
from mlcanary.sources.rotation import rotated_names
from mlcanary.sources.surroundings import Surroundings
from mlcanary.sources.tail import Step, Tail

REMEMBERED = 1000
"""Files, and patterns, that stay known after they are not followed any more."""


_SHARE = 50
"""Time between two looks for files, in times of what a look takes."""


class FileSource:
    """Follows many files from one thread.

    `patterns` are paths or globs (`**` crosses directories). `saved` is a former `position()`, also of other
    patterns; what it does not know is read from its start and the rotated files that lie beside it are left alone.
    `clock` gives Unix seconds. A renamed file is left once something follows it and its end has not moved for
    `settle_seconds`. `complete` says that nobody writes any more: an unterminated last line counts as a line. Globs
    are expanded every `refresh_seconds`. A matched file that was removed after its last line was read is left at
    once while its pattern names another file, else after `forget_seconds`; should it come back, it goes on.

    Where there are more than `at_once` files, matched ones that were read to their end and not written for
    `idle_seconds` are closed until they grow; above `max_files` the others at their end too. What was not read yet then
    waits for their place, the file written first before the others. A file with rotated ones beside it stays open;
    `left_out` counts those for which there is no place because of that. Looking for files takes at most a fiftieth of
    the time.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        saved: Position | None,
        *,
        max_line_bytes: int = 1 << 20,
        block_bytes: int = 1 << 19,
        max_files: int = 1000,
        at_once: int = 100,
        settle_seconds: float = 1.0,
        refresh_seconds: float = 1.0,
        forget_seconds: float = 600.0,
        idle_seconds: float = 600.0,
        complete: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.left_out = 0
        self._clock = clock
        self._max_files, self._at_once = max_files, min(at_once, max_files)
        self._refresh, self._forget, self._idle = refresh_seconds, forget_seconds, idle_seconds
        self._tails: dict[str, Tail] = {}
        self._order: list[Tail] = []
        self._gone_since: dict[str, float] = {}
        self._pending: deque[Pending] = deque()
        self._totals: dict[str, Totals] = {}
        self._origins: dict[str, str] = {}
        self._turn = 0
        self._shared = Surroundings(
            buffer=ReadBuffer(block_bytes, max_line_bytes),
            listing=DirectoryListing(),
            clock=clock,
            others=_Followed(self._tails),
            settle_seconds=settle_seconds,
            complete=complete,
        )
        known = saved or Position()
        self._finished = Finished(known.finished)
        since = {pattern_key(spelling): since_ns for spelling, since_ns in known.patterns.items()}
        self._patterns = configured(patterns, since, int(clock() * 1e9))
        self._plain = {pattern.key for pattern in self._patterns if pattern.plain}
        keys = {pattern.key for pattern in self._patterns}
        self._former = {key: since_ns for key, since_ns in since.items() if key not in keys}
        self._dropped = {os.path.abspath(path): position for path, position in known.dropped.items()}
        self._matches: dict[str, set[str]] = {}
        self._bare: list[Pattern] = []
        for spelling, position in known.files.items():
            path = os.path.abspath(spelling)
            if (pattern := self._pattern_of(path)) is not None:
                self._follow(path, pattern.spell(path), position)
            else:
                self._drop(path, position)
        for pattern in self._patterns:
            if pattern.plain and pattern.key not in self._tails:
                self._start(pattern.key, pattern.spelling, first=True)
        self._next_refresh = self._looked_at = clock()
        self._expand({key for key in keys if key not in since})

    def read(self, progress: Mapping[str, float] | None = None) -> Block | None:
        """The next block of complete lines from any file; None when there is nothing to read now.

        Files take turns. With `progress`, event time by source, the file that is furthest behind goes first: a
        backlog of several files then comes out roughly in order of time, so that labels meet their predictions.
        """
        now = self._clock()
        if now >= self._next_refresh or now < self._looked_at:
            self._expand(set())
        moved = True
        while moved:
            moved = False
            for tail in self._in_turn(progress):
                while (lines := tail.step()) is Step.MOVED:
                    moved = True
                if isinstance(lines, bytes):
                    return Block(tail.source, lines, self._origin(tail))
            moved = moved or (bool(self._pending) and self._take_up())
        return None

    def behind(self, progress: Mapping[str, float]) -> float:
        """The least event time of the files that are not read to their end; inf if all are."""
        if self._pending:
            return -math.inf
        return min((progress.get(t.source, -math.inf) for t in self._order if not t.caught_up), default=math.inf)

    def _origin(self, tail: Tail) -> str:
        """The spelling of the pattern that a file is followed for."""
        path = os.path.abspath(tail.source)
        if path not in self._origins:
            pattern = self._pattern_of(path)
            self._origins[path] = "" if pattern is None else pattern.spelling
        return self._origins[path]

    def _in_turn(self, progress: Mapping[str, float] | None) -> list[Tail]:
        """Every file, the one whose turn it is first: with `progress` those not read yet, as they were taken up."""
        if not self._order:
            return []
        self._turn = (self._turn + 1) % len(self._order)
        turn = [*self._order[self._turn :], *self._order[: self._turn]]
        if progress is None:
            return turn
        fresh = [tail for tail in self._order if tail.source not in progress]
        return fresh + sorted((t for t in turn if t.source in progress), key=lambda tail: progress[tail.source])

    @property
    def caught_up(self) -> bool:
        """True if nothing that lies there is still to be read, as far as the last `read` could see: see `contract`."""
        return not self._pending and all(tail.caught_up for tail in self._order)

    @property
    def waiting(self) -> bool:
        """True while a file with lines left cannot be read yet, whatever others give meanwhile: see `contract`."""
        return bool(self._pending) or any(tail.waiting for tail in self._order)

    def position(self) -> Position:
        """What to store so that a source built from it goes on after the last block returned."""
        former = dict(list(self._former.items())[-REMEMBERED:])
        return Position(
            patterns={**former, **{pattern.key: pattern.since_ns for pattern in self._patterns}},
            files={path: tail.position() for path, tail in self._tails.items()},
            dropped=dict(self._dropped),
            finished=self._finished.dump(),
        )

    def acknowledge(self) -> None:
        """Nothing to do: files stay where they are."""

    def status(self) -> list[SourceStatus]:
        """Health of every followed file, and of every pattern without any or with closed or waiting ones, by name."""
        bare = {pattern.spelling for pattern in self._bare}
        lag = self._pending_bytes()
        rows = [
            self._totals.get(name, Totals()).row(name, found=name not in bare, lag=lag.get(name, 0))
            for name in bare | self._totals.keys() | lag.keys()
        ]
        for path, tail in self._tails.items():
            row = tail.status()
            if not row.up and self._may_be_gone(path) and tail.is_delivered(gone=False):
                row = replace(row, up=True, error="")
            rows.append(row)
        return sorted(rows, key=lambda row: row.source)

    def close(self) -> None:
        """Release every descriptor."""
        for tail in self._order:
            tail.close()

    # --- which files

    def _expand(self, first: set[str]) -> None:
        """Follow what the globs match now. `first`: keys of the patterns that start for the first time."""
        now = self._clock()
        self._next_refresh, self._looked_at = now + self._refresh, now
        found = {pattern: pattern.files() for pattern in self._patterns if not pattern.plain}
        if not found:
            return
        spelled = {path: spelling for files in found.values() for path, spelling in files.items()}
        wanted = self._own_sources(spelled)
        self._bare = [pattern for pattern, files in found.items() if not files]
        own = self._tails.keys() | set(wanted)
        self._matches = {pattern.key: files.keys() & own for pattern, files in found.items()}
        self._pending = deque(sorted(self._not_read(wanted, spelled, found, first)))
        self._forget_gone(now)
        self._take_up()
        self._next_refresh = max(self._next_refresh, now + _SHARE * (self._clock() - now))

    def _not_read(
        self,
        wanted: Iterable[str],
        spelled: Mapping[str, str],
        found: Mapping[Pattern, Mapping[str, str]],
        first: Container[str],
    ) -> list[Pending]:
        """The matched files that are neither followed nor closed with nothing new in them."""
        new = [(path, info) for path in wanted if path not in self._tails and (info := looked_at(path)) is not None]
        new = [(path, info) for path, info in new if not self._finished.unchanged(path, info)]
        own = set(self._without_renamed([path for path, _ in new if path not in self._finished]))
        fresh = {path for p, files in found.items() if p.key in first for path in files}
        return [
            Pending(info.st_mtime_ns, path, spelled[path], info.st_size, path in fresh)
            for path, info in new
            if path in own or path in self._finished
        ]

    def _take_up(self) -> bool:
        """Follow files that wait, as far as there is place. True if any was taken up."""
        taken = False
        if len(self._tails) + len(self._pending) > self._at_once:
            self._close_finished(self._clock() - self._idle)
        if self._pending and len(self._tails) >= self._max_files:
            self._close_finished(math.inf)
        while self._pending and len(self._tails) < self._max_files:
            each = self._pending.popleft()
            if each.path not in self._tails:
                self._start(each.path, each.spelling, first=each.first)
                taken = True
        self.left_out = 0 if taken else len(self._pending)
        return taken

    def _close_finished(self, written_before: float) -> None:
        """Close matched files that are at their end and were last written before that time, Unix seconds."""
        for path, tail in list(self._tails.items()):
            if path in self._plain or self._finished.full:
                continue
            info = tail.finished()
            if info is not None and info.st_mtime < written_before:
                self._totals.setdefault(self._origin(tail), Totals()).add(tail.status())
                self._finished.put(path, tail.position().current, info)
                self._leave(path)

    def _pending_bytes(self) -> dict[str, int]:
        """Bytes of files that wait, by pattern."""
        found: dict[str, int] = {}
        for each in self._pending:
            pattern = self._pattern_of(each.path)
            name = "" if pattern is None else pattern.spelling
            found[name] = found.get(name, 0) + each.size
        return found

    def _own_sources(self, matched: Mapping[str, str]) -> list[str]:
        """`matched` without rotated names of other matches and without links to other matches."""
        links = {path for path in matched if os.path.islink(path)}
        real = {os.path.realpath(path) for path in (matched.keys() - links) | self._plain} if links else set()
        own = []
        for path in sorted(matched):
            directory, name = os.path.split(path)
            bases = {os.path.join(directory, reading.base) for reading in rotated_names(name)}
            if any(base in matched or base in self._tails or base in self._finished for base in bases):
                continue
            if path in links and os.path.realpath(path) in real:
                continue
            own.append(path)
        return own

    def _without_renamed(self, paths: list[str]) -> list[str]:
        """`paths` without followed files that were renamed to something that does not look rotated."""
        known = by_inode(mark for tail in self._order for mark in tail.marks()) if paths else {}
        return [path for path in paths if longest_at(path, known) is None]

    def _finished_elsewhere(self, path: str) -> Mark | None:
        """What was read of a file under another name before it was closed and renamed to `path`."""
        info = looked_at(path)
        mark = None if info is None else self._finished.under(info.st_ino)
        return None if mark is None else longest_at(path, {mark.inode: [mark]})

    def _start(self, path: str, spelling: str, *, first: bool) -> None:
        """Follow a file from where it was left, under this name or another one, or else from its start."""
        position = self._finished.take(path) or self._dropped.pop(path, None)
        marks = () if position is None else position.consumed
        if position is None:
            known = by_inode(mark for p in self._dropped.values() for mark in (*p.consumed, p.current) if mark)
            renamed = longest_at(path, known) or self._finished_elsewhere(path)
            marks = () if renamed is None else (renamed,)
        directory = os.path.dirname(path)
        rotated = [
            other
            for other in self._tails
            if other not in self._plain
            and other.startswith(path)
            and os.path.dirname(other) == directory
            and any(os.path.join(directory, r.base) == path for r in rotated_names(os.path.basename(other)))
        ]
        for other in rotated:  # its rotated files were there first and were followed on their own until now
            marks += self._leave(other).marks()
        tail = self._follow(path, spelling, structs.replace(position or TailPosition(), consumed=marks))
        if position is None:
            pattern = self._pattern_of(path)
            tail.ignore_rotated(None if first or pattern is None else pattern.since_ns)

    def _follow(self, path: str, spelling: str, position: TailPosition) -> Tail:
        tail = self._tails[path] = Tail(spelling, position, self._shared)
        self._order.append(tail)
        return tail

    def _leave(self, path: str) -> Tail:
        tail = self._tails.pop(path)
        self._origins.pop(path, None)
        self._order.remove(tail)
        tail.close()
        return tail

    def _drop(self, path: str, position: TailPosition) -> None:
        """Remember how far a file was read that is not followed any more."""
        self._dropped.pop(path, None)
        self._dropped[path] = position
        while len(self._dropped) > REMEMBERED:
            del self._dropped[next(iter(self._dropped))]

    def _forget_gone(self, now: float) -> None:
        """Leave matched files that were removed, once everything in them was delivered."""
        missing = [path for path in self._tails if path not in self._plain and not os.path.lexists(path)]
        self._gone_since = {path: min(now, self._gone_since.get(path, now)) for path in missing}
        for tail in self._order:
            tail.retired = False
        for path, since in list(self._gone_since.items()):
            tail = self._tails[path]
            tail.retired = self._has_company(path)
            late = now - since >= self._forget
            if (late or tail.retired) and tail.is_delivered(gone=not (late and tail.retired)):
                position = tail.last_position()
                self._leave(path)
                self._drop(path, position)
                del self._gone_since[path]

    def _may_be_gone(self, path: str) -> bool:
        """True if it is no fault that a file does not exist: others of its pattern do, or the pattern's row tells."""
        if path in self._plain or os.path.lexists(path):
            return False
        return self._has_company(path) or any(pattern.covers(path) for pattern in self._bare)

    def _has_company(self, path: str) -> bool:
        """True if a pattern that covers `path` matches another file that is no rotated one."""
        return any(self._matches.get(p.key, set()) - {path} for p in self._patterns if p.covers(path))

    def _pattern_of(self, path: str) -> Pattern | None:
        """The pattern that a path belongs to, the one that spells it out before any glob."""
        covering = sorted((p for p in self._patterns if p.covers(path)), key=lambda p: not p.plain)
        return covering[0] if covering else None


class _Followed:
    """The paths followed, in whatever way they are spelled."""

    def __init__(self, keys: Container[str]) -> None:
        self._keys = keys

    def __contains__(self, path: object) -> bool:
        return os.path.abspath(str(path)) in self._keys
