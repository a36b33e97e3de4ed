"""Gauges of a sidecar and the series that the shipped rules record from its counters tell the same figures."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mlcanary.catalog import BY_NAME
from mlcanary.monitor.monitor import Monitor
from mlcanary.records import ModelKey, Sample
from monitored_traffic import CANARY, STABLE, START, plan, traffic
from promtool_cases import case, check, expression, near, series_name

STEP, END = 15, 600

_VERSION, _FEATURE = "model_version:mlcanary_", "model_version_feature:mlcanary_feature"
RECORDED = {
    "mlcanary_window_accuracy_ratio": f"{_VERSION}labeled_predictions:accuracy5m",
    "mlcanary_window_auc_ratio": f"{_VERSION}labeled_score:auc5m",
    "mlcanary_window_auc_error_bound_ratio": f"{_VERSION}labeled_score:auc_error_bound5m",
    "mlcanary_window_average_precision_ratio": f"{_VERSION}labeled_score:average_precision5m",
    "mlcanary_window_average_precision_lower_ratio": f"{_VERSION}labeled_score:average_precision_lower5m",
    "mlcanary_window_average_precision_upper_ratio": f"{_VERSION}labeled_score:average_precision_upper5m",
    "mlcanary_window_score_ks_ratio": f"{_VERSION}labeled_score:ks5m",
    "mlcanary_window_score_ks_upper_bound_ratio": f"{_VERSION}labeled_score:ks_upper_bound5m",
    "mlcanary_window_calibration_error_ratio": f"{_VERSION}labeled_score:ece5m",
    "mlcanary_window_brier_score": f"{_VERSION}brier_score:mean5m",
    "mlcanary_window_f1_macro_ratio": f"{_VERSION}labeled_predictions:f1_macro5m",
    "mlcanary_window_f1_weighted_ratio": f"{_VERSION}labeled_predictions:f1_weighted5m",
    "mlcanary_window_balanced_accuracy_ratio": f"{_VERSION}labeled_predictions:balanced_accuracy5m",
    "mlcanary_window_matthews_correlation": f"{_VERSION}labeled_predictions:matthews5m",
    "mlcanary_window_lift_ratio": "model_version_class:mlcanary_labeled_predictions:lift5m",
    "mlcanary_window_log_loss_nats": f"{_VERSION}log_loss:mean5m",
    "mlcanary_window_labels": f"{_VERSION}labeled_predictions:count5m",
    "mlcanary_window_c2st_rows": f"{_VERSION}c2st:rows5m",
    "mlcanary_window_c2st_auc_ratio": f"{_VERSION}c2st:auc5m",
    "mlcanary_window_c2st_auc_critical_ratio": f"{_VERSION}c2st:auc_critical5m",
    "mlcanary_window_predictions_per_second": f"{_VERSION}predictions:rate5m",
    "mlcanary_window_feature_ks_ratio": f"{_FEATURE}:ks5m",
    "mlcanary_window_feature_ks_upper_bound_ratio": f"{_FEATURE}:ks_upper_bound5m",
    "mlcanary_window_feature_ks_critical_ratio": f"{_FEATURE}:ks_critical5m",
    "mlcanary_window_feature_chisquare": f"{_FEATURE}:chisquare5m",
    "mlcanary_window_feature_cramers_v_ratio": f"{_FEATURE}:cramers_v5m",
    "mlcanary_window_feature_total_variation_ratio": f"{_FEATURE}:total_variation5m",
    "mlcanary_window_feature_bin_zscore": f"{_FEATURE}:bin_zscore5m",
    "mlcanary_window_feature_psi": f"{_FEATURE}:psi5m",
    "mlcanary_window_feature_psi_expected": f"{_FEATURE}:psi_expected5m",
    "mlcanary_window_feature_le_cam_ratio": f"{_FEATURE}:le_cam5m",
    "mlcanary_window_feature_wasserstein": f"{_FEATURE}:wasserstein_raw5m",
    "mlcanary_window_feature_wasserstein_stddevs": f"{_FEATURE}:wasserstein5m",
    "mlcanary_window_feature_wasserstein_critical_stddevs": f"{_FEATURE}:wasserstein_critical5m",
    "mlcanary_window_feature_observations": f"{_FEATURE}_bin:count5m",
    "mlcanary_window_feature_missing_delta_ratio": f"{_FEATURE}_missing:delta5m",
    "mlcanary_window_feature_missing_zscore": f"{_FEATURE}_missing:zscore5m",
    "mlcanary_window_feature_missing_ratio": f"{_FEATURE}_missing:ratio5m",
    "mlcanary_window_precision_ratio": "model_version_class:mlcanary_labeled_predictions:precision5m",
    "mlcanary_window_recall_ratio": "model_version_class:mlcanary_labeled_predictions:recall5m",
    "mlcanary_window_conversion_per_prediction_ratio": f"{_VERSION}conversions:per_prediction5m",
    "mlcanary_window_gmv": f"{_VERSION}conversion_value:gmv5m",
    "mlcanary_window_value_per_prediction": f"{_VERSION}conversion_value:per_prediction5m",
    "mlcanary_window_revenue_per_mille": f"{_VERSION}conversion_value:per_mille5m",
    "mlcanary_window_f1_ratio": "model_version_class:mlcanary_labeled_predictions:f1_5m",
    "mlcanary_window_estimated_minus_actual_ratio": f"{_VERSION}estimated:minus_actual5m",
}
for _name in ("accuracy", "precision", "recall", "f1", "auc", "log_loss"):
    _unit = "nats" if _name == "log_loss" else "ratio"
    _short = "f1_" if _name == "f1" else _name
    RECORDED[f"mlcanary_window_estimated_{_name}_{_unit}"] = f"{_VERSION}estimated:{_short}5m"
    RECORDED[f"mlcanary_window_estimated_{_name}_error_{_unit}"] = f"{_VERSION}estimated:{_name}_error5m"
_OF_POSITIVE_CLASS = {f"mlcanary_window_{name}_ratio" for name in ("precision", "recall", "f1", "lift")}


def test_gauges_and_recorded_series_agree_on_one_sidecar(tmp_path: Path) -> None:
    records = traffic(2400, seconds=float(END))
    monitor = Monitor(plan(sample=400), START)
    series: dict[str, list[float | None]] = defaultdict(lambda: [None] * (END // STEP + 1))
    page: list[Sample] = []
    for tick in range(END // STEP + 1):
        now = START + STEP * tick
        due = [record for record in records if now - STEP < record.ts <= now]
        monitor.feed(due, now)
        monitor.advance(now, now)
        page = list(monitor.samples(now))
        for sample in page:
            spec = BY_NAME[sample.name]
            names = (*spec.labels, "le") if sample.suffix == "_bucket" else spec.labels
            labels = dict(zip(names, sample.labels, strict=True))
            if "window" not in labels:
                series[series_name(sample.name + sample.suffix, labels)][tick] = sample.value
    expected = []
    for sample in page:
        if sample.name in RECORDED and sample.labels[2] == "5m":
            labels = dict(zip(BY_NAME[sample.name].labels, sample.labels, strict=True))
            del labels["window"]
            if sample.name in _OF_POSITIVE_CLASS:
                labels["class"] = "1"
            wanted = series_name(RECORDED[sample.name], labels)
            told = near(f"vector(scalar({wanted}))", sample.value)
            expected.append((sample, expression(told, f"{END}s", ({}, 1.0))))
    for key in (STABLE, CANARY):
        _assert_complete(key, [sample for sample, _ in expected])
    check(tmp_path, "10m", [case(f"{STEP}s", series, [test for _, test in expected])])


def _assert_complete(key: ModelKey, compared: list[Sample]) -> None:
    """No figure may be missing from the comparison."""
    names = {sample.name for sample in compared if sample.labels[:2] == key}
    assert names == set(RECORDED)
    drift = {s.labels[3] for s in compared if s.labels[:2] == key and s.name.endswith("feature_ks_ratio")}
    assert drift == {"age", "balance", "prediction"}
