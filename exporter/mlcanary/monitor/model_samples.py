"""What belongs to a model, whatever its versions: thresholds, edges, shares, events and the reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import compress

from mlcanary.measures.contract import sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import NumericReference
from mlcanary.monitor.panel import Panel
from mlcanary.records import Sample
from mlcanary.stats.roc_auc import below


def model_samples(model: str, plan: ModelPlan, panels: Sequence[Panel], hidden: Collection[str]) -> Iterator[Sample]:
    """Samples of a model. `panels`: of its versions; `hidden`: features that do not fit on the page."""
    for objective, value in plan.thresholds().items():
        yield sample("objective_threshold", (model, objective), value)
    yield sample("bin_edges_info", (model, plan.edges), 1.0)
    for version, share in plan.split.items():
        yield sample("expected_share_ratio", (model, version), share)
    for meaning, event in (("click", plan.clicks), ("conversion", plan.conversions)):
        if any(panel.business.seen(event) for panel in panels):
            yield sample("business_event_info", (model, event, meaning), 1.0)
    yield sample("label_maturity_seconds", (model,), plan.join.maturity)
    if plan.reference is None:
        return
    for name, feature in plan.reference.watched.items():
        if name in hidden:
            continue
        total = float(feature.counts.sum())
        yield sample("feature_reference_observations", (model, name), total)
        yield sample("feature_reference_missing_ratio", (model, name), feature.missing_ratio)
        rows = {"feature_reference_ratio": feature.counts / total}
        if isinstance(feature, NumericReference):
            rows["feature_reference_below_ratio"] = below(feature.counts) / total
            rows["feature_reference_gap"] = feature.gaps
            rows["feature_reference_position"] = feature.positions
            yield sample("feature_reference_stddev", (model, name), feature.stddev)
            for label in compress(feature.bins, feature.points):
                yield sample("feature_reference_point", (model, name, label), 1.0)
        for family, values in rows.items():
            for label, value in zip(feature.bins, values.tolist(), strict=True):
                yield sample(family, (model, name, label), value)
