"""A finished log through the exporter's own code, on the time of its records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mlcanary.errors import InputError
from mlcanary.exposition.families import families
from mlcanary.exposition.text import TextRenderer
from mlcanary.formats.contract import Decoded
from mlcanary.inputs import Inputs
from mlcanary.late_labels import Late, LateLabels
from mlcanary.line_order import Backwards, LineOrder
from mlcanary.measures.feature_gauges import KINDS
from mlcanary.measures.features import FeatureMeasure
from mlcanary.monitor.monitor import Monitor
from mlcanary.monitor.panel import Panel
from mlcanary.records import ModelKey, Prediction, Reject
from mlcanary.settings import ExporterSettings
from mlcanary.stats.accumulator import Floats

_SIMPLE = {
    "mlcanary_window_predictions": "predictions",
    "mlcanary_window_labels": "labels",
    "mlcanary_window_accuracy_ratio": "accuracy",
    "mlcanary_window_precision_ratio": "precision",
    "mlcanary_window_recall_ratio": "recall",
    "mlcanary_window_f1_ratio": "f1",
    "mlcanary_window_auc_ratio": "auc",
    "mlcanary_window_auc_error_bound_ratio": "auc_error_bound",
    "mlcanary_window_log_loss_nats": "log_loss",
    "mlcanary_window_f1_macro_ratio": "f1_macro",
    "mlcanary_window_f1_weighted_ratio": "f1_weighted",
    "mlcanary_window_balanced_accuracy_ratio": "balanced_accuracy",
    "mlcanary_window_matthews_correlation": "matthews_correlation",
    "mlcanary_window_auc_macro_ratio": "auc_macro",
    "mlcanary_window_auc_macro_error_bound_ratio": "auc_macro_error_bound",
    "mlcanary_window_auc_weighted_ratio": "auc_weighted",
    "mlcanary_window_auc_weighted_error_bound_ratio": "auc_weighted_error_bound",
    "mlcanary_window_average_precision_ratio": "average_precision",
    "mlcanary_window_average_precision_lower_ratio": "average_precision_lower",
    "mlcanary_window_average_precision_upper_ratio": "average_precision_upper",
    "mlcanary_window_score_ks_ratio": "score_ks",
    "mlcanary_window_score_ks_upper_bound_ratio": "score_ks_upper_bound",
    "mlcanary_window_calibration_error_ratio": "calibration_error",
    "mlcanary_window_brier_score": "brier_score",
    "mlcanary_window_lift_ratio": "lift",
    "mlcanary_window_mean_absolute_error": "mae",
    "mlcanary_window_mean_squared_error": "mse",
    "mlcanary_window_root_mean_squared_error": "rmse",
    "mlcanary_window_bias": "bias",
    "mlcanary_window_r2_ratio": "r2",
    "mlcanary_window_quantile_loss": "quantile_loss",
    "mlcanary_window_reciprocal_rank_ratio": "mrr",
}
_BY_RANK = {
    "mlcanary_window_ndcg_ratio": "ndcg",
    "mlcanary_window_recall_at_ratio": "recall",
    "mlcanary_window_hit_ratio": "hit",
    "mlcanary_window_precision_at_ratio": "precision",
}
_BY_FEATURE = {
    "mlcanary_window_feature_ks_ratio": "feature_ks",
    "mlcanary_window_feature_ks_upper_bound_ratio": "feature_ks_upper_bound",
    "mlcanary_window_feature_ks_pvalue": "feature_ks_pvalue",
    "mlcanary_window_feature_ks_critical_ratio": "feature_ks_critical",
    "mlcanary_window_feature_psi": "feature_psi",
    "mlcanary_window_feature_psi_critical": "feature_psi_critical",
    "mlcanary_window_feature_missing_ratio": "feature_missing",
    "mlcanary_window_feature_missing_delta_ratio": "feature_missing_delta",
    "mlcanary_window_feature_missing_zscore": "feature_missing_zscore",
    "mlcanary_window_feature_mistyped_ratio": "feature_mistyped",
    "mlcanary_window_feature_unseen_ratio": "feature_unseen",
    "mlcanary_window_feature_bin_zscore": "feature_bin_zscore",
    "mlcanary_window_feature_bin_zscore_critical": "feature_bin_zscore_critical",
    "mlcanary_window_feature_observations": "feature_observations",
}
_BY_CLASS = {
    "mlcanary_window_class_precision_ratio": "class_precision",
    "mlcanary_window_class_recall_ratio": "class_recall",
    "mlcanary_window_class_f1_ratio": "class_f1",
    "mlcanary_window_class_auc_ratio": "class_auc",
    "mlcanary_window_class_auc_error_bound_ratio": "class_auc_error_bound",
}
_BY_NAME = _BY_FEATURE | _BY_CLASS


@dataclass
class Replay:
    """What a whole log came to. `text` is the page at its end, with the window `all`.

    `examples`: what was wrong with the first line rejected for a reason, by reason; it holds text of the log.
    `unmatched`: labels that met no prediction; `late`: those among them whose prediction was forgotten, by model.
    `backwards`: predictions out of the order of time, None if they are few.
    """

    lines: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unmatched: float = 0.0
    late: dict[str, Late] = field(default_factory=dict)
    backwards: Backwards | None = None
    versions: dict[ModelKey, dict[str, Any]] = field(default_factory=dict)
    text: str = ""


def replay(
    settings: ExporterSettings, now: float, progress: Callable[[int, float], None] = lambda _lines, _done: None
) -> Replay:
    """Read every log to its end and decide every join. `now`: Unix seconds, bounds times in the future.

    `progress` is told the lines read and the share of bytes done. Bad lines are counted; a log that cannot be read
    at all raises InputError.
    """
    result = Replay()
    monitor = whole_log_monitor(settings)
    source, labels = Inputs(settings, complete=True), late_labels(monitor)
    event_time: dict[str, float] = {}
    order, clock = LineOrder(), -math.inf
    try:
        while (block := source.read(event_time)) is not None:
            decoded = source.decode(block, now)
            reached = event_time.get(block.source, -math.inf)
            newest = decoded.reached(now)
            event_time[block.source] = max(reached, newest)
            clock = max(clock, newest)
            order.read(block.source, _asked_at(decoded, now))
            labels.see(decoded.records, decoded.predictions, decoded.labels)
            monitor.feed(decoded.records, clock, decoded.predictions, decoded.labels)
            monitor.advance(reached, clock)
            result.lines += decoded.lines
            result.rejected.update(reject.reason for reject in decoded.rejects)
            note_examples(result.examples, decoded.rejects)
            progress(result.lines, share_read(source))
        result.rejected.update(oversized(source))
    finally:
        source.close()
    result.backwards = order.backwards
    conclude(result, monitor, labels, clock if math.isfinite(clock) else now)
    return result


def _asked_at(decoded: Decoded, now: float) -> list[Floats]:
    """Times of the predictions of a block that told one, in the order of their lines as far as columns keep it."""
    single = np.array([record.ts for record in decoded.records if isinstance(record, Prediction)])
    return [times[times != now] for times in (single, *(batch.ts for batch in decoded.predictions))]


def note_examples(examples: dict[str, str], rejects: Iterable[Reject]) -> None:
    """Keep what was wrong with the first of each reason."""
    for reject in rejects:
        examples.setdefault(reject.reason, reject.detail)


def whole_log_monitor(settings: ExporterSettings) -> Monitor:
    """A monitor that forgets nothing and has no windows: those are for what goes on."""
    return Monitor(replace(settings.plan, windows=(), version_retention=math.inf), -math.inf)


def share_read(source: Inputs) -> float:
    """Part of the bytes that were read."""
    status = source.status()
    read = sum(s.bytes_read for s in status)
    return read / max(1, read + sum(s.lag_bytes for s in status))


def oversized(source: Inputs) -> Counter[str]:
    """Lines that were too long, once all logs are read. Raises InputError if one could not be read at all."""
    found: Counter[str] = Counter()
    for log in source.status():
        if not log.up:
            raise InputError(f"{log.source}: cannot be read: {log.error}", hint="check --log.path")
        if log.oversized_lines:
            found["too_long"] += log.oversized_lines
    return found


def late_labels(monitor: Monitor) -> LateLabels:
    """Counts labels that come after what this monitor remembers."""
    return LateLabels(lambda model: monitor.plan.model(model).join.memory)


def conclude(result: Replay, monitor: Monitor, labels: LateLabels, clock: float) -> None:
    """The log is finished: whatever has not come never will. Fills in the figures."""
    monitor.advance(math.inf, clock)
    monitor.flush()
    result.unmatched = monitor.unmatched.total()
    result.late = labels.late(result.unmatched)
    result.versions = {key: _figures(panel) for key, panel in sorted(monitor.panels.items())}
    totals = [sample for panel in monitor.panels.values() for sample in panel.totals()]
    text, _ = TextRenderer().render(families([*monitor.samples(clock), *totals]))
    result.text = text.decode()


def _figures(panel: Panel) -> dict[str, Any]:
    """Every estimate over the whole log, by name."""
    found: dict[str, Any] = {}
    for sample in panel.totals():
        if sample.name in _SIMPLE:
            found[_SIMPLE[sample.name]] = sample.value
        elif sample.name in _BY_RANK:
            found[f"{_BY_RANK[sample.name]}@{sample.labels[-1]}"] = sample.value
        elif sample.name in _BY_NAME:
            found.setdefault(_BY_NAME[sample.name], {})[sample.labels[-1]] = sample.value
    if {"precision", "recall", "f1"} & found.keys():
        classes = [name for figure in _BY_CLASS.values() for name in found.get(figure, {})]
        found["positive_class"] = next(name for name in classes if panel.plan.is_positive(name))
    outcomes = panel.outcomes.parts
    found |= _of_the_schema(panel)
    found["label_joins"] = {name: count for (name,), count in outcomes["joins"].items()}
    found.setdefault("labels", found["label_joins"]["matched"])
    found["duplicate_predictions"] = outcomes["duplicates"].total()
    found["events"] = {name: count for (name,), count in panel.business.parts["events"].items()}
    return found


def _of_the_schema(panel: Panel) -> dict[str, Any]:
    """Values of mistyped features by kind, and records with a feature that the reference does not have, if any."""
    measure = next(m for m in panel.counters.measures if isinstance(m, FeatureMeasure))
    values = measure.parts["values"]
    wrong = [name for name in values.names if values.get(name, "mistyped") > 0] if panel.plan.reference else []
    kinds = {name: {kind: n for kind in KINDS if (n := values.get(name, kind))} for name in wrong}
    new = {name: count for (name,), count in measure.parts["unexpected"].items() if count}
    return ({"feature_kinds": kinds} if kinds else {}) | ({"features_not_in_the_reference": new} if new else {})
