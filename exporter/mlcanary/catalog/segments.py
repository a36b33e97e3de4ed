"""Figures per segment of the traffic: the same families as for the whole, by segment and value.

Rows are derived from those of the whole, so that a figure is defined once.
"""

from __future__ import annotations

from dataclasses import replace

from mlcanary.catalog import business, quality, ranking, regression, score, traffic
from mlcanary.catalog.spec import Group, Indicator, MetricSpec

_COUNTERS = (
    "predictions_total",
    "prediction_errors_total",
    "labeled_predictions_total",
    "labeled_score_bin_total",
    "labeled_score_below_total",
    "log_loss",
    "brier_score",
    "residual_observations_total",
    "residual_absolute_total",
    "residual_squares_total",
    "ranking_requests_total",
    "ranking_figure_total",
    "business_events_total",
    "business_value_total",
)
_GAUGES = (
    "predictions",
    "predictions_per_second",
    "prediction_errors_ratio",
    "labels",
    "accuracy_ratio",
    "precision_ratio",
    "recall_ratio",
    "f1_ratio",
    "f1_macro_ratio",
    "balanced_accuracy_ratio",
    "auc_ratio",
    "auc_error_bound_ratio",
    "log_loss_nats",
    "brier_score",
    "mean_absolute_error",
    "root_mean_squared_error",
    "bias",
    "ndcg_ratio",
    "recall_at_ratio",
    "hit_ratio",
    "precision_at_ratio",
    "reciprocal_rank_ratio",
    "ctr_ratio",
    "cvr_ratio",
    "conversion_per_prediction_ratio",
    "value_per_prediction",
)
_NAMES = {*(f"mlcanary_{name}" for name in _COUNTERS), *(f"mlcanary_window_{name}" for name in _GAUGES)}


def _segmented(row: MetricSpec) -> MetricSpec:
    common = 3 if row.group is Group.WINDOW else 2
    name = row.name.replace("mlcanary_window_", "mlcanary_window_segment_")
    if name == row.name:
        name = row.name.replace("mlcanary_", "mlcanary_segment_")
    labels = (*row.labels[:common], "segment", "value", *row.labels[common:])
    return replace(row, name=name, labels=labels, help=f"Per segment: {row.help}")


_BASE = tuple(
    row
    for concern in (traffic, quality, score, regression, ranking, business)
    for row in concern.ROWS
    if row.name in _NAMES
)
RENAMED: dict[str, str] = {row.name: _segmented(row).name for row in _BASE}
"""Families of a segment by the family of the whole."""

ROWS: tuple[MetricSpec, ...] = tuple(map(_segmented, _BASE))

_S = "model_version_segment_value"
_SAME = "as for the whole, over the rows of the segment"


def _indicator(figure: str, metric: str, *recorded: str) -> Indicator:
    exact = "bound: `window_segment_auc_error_bound_ratio`" if figure == "AUC" else "exact"
    return Indicator(f"{figure} per segment", f"window_segment_{metric}", recorded, exact, _SAME)


INDICATORS: tuple[Indicator, ...] = (
    _indicator("requests", "predictions_per_second", f"{_S}:mlcanary_segment_predictions:rate<W>"),
    _indicator("errors", "prediction_errors_ratio", f"{_S}:mlcanary_segment_prediction_errors:ratio<W>"),
    _indicator("labels", "labels", f"{_S}:mlcanary_segment_labeled_predictions:count<W>"),
    _indicator("accuracy", "accuracy_ratio", f"{_S}:mlcanary_segment_labeled_predictions:accuracy<W>"),
    _indicator("precision", "precision_ratio", f"{_S}_class:mlcanary_segment_labeled_predictions:precision<W>"),
    _indicator("recall", "recall_ratio", f"{_S}_class:mlcanary_segment_labeled_predictions:recall<W>"),
    _indicator("F1", "f1_ratio", f"{_S}_class:mlcanary_segment_labeled_predictions:f1_<W>"),
    _indicator("macro F1", "f1_macro_ratio", f"{_S}:mlcanary_segment_labeled_predictions:f1_macro<W>"),
    _indicator(
        "balanced accuracy",
        "balanced_accuracy_ratio",
        f"{_S}:mlcanary_segment_labeled_predictions:balanced_accuracy<W>",
    ),
    _indicator(
        "AUC",
        "auc_ratio",
        f"{_S}:mlcanary_segment_labeled_score:auc<W>",
        f"{_S}:mlcanary_segment_labeled_score:auc_error_bound<W>",
    ),
    _indicator("log loss", "log_loss_nats", f"{_S}:mlcanary_segment_log_loss:mean<W>"),
    _indicator("Brier score", "brier_score", f"{_S}:mlcanary_segment_brier_score:mean<W>"),
    _indicator("mean absolute error", "mean_absolute_error", f"{_S}:mlcanary_segment_residual:mae<W>"),
    _indicator("root mean squared error", "root_mean_squared_error", f"{_S}:mlcanary_segment_residual:rmse<W>"),
    _indicator("bias", "bias", f"{_S}:mlcanary_segment_residual:bias<W>"),
    _indicator("ranking figures", "ndcg_ratio", f"{_S}_figure_k:mlcanary_segment_ranking_figure:mean<W>"),
    _indicator("CTR", "ctr_ratio", f"{_S}:mlcanary_segment_clicks:ctr<W>"),
    _indicator("CVR", "cvr_ratio", f"{_S}:mlcanary_segment_conversions:cvr<W>"),
    _indicator(
        "conversions per request",
        "conversion_per_prediction_ratio",
        f"{_S}:mlcanary_segment_conversions:per_prediction<W>",
    ),
    _indicator("GMV per request", "value_per_prediction", f"{_S}:mlcanary_segment_conversion_value:per_prediction<W>"),
)
