"""Log files named by paths and glob patterns, each followed through its rotations.

Guarantee: see `contract`. A file that only carries a rotated name of a followed path is never read on its own,
whatever the patterns match; a symbolic link beside its own target is not read twice.
"""

from __future__ import annotations

import glob
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from mlcanary.sources.contract import Block, Mark, Position, SourceStatus, TailPosition
from mlcanary.sources.generation import Generation, ReadBuffer
from mlcanary.sources.history import DirectoryListing
from mlcanary.sources.rotation import rotated_names
from mlcanary.sources.tail import Step, Surroundings, Tail


class FileSource:
    """Follows many files from one thread.

    `patterns` are paths or globs (`**` crosses directories). `saved` is a former `position()`; without it every
    file is read from its start and the rotated files that lie beside it are left alone. `clock` gives Unix
    seconds. A renamed file is left once something follows it and its end has not moved for `settle_seconds`.
    `complete` says that nobody writes any more: an unterminated last line counts as a line. Globs are expanded
    every `refresh_seconds`; a matched file that vanished is forgotten after `forget_seconds`. Above `max_files`
    the most recently written files are followed and `left_out` counts the others.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        saved: Position | None,
        *,
        max_line_bytes: int = 1 << 20,
        block_bytes: int = 1 << 18,
        max_files: int = 1000,
        settle_seconds: float = 1.0,
        refresh_seconds: float = 1.0,
        forget_seconds: float = 600.0,
        complete: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.left_out = 0
        self._clock = clock
        self._max_files, self._refresh, self._forget = max_files, refresh_seconds, forget_seconds
        self._tails: dict[str, Tail] = {}
        self._order: list[Tail] = []
        self._gone_since: dict[str, float] = {}
        self._turn = 0
        self._shared = Surroundings(
            buffer=ReadBuffer(block_bytes, max_line_bytes),
            listing=DirectoryListing(),
            clock=clock,
            others=self._tails.keys(),
            settle_seconds=settle_seconds,
            complete=complete,
        )
        known = saved or Position()
        now_ns = int(clock() * 1e9)
        self._patterns = {p: known.patterns.get(p, now_ns) for p in patterns}
        self._plain = [p for p in self._patterns if not glob.has_magic(p)]
        for path, position in known.files.items():
            if self._pattern_of(path) is not None:
                self._follow(path, position)
        for path in self._plain:
            if path not in self._tails:
                self._start(path, first=True)
        self._next_refresh = clock()
        self._expand({p for p in self._patterns if p not in known.patterns})

    def read(self, progress: Mapping[str, float] | None = None) -> Block | None:
        """The next block of complete lines from any file; None when there is nothing to read now.

        Files take turns. With `progress`, event time by source, the file that is furthest behind goes first: a
        backlog of several files then comes out roughly in order of time, so that labels meet their predictions.
        """
        now = self._clock()
        if now >= self._next_refresh or now < self._next_refresh - self._refresh:
            self._expand(set())
        moved = True
        while moved:
            moved = False
            for tail in self._in_turn(progress):
                while (lines := tail.step()) is Step.MOVED:
                    moved = True
                if isinstance(lines, bytes):
                    return Block(tail.source, lines)
        return None

    def _in_turn(self, progress: Mapping[str, float] | None) -> list[Tail]:
        """Every file, the one whose turn it is first."""
        if not self._order:
            return []
        self._turn = (self._turn + 1) % len(self._order)
        turn = [*self._order[self._turn :], *self._order[: self._turn]]
        if progress is not None:
            turn.sort(key=lambda tail: progress.get(tail.source, -math.inf))
        return turn

    def position(self) -> Position:
        """What to store so that a source built from it goes on after the last block returned."""
        files = {path: tail.position() for path, tail in self._tails.items()}
        return Position(patterns=dict(self._patterns), files=files)

    def status(self) -> list[SourceStatus]:
        """Health of every followed file, by name."""
        return [self._tails[path].status() for path in sorted(self._tails)]

    def close(self) -> None:
        """Release every descriptor."""
        for tail in self._order:
            tail.close()

    # --- which files

    def _expand(self, first: set[str]) -> None:
        """Follow what the globs match now. `first`: patterns that start for the first time."""
        now = self._clock()
        self._next_refresh = now + self._refresh
        globs = [p for p in self._patterns if p not in self._plain]
        if not globs:
            return
        matched = {path: p for p in globs for path in glob.iglob(p, recursive=True) if os.path.isfile(path)}
        wanted = self._own_sources(matched)
        followed = {os.path.abspath(path) for path in self._tails}
        new = self._without_renamed([path for path in wanted if os.path.abspath(path) not in followed])
        room = max(0, self._max_files - len(self._tails))
        self.left_out = max(0, len(new) - room)
        if self.left_out:
            new = sorted(sorted(new, key=_written_ns, reverse=True)[:room])
        for path in new:
            self._start(path, first=matched[path] in first)
        self._forget_gone(now)

    def _own_sources(self, matched: dict[str, str]) -> list[str]:
        """`matched` without rotated names of other matches and without links to other matches."""
        real = {path for path in matched if not os.path.islink(path)} | set(self._plain)
        own = []
        for path in sorted(matched):
            directory, name = os.path.split(path)
            bases = {os.path.join(directory, reading.base) for reading in rotated_names(name)}
            if any(base in matched or base in self._tails for base in bases):
                continue
            if os.path.islink(path) and _same_form(path, os.path.realpath(path)) & real:
                continue
            own.append(path)
        return own

    def _without_renamed(self, paths: list[str]) -> list[str]:
        """`paths` without followed files that were renamed to something that does not look rotated."""
        if not paths:
            return []
        known: dict[int, list[Mark]] = {}
        for mark in (mark for tail in self._order for mark in tail.marks()):
            known.setdefault(mark.inode, []).append(mark)
        return [path for path in paths if not _begins_with_any(path, known)]

    def _start(self, path: str, *, first: bool) -> None:
        """Follow a file without a position of its own."""
        directory = os.path.dirname(path)
        rotated = [
            other
            for other in self._tails
            if other not in self._plain
            and any(os.path.join(directory, r.base) == path for r in rotated_names(os.path.basename(other)))
            and os.path.dirname(other) == directory
        ]
        marks: list[Mark] = []
        for other in rotated:  # its rotated files were there first and were followed on their own until now
            taken = self._tails.pop(other)
            self._order.remove(taken)
            marks += taken.marks()
            taken.close()
        tail = self._follow(path, TailPosition(consumed=tuple(marks)))
        pattern = self._pattern_of(path)
        tail.ignore_rotated(None if first or pattern is None else self._patterns[pattern])

    def _follow(self, path: str, position: TailPosition) -> Tail:
        tail = self._tails[path] = Tail(path, position, self._shared)
        self._order.append(tail)
        return tail

    def _forget_gone(self, now: float) -> None:
        """Drop matched files of which nothing is left for a while, to make room for others."""
        missing = [p for p in self._tails if p not in self._plain and not os.path.lexists(p)]
        self._gone_since = {path: min(now, self._gone_since.get(path, now)) for path in missing}
        for path, since in list(self._gone_since.items()):
            if now - since >= self._forget and self._tails[path].is_gone():
                tail = self._tails.pop(path)
                self._order.remove(tail)
                tail.close()
                del self._gone_since[path]

    def _pattern_of(self, path: str) -> str | None:
        """The pattern that a path belongs to."""
        if path in self._patterns:
            return path
        return next((p for p in self._patterns if fnmatchcase(path, p.replace("**/", "*"))), None)


def _same_form(path: str, target: str) -> set[str]:
    """`target` as an absolute path and as one relative to the directory that `path` is given in."""
    return {target, os.path.join(os.path.dirname(path), os.path.relpath(target, os.path.dirname(path) or "."))}


def _begins_with_any(path: str, known: dict[int, list[Mark]]) -> bool:
    try:
        marks = known.get(os.stat(path).st_ino)
        if not marks:
            return False
        file = Generation(path)
    except OSError:
        return False
    try:
        return file.longest(marks) is not None
    finally:
        file.close()


def _written_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
