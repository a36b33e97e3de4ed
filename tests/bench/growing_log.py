"""A log that is rotated by renaming, as servers do it, and what a page says about reading it."""

from __future__ import annotations

import re
from pathlib import Path


class GrowingLog:
    """Appends to `path`; of rotated files the newest `keep` stay."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path, self.rotations, self.size = path, 0, 0
        self._keep = keep
        self._handle = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        self._handle.write(data)
        self.size += len(data)

    def rotate(self) -> None:
        """Move the file away and begin a new one."""
        self._name(self._keep).unlink(missing_ok=True)
        for i in range(self._keep - 1, 0, -1):
            if self._name(i).exists():
                self._name(i).rename(self._name(i + 1))
        self.path.rename(self._name(1))
        self._handle.close()
        self._handle = self.path.open("ab", buffering=0)
        self.rotations += 1
        self.size = 0

    def close(self) -> None:
        """The writer ends."""
        self._handle.close()

    def _name(self, i: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{i}")


def sum_of(page: str, name: str) -> float:
    """Sum of all samples of a name in a text page; much cheaper than parsing all of it."""
    return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)))
