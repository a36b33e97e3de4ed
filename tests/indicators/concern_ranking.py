"""Oracles of rankings: scikit-learn's NDCG and plain numpy, on arrays made from the raw lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sklearn.metrics import ndcg_score

from indicators.oracles import Concern, Oracle, Values
from mlcanary.catalog import Task
from mlcanary.measures.contract import Labeled
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.ranking import RankingMeasure
from nasty_streams import Floats, ranked

RANKS = (1, 3, 10)
PLACES = 16
"""Places that the streams fill at most, none of them twice with gain."""


class Rankings(NamedTuple):
    """One row per request: grades at the places, and grades of what is relevant and was not shown."""

    shown: Floats
    hidden: Floats

    @property
    def relevant(self) -> Floats:
        """1 where a place is relevant."""
        return (self.shown > 0).astype(np.float64)

    @property
    def total(self) -> Floats:
        """Relevant items, shown or not."""
        total: Floats = (self.shown > 0).sum(axis=1) + (self.hidden > 0).sum(axis=1)
        return total


@lru_cache(maxsize=100_000)
def grades_of(label: str, items: tuple[str, ...] | None) -> tuple[tuple[float, ...], tuple[float, ...]] | str:
    """Grades shown, by place, and grades hidden; or why the request says nothing."""
    try:
        grades = json.loads(label)
    except ValueError:
        return "broken_label"
    if not isinstance(grades, dict) or any(not 0 < grade < np.inf for grade in grades.values()):
        return "broken_label"
    if items is None:
        return "no_prediction"
    if not grades:
        return "no_relevant_item"
    shown = [grades.get(item, 0.0) if items.index(item) == i else 0.0 for i, item in enumerate(items)]
    hidden = [grade for item, grade in grades.items() if item not in items]
    return (*shown, *[0.0] * (PLACES - len(shown))), (*hidden, *[0.0] * (PLACES - len(hidden)))


def rankings(rows: Sequence[Labeled]) -> Rankings | None:
    """Arrays of all requests that say something, None if there are none."""
    found = [grades for x in rows if not isinstance(grades := grades_of(x.actual, x.items), str)]
    if not found:
        return None
    return Rankings(np.array([shown for shown, _ in found]), np.array([hidden for _, hidden in found]))


def ndcg(r: Rankings, k: int) -> float:
    """Empty places come between what was shown and what was not: the latter must not fill the first k.

    Grades are scaled to at most 1, which changes no NDCG: scikit-learn takes none above 2**63.
    """
    truth = np.hstack([r.shown, np.zeros((len(r.shown), max(RANKS))), r.hidden])
    truth = truth / truth.max(axis=1, keepdims=True)
    order = np.broadcast_to(np.arange(truth.shape[1], 0, -1.0), truth.shape)
    return float(ndcg_score(truth, order, k=k, ignore_ties=True))


def at(figure: Callable[[Rankings, int], float]) -> Callable[[Sequence[Labeled]], Values]:
    """A figure for each k."""

    def expected(rows: Sequence[Labeled]) -> Values:
        r = rankings(rows)
        return {} if r is None else {(str(k),): figure(r, k) for k in RANKS}

    return expected


def reciprocal_rank(rows: Sequence[Labeled]) -> Values:
    """The best of relevant / place."""
    r = rankings(rows)
    return {} if r is None else {(): float((r.relevant / np.arange(1, r.relevant.shape[1] + 1)).max(axis=1).mean())}


CONCERN = Concern(
    make=lambda: RankingMeasure(ModelPlan(task=Task.RANKING, ranks=RANKS)),
    rows=ranked,
    take=lambda measure, rows: measure.on_labeled(rows),
    oracles={
        "NDCG@k": Oracle(at(ndcg)),
        "MRR": Oracle(reciprocal_rank),
        "recall@k": Oracle(at(lambda r, k: float((r.relevant[:, :k].sum(axis=1) / r.total).mean()))),
        "hit rate@k": Oracle(at(lambda r, k: float(r.relevant[:, :k].any(axis=1).mean()))),
        "precision@k": Oracle(at(lambda r, k: float(r.relevant[:, :k].mean(axis=1).mean()))),
    },
)
