"""Expected calibration error over score bins.

Input: positives, negatives and the sum of scores per bin. Cost: O(B). Error: none for these bins; other bins give
another figure, by definition. Source: Naeini et al. (2015) and Guo et al. (2017), with the bins' own mean scores.
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats


def calibration_error(positives: Floats, negatives: Floats, score_sums: Floats) -> float | None:
    """Mean distance between score and share of positives, weighted by bin; None without predictions.

    >>> calibration_error(np.array([0.0, 1.0]), np.array([2.0, 1.0]), np.array([0.5, 1.5]))
    0.25
    """
    total = float(positives.sum() + negatives.sum())
    return float(np.abs(score_sums - positives).sum()) / total if total > 0 else None
