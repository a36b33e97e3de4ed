"""Named data that break statistics: scores with their classes, and columns of numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PREFIXES = (1, 2, 3, 10, 57, 400, 2000)
"""Sizes at which a running statistic is compared with its oracle."""


def _logistic(logits: Floats) -> Floats:
    scores: Floats = 1.0 / (1.0 + np.exp(-logits))
    return scores


def scored(name: str) -> tuple[Floats, Bools]:
    """Scores in [0, 1], shape (2000,), and whether the class was positive."""
    rng = np.random.default_rng(20240601)
    n = 2000
    positive = rng.random(n) < (0.5 if name == "certain" else 0.2)
    scores = _logistic(rng.normal(-1.5, 1.2, n) + 1.5 * positive)
    if name == "constant":
        scores = np.full(n, 0.3)
    elif name == "ties":
        scores = np.round(4 * scores) / 4
    elif name == "one class":
        positive = np.zeros(n, dtype=bool)
    elif name == "extreme imbalance":
        positive = np.isin(np.arange(n), [2, 9, 300, 1999])
        scores = _logistic(rng.normal(-6, 1.5, n) + 2 * positive)
    elif name == "certain":
        scores = np.where(rng.random(n) < 0.9, positive, ~positive).astype(np.float64)
    elif name == "adversarial order":
        scores = np.sort(scores)
        positive = scores > np.median(scores)
    return scores, positive


SCORED = ("usual", "constant", "ties", "one class", "extreme imbalance", "certain", "adversarial order")


def column(name: str, seed: int = 7) -> Floats:
    """Values of one feature, shape (2000,)."""
    rng = np.random.default_rng(seed)
    n = 2000
    drawn: dict[str, Callable[[], Floats]] = {
        "normal": lambda: rng.normal(50.0, 10.0, n),
        "constant": lambda: np.full(n, 42.0),
        "two values": lambda: rng.integers(0, 2, n).astype(np.float64),
        "integers": lambda: rng.poisson(3.0, n).astype(np.float64),
        "zero-heavy": lambda: np.where(rng.random(n) < 0.7, 0.0, rng.exponential(10.0, n)),
        "heavy tail": lambda: rng.standard_cauchy(n),
        "huge": lambda: rng.normal(0.0, 1e150, n),
        "tiny": lambda: rng.normal(0.0, 1e-150, n),
    }
    return drawn[name]()


COLUMNS = ("normal", "constant", "two values", "integers", "zero-heavy", "heavy tail", "huge", "tiny")
