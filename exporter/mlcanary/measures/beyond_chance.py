"""How far a feature lies from its reference, whatever its kind and whatever is wrong with it: the list of a page.

Guarantee: one order for all features, numbers and categories, and for what has no distance: missing values, values of
another type, names never seen. Input: figures of `measures.drift` and `measures.feature_gauges` of one feature in one
window, by their name without `mlcanary_window_feature_`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from mlcanary.measures.drift import FALSE_ALARM
from mlcanary.stats.share_change import largest_change_critical, share_change

Figures = Mapping[str, float]

FIGURES = (
    "psi",
    "psi_critical",
    "bin_zscore",
    "bin_zscore_critical",
    "missing_ratio",
    "missing_delta_ratio",
    "missing_zscore",
    "mistyped_ratio",
    "unseen_ratio",
    "observations",
)
"""What the functions here read; each may be absent."""

_CRITICAL = largest_change_critical(1, FALSE_ALARM)


def times_chance(figures: Figures) -> float:
    """The largest of its distances in critical values: above 1 for what chance exceeds once in 100,000 windows.

    Scores are squared, so that they grow with the number of rows as PSI over its critical value does. Values of another
    type are compared with as many that have none; infinite if there is no other value.
    """
    return max(_psi(figures), _rise(figures), _missing(figures), _mistyped(figures))


def words(figures: Figures, wrong_type: str = "of another type") -> Iterator[str]:
    """What of it is beyond chance, each with its size; names never seen are told of such a feature, however few.

    `wrong_type`: what the mistyped values are.

    >>> list(words({"psi": 1.69, "psi_critical": 0.015, "unseen_ratio": 0.45}))
    ['PSI 1.690 (by chance 0.015)', '45 % never seen in the reference']
    """
    if _psi(figures) > 1:
        yield f"PSI {figures['psi']:.3f} (by chance {figures['psi_critical']:.3f})"
    elif _rise(figures) > 1:
        rise, critical = figures["bin_zscore"], figures["bin_zscore_critical"]
        yield f"a bin rose by {rise:.1f} standard errors (by chance {critical:.1f})"
    if _missing(figures) > 1:
        yield from _gone(figures)
    if _mistyped(figures) > 1:
        yield f"{percent(figures['mistyped_ratio'])} {wrong_type}"
    if figures.get("unseen_ratio", 0.0) > 0:
        yield f"{percent(figures['unseen_ratio'])} never seen in the reference"


def percent(share: float) -> str:
    """A share with three digits.

    >>> percent(0.0), percent(0.20512), percent(1.0), percent(0.00012)
    ('0 %', '20.5 %', '100 %', '0.012 %')
    """
    return f"{100 * share:.3g} %"


def _psi(figures: Figures) -> float:
    critical = figures.get("psi_critical", 0.0)
    return figures.get("psi", 0.0) / critical if critical > 0 else 0.0


def _rise(figures: Figures) -> float:
    critical = figures.get("bin_zscore_critical", math.inf)
    return (max(figures.get("bin_zscore", 0.0), 0.0) / critical) ** 2


def _missing(figures: Figures) -> float:
    return (figures.get("missing_zscore", 0.0) / _CRITICAL) ** 2


def _gone(figures: Figures) -> Iterator[str]:
    """The change of the share without any value: those of another type, which count as missing too, are told apart."""
    lacking, wrong = figures["missing_ratio"], figures.get("mistyped_ratio", 0.0)
    before = max(lacking - figures["missing_delta_ratio"], 0.0)
    if wrong >= 1:  # how many have no value cannot be told from these figures
        return
    gone = (lacking - wrong) / (1.0 - wrong)
    if gone >= 1:
        yield "in no record"
        return
    rows = figures.get("observations", 0.0) / (1.0 - lacking)
    if wrong <= 0 or abs(share_change(gone * rows, rows, before * rows, rows)) > _CRITICAL:
        yield f"missing {percent(before)} → {percent(gone)}"


def _mistyped(figures: Figures) -> float:
    wrong = figures.get("mistyped_ratio", 0.0)
    right = figures.get("observations", 0.0)
    if wrong <= 0:
        return 0.0
    if wrong >= 1 or right <= 0:
        return math.inf
    values = right / (1.0 - wrong)
    return (share_change(wrong * values, values, 0.0, values) / _CRITICAL) ** 2
