"""What one ranking shows of what is relevant: reciprocal rank, recall, hit and precision among the first places.

Input: whether what stands at each place is relevant, best place first; the number of relevant items, shown or not.
Cost: O(k). Error: none. Source: Manning, Raghavan & Schütze (2008), chapter 8; Voorhees (1999) for the reciprocal rank.
"""

from __future__ import annotations

from collections.abc import Sequence


def reciprocal_rank(relevant: Sequence[bool]) -> float:
    """1 / place of the first relevant item, 0 if none is shown.

    >>> reciprocal_rank([False, True]), reciprocal_rank([False])
    (0.5, 0.0)
    """
    return next((1.0 / place for place, is_relevant in enumerate(relevant, 1) if is_relevant), 0.0)


def recall_at(relevant: Sequence[bool], total: int, k: int) -> float:
    """Share of the `total` relevant items, at least one, that stands among the first `k` places."""
    return sum(relevant[:k]) / total


def hit_at(relevant: Sequence[bool], k: int) -> float:
    """1 if any of the first `k` places is relevant, else 0."""
    return float(any(relevant[:k]))


def precision_at(relevant: Sequence[bool], k: int) -> float:
    """Share of the first `k` places that is relevant; a place left empty is not."""
    return sum(relevant[:k]) / k
