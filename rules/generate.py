"""Writes `canary.recording.yml` next to itself: `python rules/generate.py`. A test demands an empty diff.

The rules are written once, below, and expanded for each window. In the text, `NAME := EXPRESSION` is one
recorded series; `<W>` is the window, `<S>` its seconds; the other `<...>` are the words of `WORDS`.

Laws that every expression keeps
- Counters of all sidecars are summed before anything is divided: a ratio is never averaged.
- A divisor passes `> 0` first: without data there is no series, never NaN and never 0.
- A variance is clamped at 0: rounding takes it a little below where all values are alike, and its root would be NaN.
- A z-score may be infinite, a difference without any noise. `>= -Inf` drops NaN, which is 0/0: nothing differs.
- Both sides of a comparison are aggregated to the labels that are matched, so that two sidecars which
  disagree on a role cannot abort the rule for every model.
- Only what Prometheus 2.42 knows.

A little over 400 lines on purpose: it is one list of expressions, read from top to bottom as they are evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

WINDOWS: Mapping[str, int] = {"5m": 300, "1h": 3600}
"""Windows and their seconds. A window more is one entry more here."""

WORDS: Mapping[str, str] = {
    "<version>": "cluster, namespace, model, version",
    "<model>": "cluster, namespace, model",
    "<canary>": 'and on (cluster, namespace, model, version) mlcanary_model_info{role="canary"}',
    "<baseline>": 'and on (cluster, namespace, model, version) mlcanary_model_info{role="baseline"}',
    "<reference>": "on (cluster, namespace, model, feature, bin) group_left ()",
    "<limit>": "on (cluster, namespace, model) group_left () model_objective:mlcanary_objective_threshold:max",
}

FACTS = """
# Limits. Where sidecars disagree the larger counts: more labels wanted, more difference allowed.
model_objective:mlcanary_objective_threshold:max :=
    max by (<model>, objective) (mlcanary_objective_threshold)
# More than 1 role: the configuration of two sidecars disagrees, and nothing is compared.
model_version:mlcanary_model_info:roles :=
    count by (<version>) (group by (<version>, role) (mlcanary_model_info))
# More than 1 hash: bins of different edges; AUC and drift mean nothing until all sidecars agree.
model:mlcanary_bin_edges_info:hashes :=
    count by (<model>) (group by (<model>, edges) (mlcanary_bin_edges_info))
# The models that an exporter has measured in the last hour, for alerts about the exporter.
instance_model:mlcanary_model_info:last1h :=
    group by (<model>, job, instance) (last_over_time(mlcanary_model_info[1h]))
# Seconds since the last prediction, while it is within a day. `rate5m` sees one for 300 s, so it begins there.
model_version:mlcanary_predictions:silence1d :=
    time() - max_over_time(timestamp(model_version:mlcanary_predictions:rate5m > 0)[1d:1m]) + 300
# The reference profile; every sidecar publishes the same one.
model_feature_bin:mlcanary_feature_reference_ratio:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_ratio)
model_feature_bin:mlcanary_feature_reference_below_ratio:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_below_ratio)
model_feature_bin:mlcanary_feature_reference_gap:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_gap)
model_feature:mlcanary_feature_reference_observations:max :=
    max by (<model>, feature) (mlcanary_feature_reference_observations)
"""

TRAFFIC = """
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
# Latency; `>= 0` drops the NaN of a window without requests.
model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W> :=
    sum by (<version>, le) (rate(mlcanary_prediction_latency_seconds_bucket[<W>]))
model_version:mlcanary_prediction_latency_seconds:p50_<W> :=
    histogram_quantile(0.50, model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>) >= 0
model_version:mlcanary_prediction_latency_seconds:p95_<W> :=
    histogram_quantile(0.95, model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>) >= 0
model_version:mlcanary_prediction_latency_seconds:p99_<W> :=
    histogram_quantile(0.99, model_version_le:mlcanary_prediction_latency_seconds_bucket:rate<W>) >= 0
"""

QUALITY = """
# Confusion matrix, any number of classes. Relabelling actual to predicted picks the diagonal.
model_version_actual_predicted:mlcanary_labeled_predictions:rate<W> :=
    sum by (<version>, actual, predicted) (rate(mlcanary_labeled_predictions_total[<W>]))
model_version_class:mlcanary_labeled_predictions_actual:rate<W> :=
    sum by (<version>, class) (label_replace(
      model_version_actual_predicted:mlcanary_labeled_predictions:rate<W>, "class", "$1", "actual", "(.*)"))
model_version_class:mlcanary_labeled_predictions_predicted:rate<W> :=
    sum by (<version>, class) (label_replace(
      model_version_actual_predicted:mlcanary_labeled_predictions:rate<W>, "class", "$1", "predicted", "(.*)"))
model_version_class:mlcanary_labeled_predictions_correct:rate<W> :=
    sum by (<version>, class) (label_replace(
      model_version_actual_predicted:mlcanary_labeled_predictions:rate<W>
      and on (<version>, actual, predicted) label_replace(
        sum without (predicted) (model_version_actual_predicted:mlcanary_labeled_predictions:rate<W>),
        "predicted", "$1", "actual", "(.*)"),
      "class", "$1", "actual", "(.*)"))
# Labelled predictions in the window; 0 where predictions are made and no label comes.
model_version:mlcanary_labeled_predictions:count<W> :=
    sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) * <S>
    or model_version:mlcanary_predictions:rate<W> * 0
model_version:mlcanary_labeled_predictions:accuracy<W> :=
    sum without (class) (model_version_class:mlcanary_labeled_predictions_correct:rate<W>)
    / (sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) > 0)
model_version:mlcanary_labeled_predictions:accuracy_stderr<W> :=
    sqrt(clamp_min(
      model_version:mlcanary_labeled_predictions:accuracy<W>
      * (1 - model_version:mlcanary_labeled_predictions:accuracy<W>)
      / (model_version:mlcanary_labeled_predictions:count<W> > 0), 0))
model_version_class:mlcanary_labeled_predictions:precision<W> :=
    model_version_class:mlcanary_labeled_predictions_correct:rate<W>
    / (model_version_class:mlcanary_labeled_predictions_predicted:rate<W> > 0)
model_version_class:mlcanary_labeled_predictions:recall<W> :=
    model_version_class:mlcanary_labeled_predictions_correct:rate<W>
    / (model_version_class:mlcanary_labeled_predictions_actual:rate<W> > 0)
model_version_class:mlcanary_labeled_predictions:f1_<W> :=
    2 * model_version_class:mlcanary_labeled_predictions_correct:rate<W>
    / (model_version_class:mlcanary_labeled_predictions_actual:rate<W>
      + model_version_class:mlcanary_labeled_predictions_predicted:rate<W> > 0)
# Log loss.
model_version:mlcanary_log_loss:mean<W> :=
    sum by (<version>) (rate(mlcanary_log_loss_sum[<W>]))
    / (sum by (<version>) (rate(mlcanary_log_loss_count[<W>])) > 0)
model_version:mlcanary_log_loss:mean_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>) (rate(mlcanary_log_loss_squares_total[<W>]))
        / (sum by (<version>) (rate(mlcanary_log_loss_count[<W>])) > 0)
        - model_version:mlcanary_log_loss:mean<W> ^ 2)
      / (sum by (<version>) (rate(mlcanary_log_loss_count[<W>])) * <S> - 1 > 0), 0))
# Share of decided predictions that got their label in time.
model_version:mlcanary_label_joins:coverage<W> :=
    (sum by (<version>) (rate(mlcanary_label_joins_total{result="matched"}[<W>]))
      or sum by (<version>) (rate(mlcanary_label_joins_total[<W>])) * 0)
    / (sum by (<version>) (rate(mlcanary_label_joins_total{result=~"matched|expired|evicted"}[<W>])) > 0)
"""

SCORE = """
# AUC is the sum over bins of positives in the bin * (negatives below it + half of those in it).
model_version_actual_bin:mlcanary_labeled_score_bin:rate<W> :=
    sum by (<version>, actual, bin) (rate(mlcanary_labeled_score_bin_total[<W>]))
model_version_actual_bin:mlcanary_labeled_score_below:rate<W> :=
    sum by (<version>, actual, bin) (rate(mlcanary_labeled_score_below_total[<W>]))
model_version_actual:mlcanary_labeled_score_bin:rate<W> :=
    sum without (bin) (model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>)
model_version:mlcanary_labeled_score:auc<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) (
        model_version_actual_bin:mlcanary_labeled_score_below:rate<W>{actual="negative"}
        + model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="negative"} / 2))
    / (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} > 0)
# Pairs inside a bin are unknown, so the exact AUC lies within this distance.
model_version:mlcanary_labeled_score:auc_error_bound<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="negative"}) / 2
    / (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} > 0)
model_version_actual_bin:mlcanary_labeled_score_below:ratio_rate<W> :=
    model_version_actual_bin:mlcanary_labeled_score_below:rate<W>
    / ignoring (bin) group_left () (model_version_actual:mlcanary_labeled_score_bin:rate<W> > 0)
model_version:mlcanary_labeled_score:ks<W> :=
    max without (bin) (abs(
      model_version_actual_bin:mlcanary_labeled_score_below:ratio_rate<W>{actual="positive"}
      - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_below:ratio_rate<W>{actual="negative"}))
# Standard error of AUC after DeLong: the variance of the placements of each class.
model_version_actual_bin:mlcanary_labeled_score:placement<W> :=
    model_version_actual_bin:mlcanary_labeled_score_below:ratio_rate<W>
    + model_version_actual_bin:mlcanary_labeled_score_bin:rate<W> / 2
      / ignoring (bin) group_left () (model_version_actual:mlcanary_labeled_score_bin:rate<W> > 0)
model_version:mlcanary_labeled_score:auc_stderr<W> :=
    sqrt(clamp_min(
      (sum without (bin) (
          model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
          * ignoring (actual) model_version_actual_bin:mlcanary_labeled_score:placement<W>{actual="negative"} ^ 2)
        / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} > 0)
        - model_version:mlcanary_labeled_score:auc<W> ^ 2)
      / ignoring (actual) (
        model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} * <S> - 1 > 0)
      + (sum without (bin) (
          model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="negative"}
          * ignoring (actual) (1 - model_version_actual_bin:mlcanary_labeled_score:placement<W>{actual="positive"}) ^ 2)
        / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} > 0)
        - model_version:mlcanary_labeled_score:auc<W> ^ 2)
      / ignoring (actual) (
        model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} * <S> - 1 > 0), 0))
model_version_actual_bin:mlcanary_labeled_score_from:rate<W> :=
    model_version_actual:mlcanary_labeled_score_bin:rate<W>
    - ignoring (bin) group_right () model_version_actual_bin:mlcanary_labeled_score_below:rate<W>
model_version:mlcanary_labeled_score:average_precision<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * model_version_actual_bin:mlcanary_labeled_score_from:rate<W>{actual="positive"}
      / ignoring (actual) (
        sum without (actual) (model_version_actual_bin:mlcanary_labeled_score_from:rate<W>) > 0))
    / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} > 0)
# Expected calibration error over the score bins.
model_version:mlcanary_labeled_score:ece<W> :=
    sum without (bin) (abs(
      sum by (<version>, bin) (rate(mlcanary_labeled_score_bin_score_total[<W>]))
      - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}))
    / (sum without (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>) > 0)
"""

DRIFT = """
# Drift against the reference profile. PSI and chi-square serve numeric and categorical features alike.
model_version_feature_bin:mlcanary_feature_bin:rate<W> :=
    sum by (<version>, feature, bin) (rate(mlcanary_feature_bin_total[<W>]))
model_version_feature:mlcanary_feature_bin:rate<W> :=
    sum without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>)
model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> :=
    model_version_feature_bin:mlcanary_feature_bin:rate<W>
    / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature_bin:mlcanary_feature_below:ratio_rate<W> :=
    sum by (<version>, feature, bin) (rate(mlcanary_feature_below_total[<W>]))
    / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature:mlcanary_feature:psi<W> :=
    sum without (bin) (
      (clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        - <reference> clamp_min(model_feature_bin:mlcanary_feature_reference_ratio:max, 1e-4))
      * ln(clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        / <reference> clamp_min(model_feature_bin:mlcanary_feature_reference_ratio:max, 1e-4)))
model_version_feature:mlcanary_feature:ks<W> :=
    max without (bin) (abs(
      model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
      - <reference> model_feature_bin:mlcanary_feature_reference_below_ratio:max))
# In reference standard deviations: bins have one representative each, so read it as a trend.
model_version_feature:mlcanary_feature:wasserstein<W> :=
    sum without (bin) (
      abs(
        model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
        - <reference> model_feature_bin:mlcanary_feature_reference_below_ratio:max)
      * <reference> model_feature_bin:mlcanary_feature_reference_gap:max)
model_version_feature:mlcanary_feature:chisquare<W> :=
    sum without (bin) (
      (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
        - <reference> model_feature_bin:mlcanary_feature_reference_ratio:max) ^ 2
      / <reference> (model_feature_bin:mlcanary_feature_reference_ratio:max > 0))
    * (model_version_feature:mlcanary_feature_bin:rate<W> * <S>)
# What chi-square exceeds once in 1e5 windows without drift (Wilson and Hilferty), and PSI accordingly:
# PSI / (1/n + 1/n_reference) is about chi-square with bins - 1 degrees of freedom.
model_version_feature:mlcanary_feature:chisquare_critical<W> :=
    (count without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>) - 1)
    * (1
      - 2 / (9 * (count without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>) - 1 > 0))
      + 4.2649 * sqrt(
        2 / (9 * (count without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>) - 1 > 0)))) ^ 3
model_version_feature:mlcanary_feature:psi_critical<W> :=
    model_version_feature:mlcanary_feature:chisquare_critical<W>
    * (1 / (model_version_feature:mlcanary_feature_bin:rate<W> * <S> > 0)
      + on (<model>, feature) group_left () 1 / (model_feature:mlcanary_feature_reference_observations:max > 0))
# The canary's features against the live baseline's, where the world itself may have moved.
model_version_feature:mlcanary_feature:psi_baseline<W> :=
    sum without (bin) (
      (clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> <canary>, 1e-4)
        - <reference> clamp_min(
          max by (<model>, feature, bin) (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> <baseline>),
          1e-4))
      * ln(clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        / <reference> clamp_min(
          max by (<model>, feature, bin) (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> <baseline>),
          1e-4)))
# Share of answered requests that lack the feature.
model_version_feature:mlcanary_feature_missing:ratio<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_missing_total[<W>]))
    / on (<version>) group_left () (
      model_version:mlcanary_predictions:rate<W> - model_version:mlcanary_prediction_errors:rate<W> > 0)
"""

BUSINESS = """
# Outcomes and money per answered or failed request: a version that fails also sells nothing.
model_version_event:mlcanary_business_events:per_prediction<W> :=
    sum by (<version>, event) (rate(mlcanary_business_events_total[<W>]))
    / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
model_version_event:mlcanary_business_value:mean<W> :=
    (sum by (<version>, event) (rate(mlcanary_business_value_total{sign="positive"}[<W>]))
      - sum by (<version>, event) (rate(mlcanary_business_value_total{sign="negative"}[<W>])))
    / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
model_version_event:mlcanary_business_value:mean_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>, event) (rate(mlcanary_business_value_squares_total[<W>]))
        / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
        - model_version_event:mlcanary_business_value:mean<W> ^ 2)
      / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> * <S> - 1 > 0), 0))
"""

COMPARISON = """
# Canary minus live baseline, and the difference in standard errors.
model_version:mlcanary_labeled_predictions:accuracy_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_predictions:accuracy<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_labeled_predictions:accuracy<W> <baseline>)
model_version:mlcanary_labeled_predictions:accuracy_zscore<W> :=
    model_version:mlcanary_labeled_predictions:accuracy_delta<W>
    / sqrt(model_version:mlcanary_labeled_predictions:accuracy_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_labeled_predictions:accuracy_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_labeled_score:auc_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_score:auc<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_labeled_score:auc<W> <baseline>)
# The most that the exact difference can be: below zero, the canary ranks worse whatever the bins hide.
model_version:mlcanary_labeled_score:auc_delta_upper<W> :=
    model_version:mlcanary_labeled_score:auc_delta<W> + model_version:mlcanary_labeled_score:auc_error_bound<W>
    + on (<model>) group_left ()
      max by (<model>) (model_version:mlcanary_labeled_score:auc_error_bound<W> <baseline>)
model_version:mlcanary_labeled_score:auc_zscore<W> :=
    model_version:mlcanary_labeled_score:auc_delta<W>
    / sqrt(model_version:mlcanary_labeled_score:auc_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_labeled_score:auc_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_log_loss:mean_delta<W> :=
    max by (<version>) (model_version:mlcanary_log_loss:mean<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_log_loss:mean<W> <baseline>)
model_version:mlcanary_log_loss:mean_zscore<W> :=
    model_version:mlcanary_log_loss:mean_delta<W>
    / sqrt(model_version:mlcanary_log_loss:mean_stderr<W> ^ 2
      + on (<model>) group_left () max by (<model>) (model_version:mlcanary_log_loss:mean_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_prediction_errors:ratio_delta<W> :=
    max by (<version>) (model_version:mlcanary_prediction_errors:ratio<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_prediction_errors:ratio<W> <baseline>)
# Two proportions, pooled: the share of failures of canary and baseline together. Where nothing or everything fails
# on both sides, `> 0` ends the series: a ratio extrapolated a little beyond 1 must not become an infinite z-score.
model_version:mlcanary_prediction_errors:pooled_ratio<W> :=
    (max by (<version>) (model_version:mlcanary_prediction_errors:rate<W> <canary>)
      + on (<model>) group_left () sum by (<model>) (model_version:mlcanary_prediction_errors:rate<W> <baseline>))
    / (max by (<version>) (model_version:mlcanary_predictions:rate<W> <canary>)
      + on (<model>) group_left () sum by (<model>) (model_version:mlcanary_predictions:rate<W> <baseline>) > 0)
model_version:mlcanary_prediction_errors:ratio_zscore<W> :=
    model_version:mlcanary_prediction_errors:ratio_delta<W>
    / sqrt(
      model_version:mlcanary_prediction_errors:pooled_ratio<W>
      * (1 - model_version:mlcanary_prediction_errors:pooled_ratio<W>)
      * (1 / (model_version:mlcanary_predictions:rate<W> * <S> > 0)
        + on (<model>) group_left ()
          1 / (sum by (<model>) (model_version:mlcanary_predictions:rate<W> <baseline>) * <S> > 0))
      > 0)
# Who may be compared: a canary and its baseline, each with enough labels and label coverage, roles undisputed.
model_version:mlcanary_labeled_predictions:measurable<W> :=
    model_version:mlcanary_labeled_predictions:count<W> >= <limit>{objective="min_labels"}
    and on (<version>)
      model_version:mlcanary_label_joins:coverage<W> >= <limit>{objective="label_coverage"}
model_version:mlcanary_labeled_predictions:comparable<W> :=
    (model_version:mlcanary_labeled_predictions:measurable<W> <canary>)
    and on (<model>) (model_version:mlcanary_labeled_predictions:measurable<W> <baseline>)
    unless on (<model>) (model_version:mlcanary_model_info:roles > 1)
# AUC also wants equal bins, and 30 labels of the rarer class: its standard error is a lie below.
model_version:mlcanary_labeled_score:rarer_class<W> :=
    min without (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>) * <S>
model_version:mlcanary_labeled_score:comparable<W> :=
    (model_version:mlcanary_labeled_predictions:comparable<W>
      and on (<version>) model_version:mlcanary_labeled_score:rarer_class<W> >= 30)
    and on (<model>) (model_version:mlcanary_labeled_score:rarer_class<W> >= 30 <baseline>)
    unless on (<model>) (model:mlcanary_bin_edges_info:hashes > 1)
# Errors need no labels, only requests.
model_version:mlcanary_predictions:measurable<W> :=
    model_version:mlcanary_predictions:rate<W> * <S> >= <limit>{objective="min_labels"}
model_version:mlcanary_predictions:comparable<W> :=
    (model_version:mlcanary_predictions:measurable<W> <canary>)
    and on (<model>) (model_version:mlcanary_predictions:measurable<W> <baseline>)
    unless on (<model>) (model_version:mlcanary_model_info:roles > 1)
"""

PER_WINDOW = (TRAFFIC, QUALITY, SCORE, DRIFT, BUSINESS, COMPARISON)
HEADER = "# Made by generate.py; change it there.\ngroups:\n"


def render() -> str:
    """The text of `canary.recording.yml`.

    One group per window: the rules of a group are evaluated in order, so a rule sees what those above it have
    recorded a moment ago. Group names are unique among all shipped files.
    """
    groups = [group("mlcanary-facts", FACTS, {})]
    for window, seconds in WINDOWS.items():
        words = {"<W>": window, "<S>": str(seconds)}
        groups.append(group(f"mlcanary-recording-{window}", "".join(PER_WINDOW), words))
    return HEADER + "".join(groups)


def group(name: str, text: str, words: Mapping[str, str]) -> str:
    """One rule group in YAML, comments kept."""
    return f"  - name: {name}\n    rules:\n" + "".join(rules(expand(text, {**WORDS, **words})))


def expand(text: str, words: Mapping[str, str]) -> str:
    """Replace the words."""
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def rules(text: str) -> Iterator[str]:
    """YAML of each `NAME := EXPRESSION` and of each comment line."""
    for line in text.strip().splitlines():
        if line.startswith("#"):
            yield f"      {line}\n"
        elif line.endswith(" :="):
            yield f"      - record: {line.removesuffix(' :=')}\n        expr: |\n"
        else:
            yield f"      {line}\n"


if __name__ == "__main__":
    Path(__file__).with_name("canary.recording.yml").write_text(render(), encoding="utf-8")
