"""Which rows of a busy stream a costly statistic takes: all of a quiet one, an eighth of a busy one.

Guarantee: the choice depends on the rows' order and event times alone, whatever the batches. Of each minute of event
time the first `WHOLE` rows are taken, then every `EVERY`-th. Input: event times in the order of the
rows. Cost: O(1) per row, two numbers. Error: the rows taken stand for those left out as long as a minute's rows come in
no particular order. Source: systematic sampling (Cochran 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WHOLE, EVERY, SECONDS = 60, 8, 60.0


class Thinning:
    """The minute that is running, and its rows so far.

    >>> thinning = Thinning()
    >>> [i for i in thinning.choose([0.0] * 80) if i >= 58]
    [58, 59, 60, 68, 76]
    """

    def __init__(self) -> None:
        self._minute, self._seen = 0.0, 0

    def choose(self, times: Sequence[float]) -> list[int]:
        """Places of the rows to take; `times` in Unix seconds."""
        chosen = []
        for place, time in enumerate(times):
            minute = time // SECONDS
            if minute != self._minute:
                self._minute, self._seen = minute, 0
            if self._seen < WHOLE or (self._seen - WHOLE) % EVERY == 0:
                chosen.append(place)
            self._seen += 1
        return chosen

    def dump(self) -> Any:
        """A form that msgpack can carry."""
        return [self._minute, self._seen]

    def load(self, dumped: Any) -> None:
        """Go on where a dump ended."""
        self._minute, self._seen = float(dumped[0]), int(dumped[1])
