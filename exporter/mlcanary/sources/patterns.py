"""Configured paths and glob patterns: which files they name, however they are spelled.

Guarantee: a file has one key, its absolute path, under every spelling of the pattern that names it. Links are not
resolved, because following a link through its targets is the business of `tail`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlcanary.sources.rotation import rotated_names


@dataclass(frozen=True, slots=True)
class Pattern:
    """`spelling` is what was configured, `key` the same made absolute, `since_ns` its first start (Unix ns)."""

    spelling: str
    key: str
    since_ns: int
    plain: bool

    def covers(self, path: str) -> bool:
        """True if the absolute `path` is named by this pattern, whether or not the file exists."""
        if self.plain:
            return path == self.key
        return _match(path.split(os.sep), self.key.split(os.sep))

    def files(self) -> dict[str, str]:
        """Files there are now, absolute path to spelling. Compressed rotated files are no logs to read."""
        found = (path for path in glob.iglob(self.spelling, recursive=True) if os.path.isfile(path))
        return {os.path.abspath(path): path for path in found if not _is_compressed(path)}

    def spell(self, path: str) -> str:
        """How the glob would spell the absolute `path`."""
        if self.plain:
            return self.spelling
        if os.path.isabs(self.spelling):
            return path
        return ("./" if self.spelling.startswith("./") else "") + os.path.relpath(path)


def configured(spellings: Iterable[str], since_ns: Mapping[str, int], now_ns: int) -> list[Pattern]:
    """One pattern for each key, the first spelling of it. `since_ns` is known by key; others start at `now_ns`."""
    found: dict[str, Pattern] = {}
    for spelling in spellings:
        key = pattern_key(spelling)
        found.setdefault(key, Pattern(spelling, key, since_ns.get(key, now_ns), not glob.has_magic(spelling)))
    return list(found.values())


def pattern_key(spelling: str) -> str:
    """A pattern made absolute; the working directory keeps its meaning if its name looks like a glob.

    >>> pattern_key("/var/log/./model//*.jsonl")
    '/var/log/model/*.jsonl'
    """
    if not glob.has_magic(spelling):
        return os.path.abspath(spelling)
    return os.path.normpath(os.path.join(glob.escape(os.getcwd()), spelling))


def _match(names: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not names
    if wanted[0] == "**":
        return any(_match(names[skipped:], wanted[1:]) for skipped in range(len(names) + 1))
    if not names or (names[0].startswith(".") and not wanted[0].startswith(".")):
        return False
    return fnmatchcase(names[0], wanted[0]) and _match(names[1:], wanted[1:])


def _is_compressed(path: str) -> bool:
    return any(reading.compressed for reading in rotated_names(os.path.basename(path)))
