"""Figures of a confusion matrix, a ranking and a loss as functions of expected counts, and their noise by derivatives.

The derivative of each with respect to the positives of a group is taken by a complex step, which is exact to rounding
and knows nothing of the formulas in `mlcanary.stats`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Z95 = 1.959963984540054
_STEP = 1e-30


class Promise(NamedTuple):
    """What a figure is expected to be, and the half-width of its 95 % interval."""

    value: float
    error: float


def promises(p: Floats, chosen: Flags, bins: NDArray[np.intp]) -> dict[str, Promise]:
    """From scores, whether predicted positive, and the number of each score's bin."""
    loss = [-np.log(np.clip(q, 1e-7, 1 - 1e-7)) for q in (p, 1 - p)]
    spread = p * (1 - p)
    by_class = np.array([p[chosen].sum(), p[~chosen].sum()])
    class_noise = np.array([spread[chosen].sum(), spread[~chosen].sum()])
    n, picked = p.size, chosen.sum()
    size = int(bins.max()) + 1
    count: Floats = np.bincount(bins, weights=np.ones(n), minlength=size).astype(np.float64)
    up: Floats = np.bincount(bins, weights=p, minlength=size).astype(np.float64)
    used = count > 0
    count, up = count[used], up[used]
    order = np.subtract.outer(np.arange(up.size), np.arange(up.size))
    wins = np.where(order > 0, 1.0, np.where(order == 0, 0.5, 0.0))

    def area(x: Any) -> Any:
        return x @ wins @ (count - x) / (x.sum() * (count - x).sum())

    return {
        "accuracy": _promise(lambda x: (x[0] + (n - picked) - x[1]) / n, by_class, class_noise),
        "precision": _promise(lambda x: x[0] / picked, by_class, class_noise),
        "recall": _promise(lambda x: x[0] / (x[0] + x[1]), by_class, class_noise),
        "f1": _promise(lambda x: 2 * x[0] / (picked + x[0] + x[1]), by_class, class_noise),
        "auc": _promise(area, up, up * (1 - up / count)),
        "log_loss": Promise(
            float((p * loss[0] + (1 - p) * loss[1]).mean()),
            float(Z95 * np.sqrt((spread * (loss[0] - loss[1]) ** 2).sum()) / n),
        ),
    }


def _promise(figure: Callable[[Any], Any], positives: Floats, noise: Floats) -> Promise:
    steps = positives + 1j * _STEP * np.eye(positives.size)
    slopes = np.array([figure(row).imag / _STEP for row in steps])
    return Promise(float(figure(positives)), float(Z95 * np.sqrt(noise @ slopes**2)))
