"""Requests, failures, latency, waiting."""

TEXT = """
# Requests per second, failed ones included, and the version's share of its model.
model_version:mlcanary_predictions:rate<W> :=
    sum by (<version>) (rate(mlcanary_predictions_total[<W>]))
model_version:mlcanary_predictions:share<W> :=
    model_version:mlcanary_predictions:rate<W>
    / on (<model>) group_left () (sum by (<model>) (model_version:mlcanary_predictions:rate<W>) > 0)
# A reason is exported from its first failure on: no series of errors means no errors.
model_version:mlcanary_prediction_errors:rate<W> :=
    sum by (<version>) (rate(mlcanary_prediction_errors_total[<W>]))
    or model_version:mlcanary_predictions:rate<W> * 0
model_version:mlcanary_prediction_errors:ratio<W> :=
    model_version:mlcanary_prediction_errors:rate<W> / (model_version:mlcanary_predictions:rate<W> > 0)
model_version_reason:mlcanary_prediction_errors:ratio<W> :=
    sum by (<version>, reason) (rate(mlcanary_prediction_errors_total[<W>]))
    / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
# Latency; `>= 0` drops the NaN of a window without requests.
model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W> :=
    sum by (<version>, le) (rate(mlcanary_prediction_latency_seconds_bucket[<W>]))
model_version:mlcanary_prediction_latency_seconds:p50_<W> :=
    histogram_quantile(0.50, model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>) >= 0
model_version:mlcanary_prediction_latency_seconds:p95_<W> :=
    histogram_quantile(0.95, model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>) >= 0
model_version:mlcanary_prediction_latency_seconds:p99_<W> :=
    histogram_quantile(0.99, model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>) >= 0
# Waiting, the part of the latency before the model begins; only where the log has it.
model_version_le:mlcanary_prediction_queue_seconds_bucket:rate<W> :=
    sum by (<version>, le) (rate(mlcanary_prediction_queue_seconds_bucket[<W>]))
model_version:mlcanary_prediction_queue_seconds:p50_<W> :=
    histogram_quantile(0.50, model_version_le:mlcanary_prediction_queue_seconds_bucket:rate<W>) >= 0
model_version:mlcanary_prediction_queue_seconds:p95_<W> :=
    histogram_quantile(0.95, model_version_le:mlcanary_prediction_queue_seconds_bucket:rate<W>) >= 0
"""
