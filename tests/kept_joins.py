"""What the join gave to be stored, kept as a state file keeps it, without one."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlcanary.joins.pages import PAGE_BITS, JoinChanges, StoredJoin, thinned
from mlcanary.joins.rows import Key


@dataclass
class KeptJoin:
    """Pages, ids and odd rows by their keys."""

    pages: dict[int, bytes] = field(default_factory=dict)
    ids: dict[int, bytes] = field(default_factory=dict)
    odd: dict[Key, tuple[bytes, int]] = field(default_factory=dict)

    def keep(self, changes: JoinChanges) -> KeptJoin:
        """Apply what changed, in its order."""
        if changes.whole:
            self.pages.clear()
            self.ids.clear()
        if changes.odd_whole:
            self.odd.clear()
        for page, rows in changes.pages:
            if rows is not None:
                self.pages[page] = rows
                continue
            del self.pages[page]
            for first in self._of(page):
                del self.ids[first]
        self.ids.update(changes.ids)
        for page, keep in changes.thin:
            first, ids = thinned([(first, self.ids[first]) for first in self._of(page)], keep)
            for former in self._of(page):
                del self.ids[former]
            self.ids[first] = ids
        for key, row, seq in changes.odd:
            if row is None:
                self.odd.pop(key, None)
            else:
                self.odd[key] = row, seq
        return self

    def stored(self) -> StoredJoin:
        """All of it, as a new process reads it."""
        odd = [(key, row, seq) for key, (row, seq) in self.odd.items()]
        return StoredJoin(sorted(self.pages.items()), sorted(self.ids.items()), odd)

    def _of(self, page: int) -> list[int]:
        return sorted(first for first in self.ids if first >> PAGE_BITS == page)
