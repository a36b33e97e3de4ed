"""Former states of counters as differences, packed.

Guarantee: what was packed comes back bit for bit, whatever the numbers are (counts up to 2**53, sums, NaN). Input:
float64 arrays of one dimension. Cost: about 15 us per thousand counters; 1 to 3 bytes per counter that moved, next to
nothing for one that did not, against 8 bytes of the plain array. Source: XOR of neighbouring states, as in Facebook's
Gorilla (Pelkonen et al. 2015), its bytes sorted by significance, deflated.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats

_LEVEL = 1
"""Higher levels save a tenth of the bytes for three times the work."""


class Packed(NamedTuple):
    """Counters as one array of shape (n,); `layout` says what its numbers are and can be compared."""

    layout: Any
    values: Floats


def difference(before: Floats, after: Floats) -> bytes:
    """What leads from one state to the next of the same layout; empty if they are the same."""
    bits = before.view(np.uint64) ^ after.view(np.uint64)
    if not bits.any():
        return b""
    return zlib.compress(bits.view(np.uint8).reshape(-1, 8).T.tobytes(), _LEVEL)


def advanced(before: Floats, step: bytes) -> Floats:
    """The state that `difference` led to."""
    if not step:
        return before
    planes = np.frombuffer(zlib.decompress(step), dtype=np.uint8).reshape(8, -1)
    bits = before.view(np.uint64) ^ np.ascontiguousarray(planes.T).view(np.uint64).ravel()
    return bits.view(np.float64)
