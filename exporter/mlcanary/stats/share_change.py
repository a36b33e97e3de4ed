"""Change of a share between two samples in standard errors, on the scale where its noise does not depend on it.

Input: two shares in [0, 1] and the sample sizes. Cost: O(1). Error: asymptotically standard normal without a change;
far tails are kept even for rare events, where the pooled z-score of two proportions is exceeded hundreds of times too
often, and it is defined, 0, where both shares are 0 or 1. Source: Cohen's h (1988, equation 6.2.1) over its standard
error sqrt(1 / n + 1 / m).
"""

from __future__ import annotations

import math


def share_change(current: float, reference: float, noise: float) -> float:
    """z-score, positive where the share has grown; `noise` is 1 / n + 1 / m.

    >>> share_change(0.3, 0.3, 0.01)
    0.0
    """
    return 2 * (math.asin(math.sqrt(current)) - math.asin(math.sqrt(reference))) / math.sqrt(noise)
