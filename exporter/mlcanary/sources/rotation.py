"""Names that log rotation gives to finished files: which file a name was rotated from, and its age.

Covers logrotate (numbers, `dateext`, `extension`), Python's rotating handlers, BentoML, Kubernetes, log4j,
lumberjack and loguru: a number, date or `old`/`bak` after the name or before its extension.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_STAMP = r"\d[\dTZ:._+-]*|old|bak|backup|prev"
_COMPRESSED = r"(?P<compressed>\.(?:gz|bz2|xz|zst|lz4|lzma|Z|zip))?"
_AFTER = re.compile(rf"(?P<base>.+?)[._-](?P<stamp>{_STAMP}){_COMPRESSED}", re.DOTALL)
# Before the extension only dates and `.N` count: `server-2.log` is a second server, not an old log.
_BEFORE = re.compile(
    rf"(?P<stem>.+?)(?P<stamp>\.\d{{1,4}}|[._-]\d{{4}}[\dTZ:._+-]{{2,}})(?P<extension>\.[A-Za-z]\w*?){_COMPRESSED}",
    re.DOTALL,
)
_DIGITS = re.compile(r"\d+")


class RotatedName(NamedTuple):
    """A file name taken apart. Sorting by `age` puts the oldest first when modification times do not tell."""

    base: str
    age: tuple[int, ...]
    compressed: bool


def rotated_names(name: str) -> list[RotatedName]:
    """Every reading of the file name `name` as a rotated one; empty if it does not look rotated.

    >>> [r.base for r in rotated_names("app.log.1")], [r.base for r in rotated_names("app-20260131.log.gz")]
    (['app.log'], ['app.log'])
    >>> rotated_names("app.log"), rotated_names("server-2.log")
    ([], [])
    """
    found = []
    if after := _AFTER.fullmatch(name):
        found.append(RotatedName(after["base"], _age(after["stamp"]), bool(after["compressed"])))
    if before := _BEFORE.fullmatch(name):
        base = before["stem"] + before["extension"]
        found.append(RotatedName(base, _age(before["stamp"]), bool(before["compressed"])))
    return found


def same_series(name: str, other: str) -> bool:
    """True if two names differ in their digits only, as the dated targets of one symbolic link do.

    >>> same_series("app-2026-01-31.log", "app-2026-02-01.log"), same_series("app.log", "web.log")
    (True, False)
    """
    return _DIGITS.sub("0", name) == _DIGITS.sub("0", other)


def _age(stamp: str) -> tuple[int, ...]:
    """Numbers count backwards (`.2` is older than `.1`), dates forwards."""
    numbers = [int(n) for n in _DIGITS.findall(stamp)]
    if len(numbers) == 1 and numbers[0] < 100_000:
        return (0, -numbers[0])
    return (1, *numbers)
