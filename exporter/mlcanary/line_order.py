"""When the lines of a log were written, and whether their times go back.

Guarantee: pure, a function of the times in the order of their lines, Unix seconds. Cost: O(1) for each line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats

TOLERATED_SECONDS = 60.0
"""Workers that write one file are this far apart and harm nothing: a judge looks about as often."""
_TOLERATED_SHARE = 0.01
_NEIGHBOURS = 5


class Backwards(NamedTuple):
    """`behind` of `lines` predictions are more than a minute older than a line before them, `furthest` in seconds."""

    behind: int
    lines: int
    furthest: float


class LineOrder:
    """Counts predictions that are older than what stands before them in their file."""

    def __init__(self) -> None:
        self._newest: dict[str, float] = {}
        self._lines = self._behind = 0
        self._furthest = 0.0

    def take(self, times: Floats, ages: Floats) -> None:
        """Times of predictions, NaN for none, and `written_at` of their lines."""
        told = ~np.isnan(times)
        behind = (ages - times)[told]
        late = behind[behind > TOLERATED_SECONDS]
        self._lines, self._behind = self._lines + len(behind), self._behind + len(late)
        self._furthest = max(self._furthest, float(late.max(initial=0.0)))

    def read(self, name: str, streams: list[Floats]) -> None:
        """A block of the file `name`: times of its predictions, in streams that each keep the order of the lines."""
        before = self._newest.get(name, -np.inf)
        for times in streams:
            if len(times):
                ages = written_at(times, before)
                self.take(times, ages)
                self._newest[name] = max(self._newest.get(name, -np.inf), float(ages[-1]))

    @property
    def backwards(self) -> Backwards | None:
        """What to tell; None while fewer than 1 % of the predictions are out of order, as retries are."""
        if not self._behind or self._behind < _TOLERATED_SHARE * self._lines:
            return None
        return Backwards(self._behind, self._lines, self._furthest)


def written_at(times: Floats, before: float) -> Floats:
    """When each of these lines of one file was written, never before the line above it.

    Input: their own times, at least one, NaN for none; `before`: the age of the line above them.

    >>> written_at(np.array([10.0, 11.0, 9e9, np.nan, 12.0, 5.0, 13.0]), 0.0).tolist()
    [11.0, 11.0, 11.0, 11.0, 12.0, 12.0, 12.0]
    """
    known = times[~np.isnan(times)]
    if not len(known):
        return np.full(len(times), before)
    size = min(_NEIGHBOURS, len(known))
    first = np.clip(np.arange(len(known)) - size // 2, 0, len(known) - size)
    smooth = np.sort(known[first[:, None] + np.arange(size)], axis=1)[:, (size - 1) // 2]
    place = np.maximum(np.cumsum(~np.isnan(times)) - 1, 0)
    ages: Floats = np.maximum(np.maximum.accumulate(smooth[place]), before)
    return ages
