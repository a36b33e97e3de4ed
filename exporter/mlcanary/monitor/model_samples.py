"""What belongs to a model, whatever its versions: thresholds, edges, shares, events, the reference; what waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import compress

from mlcanary.measures.contract import sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import NumericReference, Reference
from mlcanary.monitor.panel import Panel
from mlcanary.records import Sample
from mlcanary.stats.roc_auc import below


def model_samples(model: str, plan: ModelPlan, panels: Sequence[Panel]) -> Iterator[Sample]:
    """Samples of a model but for its reference. `panels`: of its versions."""
    for objective, value in plan.thresholds().items():
        yield sample("objective_threshold", (model, objective), value)
    for feature, own in plan.feature_objectives.items():
        for objective, value in own.items():
            yield sample("feature_objective_threshold", (model, objective, feature), value)
    yield sample("bin_edges_info", (model, plan.edges), 1.0)
    for version, share in plan.split.items():
        yield sample("expected_share_ratio", (model, version), share)
    for meaning, event in (("click", plan.clicks), ("conversion", plan.conversions)):
        if any(panel.business.seen(event) for panel in panels):
            yield sample("business_event_info", (model, event, meaning), 1.0)
    yield sample("label_maturity_seconds", (model,), plan.join.maturity)


def reference_samples(reference: Reference, hidden: Collection[str]) -> Iterator[Sample]:
    """The bins of a reference and what was in them, without the label `model`.

    `hidden`: features that do not fit on the page.
    """
    for name, feature in reference.watched.items():
        if name in hidden:
            continue
        total = float(feature.counts.sum())
        yield sample("feature_reference_observations", (name,), total)
        yield sample("feature_reference_missing_ratio", (name,), feature.missing_ratio)
        rows = {"feature_reference_ratio": feature.counts / total}
        if isinstance(feature, NumericReference):
            rows["feature_reference_below_ratio"] = below(feature.counts) / total
            rows["feature_reference_gap"] = feature.gaps
            rows["feature_reference_position"] = feature.positions
            yield sample("feature_reference_stddev", (name,), feature.stddev)
            for label in compress(feature.bins, feature.points):
                yield sample("feature_reference_point", (name, label), 1.0)
        for family, values in rows.items():
            for label, value in zip(feature.bins, values.tolist(), strict=True):
                yield sample(family, (name, label), value)


def waiting_samples(panel: Panel, pending: int) -> Iterator[Sample]:
    """Predictions of a version that wait for their labels, and the newest event times."""
    yield sample("label_join_pending", panel.key, float(pending))
    if panel.last_prediction is not None:
        yield sample("last_prediction_timestamp_seconds", panel.key, panel.last_prediction)
    if panel.last_label is not None:
        yield sample("last_label_timestamp_seconds", panel.key, panel.last_label)
