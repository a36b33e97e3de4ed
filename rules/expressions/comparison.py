"""Canary against live baseline, and who may be compared."""

TEXT = """
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
model_version:mlcanary_labeled_predictions:balanced_accuracy_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_predictions:balanced_accuracy<W> <canary>)
    - on (<model>) group_left ()
      max by (<model>) (model_version:mlcanary_labeled_predictions:balanced_accuracy<W> <baseline>)
model_version:mlcanary_labeled_predictions:f1_macro_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_predictions:f1_macro<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_labeled_predictions:f1_macro<W> <baseline>)
model_version:mlcanary_labeled_predictions:f1_weighted_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_predictions:f1_weighted<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_labeled_predictions:f1_weighted<W> <baseline>)
model_version:mlcanary_labeled_predictions:matthews_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_predictions:matthews<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_labeled_predictions:matthews<W> <baseline>)
model_version_class:mlcanary_labeled_predictions:precision_delta<W> :=
    max by (<version>, class) (model_version_class:mlcanary_labeled_predictions:precision<W> <canary>)
    - on (<model>, class) group_left ()
      max by (<model>, class) (model_version_class:mlcanary_labeled_predictions:precision<W> <baseline>)
model_version_class:mlcanary_labeled_predictions:recall_delta<W> :=
    max by (<version>, class) (model_version_class:mlcanary_labeled_predictions:recall<W> <canary>)
    - on (<model>, class) group_left ()
      max by (<model>, class) (model_version_class:mlcanary_labeled_predictions:recall<W> <baseline>)
model_version_class:mlcanary_labeled_predictions:f1_delta<W> :=
    max by (<version>, class) (model_version_class:mlcanary_labeled_predictions:f1_<W> <canary>)
    - on (<model>, class) group_left ()
      max by (<model>, class) (model_version_class:mlcanary_labeled_predictions:f1_<W> <baseline>)
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
model_version:mlcanary_labeled_score:average_precision_delta<W> :=
    max by (<version>) (model_version:mlcanary_labeled_score:average_precision<W> <canary>)
    - on (<model>) group_left ()
      max by (<model>) (model_version:mlcanary_labeled_score:average_precision<W> <baseline>)
model_version:mlcanary_log_loss:mean_delta<W> :=
    max by (<version>) (model_version:mlcanary_log_loss:mean<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_log_loss:mean<W> <baseline>)
model_version:mlcanary_log_loss:mean_zscore<W> :=
    model_version:mlcanary_log_loss:mean_delta<W>
    / sqrt(model_version:mlcanary_log_loss:mean_stderr<W> ^ 2
      + on (<model>) group_left () max by (<model>) (model_version:mlcanary_log_loss:mean_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_brier_score:mean_delta<W> :=
    max by (<version>) (model_version:mlcanary_brier_score:mean<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_brier_score:mean<W> <baseline>)
model_version:mlcanary_brier_score:mean_zscore<W> :=
    model_version:mlcanary_brier_score:mean_delta<W>
    / sqrt(model_version:mlcanary_brier_score:mean_stderr<W> ^ 2
      + on (<model>) group_left () max by (<model>) (model_version:mlcanary_brier_score:mean_stderr<W> <baseline>) ^ 2)
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
