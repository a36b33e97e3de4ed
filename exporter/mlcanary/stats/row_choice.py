"""Which rows are looked at when not all can be: by their id, so that every process chooses the same ones.

Guarantee: whether an id is chosen depends on the id, the stage and the share alone: not on the process, the order or
the batch. Who is chosen at a share is chosen at every greater one. Rows are chosen independently of each other and of
what they hold, as long as nobody picks ids with this page in hand: it is no cryptography. Stages choose independently.
Input: ids, None for a row without one, and a share in [0, 1]. Cost: 0.15 us per id.
Error: of n ids, n * share are chosen, give or take sqrt(n * share * (1 - share)).
Source: CRC-32, and the finaliser of MurmurHash3 (Appleby, 2008), which undoes the linearity of the former: ids that
count up differ in few bits, and a CRC keeps that.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import sqrt
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Words = NDArray[np.uint32]
Floats = NDArray[np.float64]

_RANGE = 2.0**32
_Z95 = 1.959963984540054


class Stage(IntEnum):
    """What rows are chosen for; the values are keys of the hash and must never change."""

    FEATURES = 0x9E3779B9
    WEIGHT = 0x85157AF5
    UNNAMED = 0x6C8E9CF5


def chosen(ids: Sequence[str], share: float | Floats, stage: Stage = Stage.FEATURES) -> Mask:
    """Whether each id is among the `share` (0 to 1, one for all or one for each) that is chosen; shape (n,).

    >>> half, all_of_them = chosen(["a", "b", "c", "d"], 0.5), chosen(["a", "b", "c", "d"], 1.0)
    >>> half.tolist(), all_of_them.tolist()
    ([True, False, True, False], [True, True, True, True])
    """
    try:
        words = np.fromiter(map(crc32, map(str.encode, ids)), np.uint32, len(ids))
    except UnicodeEncodeError:  # half of a surrogate pair
        words = np.fromiter((crc32(row_id.encode("utf-8", "surrogatepass")) for row_id in ids), np.uint32, len(ids))
    return _below(words, share, stage)


class Unnamed:
    """Counts rows without an id, so that each is chosen by its number. `count` goes into the checkpoint."""

    __slots__ = ("count",)

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def chosen(self, shares: Floats) -> Mask:
        """Choose among the next rows; `shares` of each, shape (n,).

        Not every second one of a half: two versions that take turns would then be one.
        """
        places = np.arange(self.count, self.count + len(shares), dtype=np.uint64) & np.uint64(0xFFFFFFFF)
        self.count += len(shares)
        return _below(places.astype(np.uint32), shares, Stage.UNNAMED)


def chosen_rows(ids: Sequence[str | None], shares: Floats, unnamed: Unnamed, stage: Stage = Stage.FEATURES) -> Mask:
    """Whether each row is among its share that is looked at: by its id, else by its number; shape (n,)."""
    if None not in ids:
        return chosen(ids, shares, stage)  # type: ignore[arg-type]  # checked above
    found = np.zeros(len(ids), dtype=np.bool_)
    named = np.array([row_id is not None for row_id in ids], dtype=np.bool_)
    found[named] = chosen([row_id for row_id in ids if row_id is not None], shares[named], stage)
    found[~named] = unnamed.chosen(shares[~named])
    return found


def sampling_error(looked_at: float, rows: float) -> float:
    """How far a share may lie from that of all `rows`, in 95 of 100 windows, since only some were looked at.

    The half-width for a share of one half, the worst one: no bin share is off by more. 0 where every row was looked at,
    at most 1. Simple random sampling without replacement (Cochran 1977, 2.8).

    >>> sampling_error(400, 400), round(sampling_error(400, 1600), 4), sampling_error(0, 10)
    (0.0, 0.0424, 1.0)
    """
    if rows <= looked_at:
        return 0.0
    return 1.0 if looked_at <= 0 else min(1.0, _Z95 * sqrt(0.25 / looked_at * (1.0 - looked_at / rows)))


def _below(words: Words, share: float | Floats, stage: Stage) -> Mask:
    found: Mask = _mixed(words ^ np.uint32(stage)) < share * _RANGE
    return found


def _mixed(words: Words) -> Words:
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x85EBCA6B)
    words = words ^ (words >> np.uint32(13))
    words = words * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))
