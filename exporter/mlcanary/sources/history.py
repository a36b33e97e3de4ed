"""What lies around a followed path: its rotated files, and which of their content is still to be read.

Guarantee: `survey` reports content once. A file is known by a consumed prefix (`Mark`) under any name; a copy
of a known or longer file (copytruncate at work, a backup) is not content of its own.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mlcanary.sources.contract import Mark
from mlcanary.sources.generation import SPAN, Generation, Identity
from mlcanary.sources.rotation import RotatedName, rotated_names, same_series

REMEMBERED = 64
"""Consumed generations that stay known after their last file went away."""

_Stamp = tuple[int, int, int, int, int]


class _Listed(NamedTuple):
    mtime_ns: int
    listed_ns: int
    names: list[str]
    rotated: dict[str, list[tuple[str, RotatedName]]]


class DirectoryListing:
    """File names by directory, listed again when the directory changed: many files share one listing.

    A directory that changed less than `doubt_ns` before it was listed is listed every time: file systems stamp
    changes in steps of up to 2 s, so a later change may carry the same time. `wall_ns` is the clock of the file
    system, Unix nanoseconds.
    """

    def __init__(
        self, *, wall_ns: Callable[[], int] = time.time_ns, doubt_ns: int = 2_500_000_000, capacity: int = 1000
    ) -> None:
        self._wall_ns, self._doubt_ns, self._capacity = wall_ns, doubt_ns, capacity
        self._listed: dict[str, _Listed] = {}

    def names(self, directory: str) -> list[str]:
        """Names in `directory`, sorted; empty if it cannot be listed."""
        return self._list(directory).names

    def rotated(self, directory: str, base: str) -> list[tuple[str, RotatedName]]:
        """Names in `directory` that were rotated from `base`."""
        return self._list(directory).rotated.get(base, [])

    def _list(self, directory: str) -> _Listed:
        place = directory or "."
        try:
            mtime_ns, now_ns = os.stat(place).st_mtime_ns, self._wall_ns()
            known = self._listed.get(place)
            if known and known.mtime_ns == mtime_ns and 0 <= self._doubt_ns < known.listed_ns - mtime_ns:
                return known
            names = sorted(os.listdir(place))
        except OSError:
            return _Listed(0, 0, [], {})
        rotated: dict[str, list[tuple[str, RotatedName]]] = {}
        for name in names:
            for reading in rotated_names(name):
                rotated.setdefault(reading.base, []).append((name, reading))
        if len(self._listed) >= self._capacity:
            self._listed.clear()
        listed = self._listed[place] = _Listed(mtime_ns, now_ns, names, rotated)
        return listed


class Found(NamedTuple):
    """A file with something to read after `mark`, the longest consumed prefix that it begins with."""

    path: str
    identity: Identity
    size: int
    mtime_ns: int
    age: tuple[int, ...]
    mark: Mark | None

    @property
    def unread(self) -> int:
        """Bytes after the consumed prefix."""
        return self.size - (self.mark.offset if self.mark else 0)


@dataclass(slots=True)
class Survey:
    """`live` is the file at the path itself, None with the reason in `error`; `older` is unread, oldest first.

    `consumed` maps each consumed mark to the inode of a rotated file that holds nothing else. `sequence` are the
    inodes of all that is not consumed, empty files and the one in hand included, oldest first, the path last.
    """

    live: Found | None = None
    error: str = ""
    older: list[Found] = field(default_factory=list)
    consumed: dict[Mark, int] = field(default_factory=dict)
    sequence: list[int] = field(default_factory=list)
    compressed: list[str] = field(default_factory=list)


class _Sibling(NamedTuple):
    path: str
    age: tuple[int, ...]
    compressed: bool


class History:
    """Consumed generations of one path, and the search for what is not consumed yet."""

    def __init__(self, path: str, marks: Iterable[Mark], listing: DirectoryListing) -> None:
        self.path = path
        self._listing = listing
        self._marks: dict[Mark, None] = dict.fromkeys(marks)
        self._settled: dict[_Stamp, Mark] = {}

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Consumed prefixes, least recently seen first."""
        return tuple(self._marks)

    def remember(self, mark: Mark) -> None:
        """Count the content that begins with `mark` as consumed up to there. Nothing to know of at offset 0."""
        if mark.offset:
            self._marks[mark] = None

    def forget(self, mark: Mark | None) -> None:
        """Take back `remember`, for a generation that is being read again."""
        if mark is not None:
            self._marks.pop(mark, None)
            self._settled = {stamp: m for stamp, m in self._settled.items() if m != mark}

    def survey(self, current: Generation | None, others: Container[str]) -> Survey:
        """Look at the path and its rotated files. `current` is in hand already and is left out of `older`, and
        so is what lies in `others`, paths that are followed on their own."""
        result = Survey()
        try:
            result.live = self._look(self.path, (), os.stat(self.path))
        except OSError as error:
            result.error = error.strerror or str(error)
        settled: dict[_Stamp, Mark] = {}
        standing: list[Found] = []
        seen = {result.live.identity} if result.live else set()
        siblings = self._siblings(others)
        for sibling in siblings:
            if sibling.compressed:
                result.compressed.append(sibling.path)
                continue
            try:
                self._classify(sibling, current, seen, settled, standing, result)
            except FileNotFoundError:
                continue  # renamed or removed since it was listed
            except OSError as error:
                result.error = result.error or f"{sibling.path}: {error.strerror or error}"
        self._settled = settled
        self._prune(result)
        result.older = self._originals(result, current, siblings)
        result.older.sort(key=_seniority)
        standing += result.older
        result.sequence = [f.identity[1] for f in sorted(standing, key=_seniority)]
        result.sequence += [result.live.identity[1]] if result.live else []
        return result

    def _classify(
        self,
        sibling: _Sibling,
        current: Generation | None,
        seen: set[Identity],
        settled: dict[_Stamp, Mark],
        standing: list[Found],
        result: Survey,
    ) -> None:
        info = os.stat(sibling.path)
        identity = (info.st_dev, info.st_ino)
        if not stat.S_ISREG(info.st_mode) or identity in seen:
            return
        seen.add(identity)
        if not info.st_size or (current is not None and current.identity == identity):
            standing.append(Found(sibling.path, identity, info.st_size, info.st_mtime_ns, sibling.age, None))
            return
        stamp = (*identity, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if stamp in self._settled:
            mark = settled[stamp] = self._settled[stamp]
            result.consumed[mark] = info.st_ino
            return
        found = self._look(sibling.path, sibling.age, info)
        if found.mark is None and self._is_old_copy(found.path):
            return
        if found.unread > 0:
            result.older.append(found)
        elif found.mark is not None:
            settled[stamp] = found.mark
            result.consumed[found.mark] = info.st_ino

    def _look(self, path: str, age: tuple[int, ...], info: os.stat_result) -> Found:
        file = Generation(path)
        try:
            mark = file.longest(self._marks)
            return Found(path, file.identity, file.size(), info.st_mtime_ns, age, mark)
        finally:
            file.close()

    def _is_old_copy(self, path: str) -> bool:
        file = Generation(path)
        try:
            return file.is_cut_from(self._marks)
        finally:
            file.close()

    def _siblings(self, others: Container[str]) -> list[_Sibling]:
        """Rotated files of the path, and of its target where the path is a symbolic link."""
        found: dict[str, _Sibling] = {}
        target = os.path.realpath(self.path) if os.path.islink(self.path) else self.path
        for place in dict.fromkeys((self.path, target)):
            directory, base = os.path.split(place)
            for name, reading in self._listing.rotated(directory, base):
                path = os.path.join(directory, name)
                found[path] = _Sibling(path, reading.age, reading.compressed)
        if target != self.path:
            directory, base = os.path.split(target)
            for name in self._listing.names(directory):
                path = os.path.join(directory, name)
                if name != base and path not in found and same_series(name, base):
                    found[path] = _Sibling(path, (), False)
        return [sibling for path, sibling in found.items() if path != self.path and path not in others]

    def _originals(self, result: Survey, current: Generation | None, siblings: list[_Sibling]) -> list[Found]:
        """`older` without copies: a file that is how another one begins is a copy of it."""
        if not result.older:
            return []
        paths = [self.path] if result.live else []
        paths += [s.path for s in siblings if not s.compressed]
        heads = {path: head for path in paths if (head := _head(path))}
        originals: list[Found] = []
        for found in result.older:
            own = heads.get(found.path, b"")
            rivals = [p for p, head in heads.items() if p != found.path and head.startswith(own)]
            copied = current is not None and _is_copy(found.path, current)
            for rival in rivals if own and not copied else ():
                twin = any(rival == other.path for other in originals) or rival not in {o.path for o in result.older}
                copied = copied or _is_copy_of_path(found.path, rival, twins=twin)
            if not copied:
                originals.append(found)
        return originals

    def _prune(self, result: Survey) -> None:
        """Keep what still lies around and the last few others; move the former to the young end."""
        if result.error or not os.access(os.path.dirname(self.path) or ".", os.R_OK | os.X_OK):
            return  # what cannot be seen now may still lie there
        present = [*result.consumed, *(f.mark for f in (*result.older, result.live) if f and f.mark)]
        for mark in present:
            self._marks.pop(mark, None)
        for mark in list(self._marks)[: max(0, len(self._marks) - REMEMBERED)]:
            del self._marks[mark]
        self._marks.update(dict.fromkeys(present))


def first_to_read(survey: Survey, sought: Mark | None) -> Found | None:
    """The file to read next: the one that holds what is sought, else the oldest. Same heads: the inode tells."""
    files = [*survey.older, *([survey.live] if survey.live else [])]
    holders = [found for found in files if sought is not None and found.mark == sought]
    holders.sort(key=lambda found: sought is None or found.identity[1] != sought.inode)
    return next(iter(holders or files), None)


def _seniority(found: Found) -> tuple[int, tuple[int, ...], str]:
    return found.mtime_ns, found.age, found.path


def _head(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(SPAN) or b""
    except OSError:
        return b""


def _is_copy_of_path(path: str, original: str, *, twins: bool) -> bool:
    """True if `path` is how `original` begins; files of one length only count with `twins`."""
    try:
        other = Generation(original)
    except OSError:
        return False
    try:
        return _is_copy(path, other, twins=twins)
    finally:
        other.close()


def _is_copy(path: str, original: Generation, *, twins: bool = True) -> bool:
    try:
        file = Generation(path)
    except OSError:
        return False
    try:
        if file.identity == original.identity or (not twins and file.size() == original.size()):
            return False
        return file.is_copied_in(original)
    finally:
        file.close()
