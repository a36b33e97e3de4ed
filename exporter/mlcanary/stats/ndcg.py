"""Normalised discounted cumulative gain of one ranking.

Input: the grade of what stands at each place, best place first, 0 for what is not relevant; the grades of everything
relevant, shown or not. Cost: O(k). Error: none. Source: Järvelin & Kekäläinen (2002) with linear gains and the discount
1 / log2(place + 1), as scikit-learn's `ndcg_score`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_DISCOUNTS = tuple(1.0 / math.log2(place + 1) for place in range(1, 1001))


def ndcg(gains: Sequence[float], ideal: Sequence[float], k: int) -> float:
    """Gain of the first `k` places over the best that they could have, in [0, 1].

    `ideal`: every grade above 0, best first, at least one.

    >>> ndcg([0.0, 2.0], [2.0], 2) == 1 / math.log2(3)
    True
    """
    scale = ideal[0]  # grades may be as large as numbers get: their sum must not overflow
    return _discounted(gains[:k], scale) / _discounted(ideal[:k], scale)


def _discounted(gains: Sequence[float], scale: float) -> float:
    return sum(
        gain / scale * (_DISCOUNTS[i] if i < len(_DISCOUNTS) else 1.0 / math.log2(i + 2))
        for i, gain in enumerate(gains)
        if gain
    )
