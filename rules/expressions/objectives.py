"""Service level objectives: failures and slow requests over the windows of burn rates."""

from __future__ import annotations

FACTS = """
# The bucket whose edge is the objective `latency_seconds`: a number becomes the label that exporters write.
model_le:mlcanary_objective_threshold:latency :=
    label_replace(
      count_values by (<model>) ("le", model_objective:mlcanary_objective_threshold:max{objective="latency_seconds"}),
      "le", "$1.0", "le", "([0-9]+)")
"""

RATES = """
# Requests, failures and durations over a window that no other file has.
model_version:mlcanary_predictions:rate<W> :=
    sum by (<version>) (rate(mlcanary_predictions_total[<W>]))
model_version:mlcanary_prediction_errors:rate<W> :=
    sum by (<version>) (rate(mlcanary_prediction_errors_total[<W>]))
    or model_version:mlcanary_predictions:rate<W> * 0
model_version:mlcanary_prediction_errors:ratio<W> :=
    model_version:mlcanary_prediction_errors:rate<W> / (model_version:mlcanary_predictions:rate<W> > 0)
model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W> :=
    sum by (<version>, le) (rate(mlcanary_prediction_latency_seconds_bucket[<W>]))
"""

SLOW = """
# Share of requests that took longer than the objective.
model_version:mlcanary_prediction_latency_seconds:slow_ratio<W> :=
    1
    - sum by (<version>) (
      model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>
      and on (<model>, le) model_le:mlcanary_objective_threshold:latency)
    / (sum by (<version>) (model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>{le="+Inf"}) > 0)
"""
