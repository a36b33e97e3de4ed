"""When the next page is due: just before somebody who comes regularly will ask for it.

A page that nobody reads is work for nothing, and one that was made long before it is read is older than it need be.
Prometheus asks at even intervals, so the next time is known after two.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from typing import NamedTuple

_LEAD = 0.2
"""Part of the interval by which a page is made ahead."""
_LEAD_PAGES = 3.0
"""And at least the time that so many pages take to be made: on a throttled CPU one takes seconds."""
LONGEST_INTERVALS = 6.0
"""A page is never older than so many intervals: it is also when the state is saved."""
_GAPS = 3
"""The shortest of the last few gaps counts: after a scrape that failed, the one before it is twice as long."""
_MOST_READERS = 64
_ONCE_SECONDS = 300.0
"""Who came once may come again at any moment, but is not waited for longer than this."""


class _Reader(NamedTuple):
    last: float
    gaps: tuple[float, ...] = ()

    def again(self, now: float) -> _Reader:
        return _Reader(now, (*self.gaps, now - self.last)[-_GAPS:])

    def gone(self, now: float) -> bool:
        return now - self.last > (3.0 * max(self.gaps) if self.gaps else _ONCE_SECONDS)

    @property
    def gap(self) -> float:
        """Seconds between its visits; 0 where it is not known."""
        return min(self.gaps, default=0.0)

    def comes(self, after: float) -> float:
        """The first time at or after this one at which it is expected, if its gap is known."""
        return self.last + self.gap * max(1, math.ceil((after - self.last) / self.gap))


class Readers:
    """Who reads pages, and when they will come again. Safe to use from several threads.

    Guarantee: between two pages pass at least 0.8 and at most LONGEST_INTERVALS intervals; a reader that comes at even
    times gets a page that is at most an interval old, most often a fifth of one. Without a reader, or with one whose
    times are not known, a page is due every interval.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        """`interval`: seconds between two pages at most often; `clock`: seconds that only grow."""
        self.interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Hashable, _Reader] = {}

    def came(self, who: Hashable) -> None:
        """Somebody reads a page now."""
        now = self._clock()
        with self._lock:
            before = self._known.pop(who, None)
            self._known[who] = _Reader(now) if before is None or before.gone(now) else before.again(now)
            if len(self._known) > _MOST_READERS:
                del self._known[next(iter(self._known))]

    def due(self, made: float, took: float) -> float:
        """When the page is due that follows one made at `made` in `took` seconds, as far as is known now."""
        now = self._clock()
        with self._lock:
            for who in [who for who, reader in self._known.items() if reader.gone(now)]:
                del self._known[who]
            readers = tuple(self._known.values())
        soonest = made + self.interval
        if not readers or not all(reader.gap for reader in readers):
            return soonest
        lead = max(_LEAD * self.interval, _LEAD_PAGES * took)
        first = min(reader.comes(soonest) for reader in readers)
        return min(max(first - lead, soonest - _LEAD * self.interval), made + LONGEST_INTERVALS * self.interval)
