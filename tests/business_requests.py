"""Requests with their clicks and conversions, made from the nasty streams, and what numpy and scipy say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlcanary.measures.contract import Labeled, Matured, Measure, Outcome
from mlcanary.records import ModelKey, Prediction
from nasty_streams import STREAMS, numbers, users

Floats = NDArray[np.float64]
KEY = ModelKey("m", "v")


@dataclass(frozen=True)
class Request:
    """One request and all that came of it; `value` None where a conversion names none."""

    user: int | None
    failed: bool
    clicked: bool
    converted: bool
    value: float | None
    matured: bool

    @property
    def events(self) -> dict[str, float | None]:
        """Events with their values."""
        return ({"click": None} if self.clicked else {}) | ({"purchase": self.value} if self.converted else {})


def requests(name: str) -> list[Request]:
    """One stream. Some conversions have no click, some requests fail, some are not mature yet."""
    rng, made = np.random.default_rng(STREAMS.index(name)), []
    click, follow = {"constant": (1.0, 0.9), "one class": (0.0, 0.3), "rare positives": (0.003, 0.5)}.get(
        name, (0.3, 0.4)
    )
    for i, (user, amount) in enumerate(zip(users(name), numbers(name), strict=True)):
        failed = name != "constant" and rng.random() < (0.9 if name == "adversarial order" and i < 80 else 0.1)
        clicked = bool(not failed and rng.random() < click)
        converted = bool(not failed and rng.random() < (follow if clicked else 0.05))
        value = amount if isinstance(amount, float) and math.isfinite(amount) else None
        made.append(Request(user, failed, clicked, converted, value, not failed and i % 4 != 1))
    return made


def take(measure: Measure, rows: Sequence[Request]) -> None:
    """Feed requests, then their events, then those that are mature."""
    measure.on_predictions([Prediction(KEY, 0.0, error="500" if r.failed else None, user=r.user) for r in rows])
    measure.on_events([Outcome(event, x, 0.0, r.user) for r in rows for event, x in r.events.items()])
    measure.on_matured([Matured(0.0, _label(r), r.events, r.user) for r in rows if r.matured])


def column(rows: Sequence[Request], what: str) -> Floats:
    """0 or 1 per request, its money, or 1 for every one."""
    if what == "value":
        return np.array([r.value or 0.0 if r.converted else 0.0 for r in rows])
    if what == "answered":
        return np.array([not r.failed for r in rows], dtype=float)
    return np.array([what == "all" or getattr(r, what) for r in rows], dtype=float)


def independent_stderr(above: Floats, below: Floats) -> float:
    """Delta method over requests: the root mean square of what each leaves over, by numpy."""
    left_over = above - above.sum() / below.sum() * below
    return float(np.sqrt(np.square(left_over).mean() / left_over.size) / below.mean())


def standard_error(values: Floats) -> float | None:
    """scipy's standard error of the mean; None of a single value."""
    return float(stats.sem(values)) if values.size > 1 else None


def user_stderr(rows: Sequence[Request], above: str, below: str) -> float | None:
    """Standard error of a ratio over 64 groups of users: the variance of what each group leaves over, by numpy."""
    known = [r for r in rows if r.user is not None]
    groups = np.array([(r.user or 0) % 64 for r in known], dtype=np.intp)
    x, n = (np.array([column(known, what)[groups == g].sum() for g in range(64)]) for what in (above, below))
    if np.count_nonzero(n) < 32:
        return None
    left_over = x - x.sum() / n.sum() * n
    return float(np.sqrt(64 * np.var(left_over, ddof=1)) / n.sum())


def _label(r: Request) -> Labeled | None:
    return Labeled("1", "1", None, True, 0.0) if r.clicked else None
