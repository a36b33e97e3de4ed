"""Figures per segment of the traffic: the same families as for the whole, by segment and value.

Rows are derived from those of the whole, so that a figure is defined once.
"""

from __future__ import annotations

from dataclasses import replace

from mlcanary.catalog import business, quality, ranking, regression, score, traffic
from mlcanary.catalog.spec import Group, Indicator, MetricSpec

_WHOLE_ONLY = frozenset(
    {
        "mlcanary_model_info",
        "mlcanary_prediction_latency_seconds",
        "mlcanary_prediction_queue_seconds",
        "mlcanary_duplicate_predictions_total",
        "mlcanary_last_prediction_timestamp_seconds",
        "mlcanary_window_latency_seconds",
        "mlcanary_window_queue_seconds",
        "mlcanary_window_undefined",
    }
)


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
    if row.labels[:2] == ("model", "version") and row.name not in _WHOLE_ONLY
)
RENAMED: dict[str, str] = {row.name: _segmented(row).name for row in _BASE}
"""Families of a segment by the family of the whole."""

ROWS: tuple[MetricSpec, ...] = tuple(map(_segmented, _BASE))

INDICATORS: tuple[Indicator, ...] = ()
