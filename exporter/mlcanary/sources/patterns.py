"""Configured paths and glob patterns: which files they name, however they are spelled.

Guarantee: a file has one key, its absolute path, under every spelling of the pattern that names it. Links are not
resolved, because following a link through its targets is the business of `tail`.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
        parts = [_part(name) for name in self.key.split(os.sep)[1:]]
        return {path: self.spell(path) for path in _files(os.sep, parts) if not _is_compressed(path)}

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


_Part = str | re.Pattern[str]


def _part(name: str) -> _Part:
    """A name, or what matches the names that a part of a glob stands for; "**" stays what it is."""
    return re.compile(fnmatch.translate(name)) if name != "**" and glob.has_magic(name) else name


def _files(directory: str, parts: Sequence[_Part]) -> Iterator[str]:
    """Files under `directory` that the parts of a glob name. Not `glob.iglob`, which tries to list every file as well.

    Cost: each directory is listed once or, at a `**`, twice; nothing but a symbolic link is asked what it is.
    """
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _files(directory, rest) if rest else ()
        for entry in _entries(directory):
            if not entry.name.startswith(".") and entry.is_dir():
                yield from _files(entry.path, parts)
            elif not rest and not entry.name.startswith(".") and entry.is_file():
                yield entry.path
    elif isinstance(part, str):
        path = os.path.join(directory, part)
        if rest:
            yield from _files(path, rest)
        elif os.path.isfile(path):
            yield path
    else:
        hidden = part.pattern.startswith(r"(?s:\.")
        for entry in _entries(directory):
            if (hidden or not entry.name.startswith(".")) and part.match(entry.name):
                if rest and entry.is_dir():
                    yield from _files(entry.path, rest)
                elif not rest and entry.is_file():
                    yield entry.path


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """What lies in a directory; nothing if it cannot be listed."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _match(names: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not names
    if wanted[0] == "**":
        return any(_match(names[skipped:], wanted[1:]) for skipped in range(len(names) + 1))
    if not names or (names[0].startswith(".") and not wanted[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(names[0], wanted[0]) and _match(names[1:], wanted[1:])


def _is_compressed(path: str) -> bool:
    return any(reading.compressed for reading in rotated_names(os.path.basename(path)))
