"""NDCG, reciprocal rank, recall, hit rate and precision of rankings: one figure per request, summed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from mlcanary.measures.contract import Labeled, Measure, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.ndcg import ndcg
from mlcanary.stats.retrieval import hit_at, precision_at, recall_at, reciprocal_rank

WHOLE = "all"
"""The k of a figure over the whole list, as far as it is kept: the reciprocal rank."""

BROKEN_LABEL, NO_PREDICTION_MADE, NOTHING_RELEVANT = "broken_label", "no_prediction", "no_relevant_item"

GAUGES: Mapping[str, str] = {
    "ndcg": "ndcg_ratio",
    "recall": "recall_at_ratio",
    "hit": "hit_ratio",
    "precision": "precision_at_ratio",
    "reciprocal_rank": "reciprocal_rank_ratio",
}
"""Window gauge by figure."""

_GRADES = msgspec.json.Decoder(dict[str, float])


class RankingMeasure(Measure):
    """Needs a ranking and at least one relevant item; other labelled rows are left out and counted by reason.

    An item that comes twice counts at its first place; the second place is wasted. Sums are kept for each k beside
    the number of requests that went into them, so that another list of k after a restart starts with both at zero.
    """

    families = (
        "mlcanary_ranking_requests_total",
        "mlcanary_ranking_figure_total",
        "mlcanary_ranking_figure_squares_total",
        "mlcanary_ranking_unusable_total",
        *(f"mlcanary_window_{name}" for name in GAUGES.values()),
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        reasons = (BROKEN_LABEL, NO_PREDICTION_MADE, NOTHING_RELEVANT)
        self.parts = {
            "requests": Tally(),
            "sums": Tally(),
            "squares": Tally(),
            "unusable": Tally({(reason,): 0.0 for reason in reasons}),
        }
        self._begin()

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan; a k that is new starts at zero."""
        super().replan(plan)
        self._begin()

    def _begin(self) -> None:
        for figure, k in _names(self.plan.ranks):
            for part, name in (("requests", (k,)), ("sums", (figure, k)), ("squares", (figure, k))):
                self.parts[part].add(name, 0.0)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Have every k of the plan born at zero, also one that a restored state did not know."""
        self._begin()

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Add up the figures of each request."""
        names = _names(self.plan.ranks)
        for x in batch:
            figures = self._figures(x)
            if isinstance(figures, str):
                self.parts["unusable"].add((figures,))
                continue
            for name, value in zip(names, figures, strict=True):
                self.parts["sums"].add(name, value)
                self.parts["squares"].add(name, value * value)
            for k in (WHOLE, *map(str, self.plan.ranks)):
                self.parts["requests"].add((k,))

    def _figures(self, x: Labeled) -> list[float] | str:
        """Values in the order of `_names`, or the reason why there are none."""
        grades = _grades(x.actual)
        if grades is None:
            return BROKEN_LABEL
        if x.items is None:
            return NO_PREDICTION_MADE
        if not grades:
            return NOTHING_RELEVANT
        ideal = sorted(grades.values(), reverse=True)
        left = dict(grades)
        gains = [left.pop(item, 0.0) for item in x.items]
        relevant = [gain > 0 for gain in gains]
        figures = [reciprocal_rank(relevant)]
        for k in self.plan.ranks:
            figures += [
                ndcg(gains, ideal, k),
                recall_at(relevant, len(ideal), k),
                hit_at(relevant, k),
                precision_at(relevant, k),
            ]
        return figures

    def labels(self) -> float:
        """Rankings with a relevant item."""
        return max((count for _, count in self.parts["requests"].items()), default=0.0)

    def counters(self) -> Iterator[Sample]:
        """Requests by k, sums and squares by figure and k, and unusable rows."""
        for name, count in self.parts["requests"].items():
            yield sample("ranking_requests_total", name, count)
        for name, total in self.parts["sums"].items():
            yield sample("ranking_figure_total", name, total)
        for name, total in self.parts["squares"].items():
            yield sample("ranking_figure_squares_total", name, total)
        for reason, count in self.parts["unusable"].items():
            yield sample("ranking_unusable_total", reason, count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Means over the requests of the window."""
        missing: set[str] = set()
        for figure, k in _names(self.plan.ranks):
            requests = self.parts["requests"].counts.get((k,), 0.0)
            if requests > 0:
                labels = () if k == WHOLE else (k,)
                yield sample(f"window_{GAUGES[figure]}", labels, self.parts["sums"].counts[figure, k] / requests)
            else:
                missing.add(figure)
        for figure in sorted(missing):
            yield undefined(figure, "no_labels")


def _names(ranks: Sequence[int]) -> list[tuple[str, str]]:
    """(figure, k) in the order in which `_figures` gives values."""
    return [("reciprocal_rank", WHOLE)] + [
        (figure, str(k)) for k in ranks for figure in ("ndcg", "recall", "hit", "precision")
    ]


def _grades(relevance: str) -> dict[str, float] | None:
    """Grades above 0 by item; None for what `canonical_relevance` would not write."""
    try:
        grades = _GRADES.decode(relevance)
    except msgspec.MsgspecError:
        return None
    return grades if all(0 < grade < math.inf for grade in grades.values()) else None
