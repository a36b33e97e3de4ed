"""How often one sender may ask: a token bucket for each, in a bounded table.

Guarantee: a sender is let through at most `burst + rate * t` times in any `t` seconds, as long as fewer than
`most` senders are active; the table never holds more than `most`, and forgets the one idle for longest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MOST_SENDERS = 1024


class RateLimit:
    """Token buckets by name.

    Input: `rate` per second, above 0; `burst` at least 1; `clock` gives seconds that never go back.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float], *, most: int = MOST_SENDERS) -> None:
        if rate <= 0 or burst < 1 or most < 1:
            raise ValueError("rate is above 0, burst and most are at least 1")
        self._rate, self._burst, self._clock, self._most = rate, burst, clock, most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many senders are remembered."""
        return len(self._buckets)

    def take(self, name: str) -> float:
        """0 if a request of `name` may pass; else the seconds to wait until one may, and nothing is taken."""
        now = self._clock()
        left, since = self._buckets.pop(name, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - since) * self._rate)
        passes = left >= 1.0
        self._buckets[name] = (left - 1.0 if passes else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1.0 - left) / self._rate
