"""One statement from the evidence of many: the mean within a family, e-Bonferroni over families, e-BH for names.

Guarantee: with e-values that all hold at the same time (the features of one request), their mean with weights that are
fixed beforehand is an e-value, whatever their dependence. Over families that are known at different times (quality
after its labels, errors at once) the mean is none, but e-Bonferroni is right: the chance that ANY family of a healthy
canary is ever named is at most alpha. e-BH names features at ONE stopping time with a false discovery rate of at most
alpha; on maxima over time it has none.
Input: log e-values, -inf allowed; never NaN. Cost: O(K), O(K log K) for e-BH. Error: none but rounding.
Source: Vovk and Wang 2021 (means, e-Bonferroni); Wang and Ramdas 2022 (e-BH); Wang, Dandapanthula and Ramdas 2025,
arXiv 2502.08539 (why not the mean over different filtrations); Tavyrikov et al. 2025, arXiv 2501.19360 (maxima).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence import log_sum_exp


def mean_log_e(log_e: Floats, weights: Sequence[float] | None = None) -> Floats:
    """log of the mean of E over the last axis, shape (..., K) to (...); never below the largest divided by K.

    `weights`: positive, fixed before the first look; they are divided by their sum. Equal without them.

    >>> round(float(np.exp(mean_log_e(np.log([1.0, 2.0, 6.0])))), 12)
    3.0
    """
    return log_sum_exp(log_e + _log_shares(log_e.shape[-1], weights))


def e_bonferroni(log_e: Floats, weights: Sequence[float] | None, alpha: float) -> NDArray[np.bool_]:
    """Which families have E >= 1 / (alpha w), shape (..., K); the weights w are divided by their sum.

    >>> e_bonferroni(np.log([39.0, 100.0]), None, 0.05)
    array([False,  True])
    """
    return log_e + _log_shares(log_e.shape[-1], weights) >= -math.log(alpha)


def e_bh(log_e: Floats, alpha: float) -> NDArray[np.intp]:
    """Indices of the guilty among shape (K,), strongest first: the k largest E.

    k is the largest number for which the k-th largest E is at least K / (alpha k).

    >>> e_bh(np.log([1.0, 45.0, 30.0]), 0.1)
    array([1, 2])
    """
    order = np.argsort(-log_e, kind="stable")
    size = len(log_e)
    ranks = np.arange(1, size + 1)
    passed = np.flatnonzero(log_e[order] >= np.log(size / (alpha * ranks)))
    return order[: int(passed[-1]) + 1] if len(passed) else order[:0]


def _log_shares(size: int, weights: Sequence[float] | None) -> Floats:
    given = np.ones(size) if weights is None else np.asarray(weights, dtype=np.float64)
    shares: Floats = np.log(given / given.sum())
    return shares
