"""How well class probabilities rank: the AUC of each class against all others, and its means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.measures.contract import Labeled, Measure, sample, undefined
from mlcanary.measures.losses import left_out, why_absent, why_left_out
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import edge_labels
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.bin_edges import logit_edges
from mlcanary.stats.one_vs_rest import OneVsRestBins
from mlcanary.stats.roc_auc import below

BINS = 50
"""Bins per class: three series each, so 150 per class and version."""

_EDGES = logit_edges(BINS)


class MulticlassMeasure(Measure):
    """Probabilities are divided by their sum; a class that a prediction does not name was given 0.

    A class takes part from the first labelled prediction that names it. Classes above the cap are `other`, whose
    probability is the sum of theirs.
    """

    families = (
        "mlcanary_class_score_bin_total",
        "mlcanary_class_score_below_total",
        "mlcanary_window_class_auc_ratio",
        "mlcanary_window_class_auc_error_bound_ratio",
        "mlcanary_window_auc_macro_ratio",
        "mlcanary_window_auc_macro_error_bound_ratio",
        "mlcanary_window_auc_weighted_ratio",
        "mlcanary_window_auc_weighted_error_bound_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"classes": Tally(), "bins": OneVsRestBins.empty(_EDGES), "left_out": left_out()}
        self._labels = edge_labels(_EDGES)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Learn the classes: their bins are then born at zero, so that no first label is lost to rate()."""
        for scores in (p.scores for p in batch if p.scores is not None):
            for name in scores:
                self._learn(name)

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Bin the probabilities of every class."""
        reasons = [why_left_out(x, self.plan.task) for x in batch]
        for reason in filter(None, reasons):
            self.parts["left_out"].add((reason,))
        usable = [x for x, reason in zip(batch, reasons, strict=True) if reason is None and x.scores is not None]
        if not usable:
            return
        rows: list[Mapping[str, float]] = []
        actual: list[str] = []
        begins: dict[str, int] = {}
        named = self.parts["classes"].counts
        for i, x in enumerate(usable):
            row = self._folded_scores(x.scores or {})
            actual.append(self._learn(x.actual))
            rows.append(row)
            for name in {*row, actual[-1]}:
                if not named[(name,)]:
                    named[(name,)] = 1.0
                    begins[name] = i
        truth = np.array(actual, dtype=object)
        for index, ((name,), taken) in enumerate(named.items()):
            if taken:
                first = begins.get(name, 0)
                scores = np.array([row.get(name, 0.0) for row in rows[first:]])
                self.parts["bins"].update_many(index, scores, truth[first:] == name)

    def _folded_scores(self, scores: Mapping[str, float]) -> Mapping[str, float]:
        """Probabilities that sum to 1, of known classes and `other`."""
        total = sum(scores.values())
        known: dict[str, float] = {}
        for name, score in scores.items():
            kept = self._learn(name)
            known[kept] = min(1.0, known.get(kept, 0.0) + score / total)
        return known

    def _learn(self, name: str) -> str:
        """The class as it is counted; its bins are born at zero."""
        classes: Tally = self.parts["classes"]
        if (name,) in classes.counts:
            return name
        kept = self.capped("classes", name, "classes")
        classes.add(kept, 0.0)
        self.parts["bins"].grow(len(classes.counts))
        return kept[0]

    def counters(self) -> Iterator[Sample]:
        """Per class: its own and the other predictions in each bin, and the others below the bin."""
        bins: OneVsRestBins = self.parts["bins"]
        for ((name,), _), (own, others) in zip(self.parts["classes"].items(), bins.values, strict=True):
            for label, inside, outside, under in zip(
                self._labels, own.tolist(), others.tolist(), below(others).tolist(), strict=True
            ):
                yield sample("class_score_bin_total", (name, POSITIVE, label), inside)
                yield sample("class_score_bin_total", (name, NEGATIVE, label), outside)
                yield sample("class_score_below_total", (name, label), under)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Areas with their bounds; without any they are absent, with the reason."""
        bins: OneVsRestBins = self.parts["bins"]
        for ((name,), _), area in zip(self.parts["classes"].items(), bins.estimates(), strict=True):
            if area is not None:
                yield sample("window_class_auc_ratio", (name,), area.auc)
                yield sample("window_class_auc_error_bound_ratio", (name,), area.bound)
        means = bins.means()
        for kind in ("macro", "weighted"):
            if means is None:
                reason = why_absent(self.parts["left_out"], float(bins.values.sum())) or "one_class"
                yield undefined(f"auc_{kind}", reason)
            else:
                area = getattr(means, kind)
                yield sample(f"window_auc_{kind}_ratio", (), area.auc)
                yield sample(f"window_auc_{kind}_error_bound_ratio", (), area.bound)
