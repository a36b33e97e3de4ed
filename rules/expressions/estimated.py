"""What the scores promise before labels come, if they are calibrated and the concept has not changed (CBPE)."""

TEXT = """
# Expected confusion matrix: sums of p and 1 - p. The half-width of each interval is 1.96 standard errors.
model_version_actual_predicted:mlcanary_expected_labeled_predictions:rate<W> :=
    sum by (<version>, actual, predicted) (rate(mlcanary_expected_labeled_predictions_total[<W>]))
model_version_predicted:mlcanary_expected_labeled_predictions:rate<W> :=
    sum without (actual) (model_version_actual_predicted:mlcanary_expected_labeled_predictions:rate<W>)
model_version_predicted:mlcanary_expected_labeled_predictions:variance_rate<W> :=
    sum by (<version>, predicted) (rate(mlcanary_expected_labeled_predictions_variance_total[<W>]))
model_version:mlcanary_expected_labeled_predictions:rate<W> :=
    sum without (predicted) (model_version_predicted:mlcanary_expected_labeled_predictions:rate<W>)
model_version:mlcanary_expected_labeled_predictions:hits_rate<W> :=
    sum without (actual, predicted) (
      model_version_actual_predicted:mlcanary_expected_labeled_predictions:rate<W>{
        actual="positive", predicted="positive"})
model_version:mlcanary_expected_labeled_predictions:missed_rate<W> :=
    sum without (actual, predicted) (
      model_version_actual_predicted:mlcanary_expected_labeled_predictions:rate<W>{
        actual="positive", predicted="negative"})
model_version:mlcanary_expected_labeled_predictions:chosen_rate<W> :=
    sum without (predicted) (
      model_version_predicted:mlcanary_expected_labeled_predictions:rate<W>{predicted="positive"})
model_version:mlcanary_expected_labeled_predictions:hits_variance_rate<W> :=
    sum without (predicted) (
      model_version_predicted:mlcanary_expected_labeled_predictions:variance_rate<W>{predicted="positive"})
model_version:mlcanary_expected_labeled_predictions:missed_variance_rate<W> :=
    sum without (predicted) (
      model_version_predicted:mlcanary_expected_labeled_predictions:variance_rate<W>{predicted="negative"})
model_version:mlcanary_estimated:accuracy<W> :=
    1 - (sum without (actual, predicted) (
        model_version_actual_predicted:mlcanary_expected_labeled_predictions:rate<W>{
          actual="negative", predicted="positive"})
      + model_version:mlcanary_expected_labeled_predictions:missed_rate<W>)
    / (model_version:mlcanary_expected_labeled_predictions:rate<W> > 0)
model_version:mlcanary_estimated:accuracy_error<W> :=
    1.959963984540054 * sqrt(clamp_min(
      (model_version:mlcanary_expected_labeled_predictions:hits_variance_rate<W>
        + model_version:mlcanary_expected_labeled_predictions:missed_variance_rate<W>) / <S>, 0))
    / (model_version:mlcanary_expected_labeled_predictions:rate<W> > 0)
model_version:mlcanary_estimated:precision<W> :=
    model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
    / (model_version:mlcanary_expected_labeled_predictions:chosen_rate<W> > 0)
model_version:mlcanary_estimated:precision_error<W> :=
    1.959963984540054
    * sqrt(clamp_min(model_version:mlcanary_expected_labeled_predictions:hits_variance_rate<W> / <S>, 0))
    / (model_version:mlcanary_expected_labeled_predictions:chosen_rate<W> > 0)
model_version:mlcanary_estimated:recall<W> :=
    model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
    / (model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
      + model_version:mlcanary_expected_labeled_predictions:missed_rate<W> > 0)
model_version:mlcanary_estimated:recall_error<W> :=
    1.959963984540054 * sqrt(clamp_min(
      (model_version:mlcanary_expected_labeled_predictions:missed_rate<W> ^ 2
          * model_version:mlcanary_expected_labeled_predictions:hits_variance_rate<W>
        + model_version:mlcanary_expected_labeled_predictions:hits_rate<W> ^ 2
          * model_version:mlcanary_expected_labeled_predictions:missed_variance_rate<W>) / <S>, 0))
    / (model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
      + model_version:mlcanary_expected_labeled_predictions:missed_rate<W> > 0) ^ 2
model_version:mlcanary_estimated:f1_<W> :=
    2 * model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
    / (model_version:mlcanary_expected_labeled_predictions:chosen_rate<W>
      + model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
      + model_version:mlcanary_expected_labeled_predictions:missed_rate<W> > 0)
model_version:mlcanary_estimated:f1_error<W> :=
    2 * 1.959963984540054 * sqrt(clamp_min(
      ((model_version:mlcanary_expected_labeled_predictions:chosen_rate<W>
            + model_version:mlcanary_expected_labeled_predictions:missed_rate<W>) ^ 2
          * model_version:mlcanary_expected_labeled_predictions:hits_variance_rate<W>
        + model_version:mlcanary_expected_labeled_predictions:hits_rate<W> ^ 2
          * model_version:mlcanary_expected_labeled_predictions:missed_variance_rate<W>) / <S>, 0))
    / (model_version:mlcanary_expected_labeled_predictions:chosen_rate<W>
      + model_version:mlcanary_expected_labeled_predictions:hits_rate<W>
      + model_version:mlcanary_expected_labeled_predictions:missed_rate<W> > 0) ^ 2
# Log loss to expect: entropy of the scores, and its variance.
model_version:mlcanary_estimated:log_loss<W> :=
    sum by (<version>) (rate(mlcanary_expected_log_loss_sum[<W>]))
    / (sum by (<version>) (rate(mlcanary_expected_log_loss_count[<W>])) > 0)
model_version:mlcanary_estimated:log_loss_error<W> :=
    1.959963984540054
    * sqrt(clamp_min(sum by (<version>) (rate(mlcanary_expected_log_loss_variance_total[<W>])) / <S>, 0))
    / (sum by (<version>) (rate(mlcanary_expected_log_loss_count[<W>])) > 0)
# AUC to expect: in a bin with n scores of sum s, s positives and n - s negatives.
model_version_bin:mlcanary_score_bin:rate<W> :=
    sum by (<version>, bin) (rate(mlcanary_score_bin_total[<W>]))
model_version_bin:mlcanary_score_bin_score:rate<W> :=
    sum by (<version>, bin) (rate(mlcanary_score_bin_score_total[<W>]))
model_version:mlcanary_score_bin_score:rate<W> :=
    sum without (bin) (model_version_bin:mlcanary_score_bin_score:rate<W>)
model_version:mlcanary_score_bin_rest:rate<W> :=
    sum without (bin) (model_version_bin:mlcanary_score_bin:rate<W>) - model_version:mlcanary_score_bin_score:rate<W>
model_version_bin:mlcanary_score_below_score:middle_rate<W> :=
    sum by (<version>, bin) (rate(mlcanary_score_below_score_total[<W>]))
    + model_version_bin:mlcanary_score_bin_score:rate<W> / 2
model_version_bin:mlcanary_score_below_rest:middle_rate<W> :=
    sum by (<version>, bin) (rate(mlcanary_score_below_total[<W>]))
    + model_version_bin:mlcanary_score_bin:rate<W> / 2
    - model_version_bin:mlcanary_score_below_score:middle_rate<W>
model_version:mlcanary_estimated:auc<W> :=
    sum without (bin) (
      model_version_bin:mlcanary_score_bin_score:rate<W> * model_version_bin:mlcanary_score_below_rest:middle_rate<W>)
    / (model_version:mlcanary_score_bin_score:rate<W> * model_version:mlcanary_score_bin_rest:rate<W> > 0)
# How much one positive more in the bin, and one negative less, would move it; then the variance of the bin.
model_version_bin:mlcanary_estimated:auc_slope<W> :=
    (model_version_bin:mlcanary_score_below_rest:middle_rate<W>
      + model_version_bin:mlcanary_score_below_score:middle_rate<W>
      - on (<version>) group_left () model_version:mlcanary_score_bin_score:rate<W>)
    / on (<version>) group_left () (
      model_version:mlcanary_score_bin_score:rate<W> * model_version:mlcanary_score_bin_rest:rate<W> > 0)
    - on (<version>) group_left () (
      model_version:mlcanary_estimated:auc<W>
      * (1 / (model_version:mlcanary_score_bin_score:rate<W> > 0)
        - 1 / (model_version:mlcanary_score_bin_rest:rate<W> > 0)))
model_version:mlcanary_estimated:auc_error<W> :=
    1.959963984540054 * sqrt(sum without (bin) (
      model_version_bin:mlcanary_estimated:auc_slope<W> ^ 2
      * clamp_min(
        model_version_bin:mlcanary_score_bin_score:rate<W>
        - model_version_bin:mlcanary_score_bin_score:rate<W> ^ 2
          / (model_version_bin:mlcanary_score_bin:rate<W> > 0), 0)
    ) / <S>)
# The check: accuracy by the scores minus accuracy by the labels, of the same labelled predictions.
model_version:mlcanary_estimated:minus_actual<W> :=
    (sum by (<version>) (rate(mlcanary_estimate_check_correct_total{by="estimated"}[<W>]))
      - sum by (<version>) (rate(mlcanary_estimate_check_correct_total{by="actual"}[<W>])))
    / (sum by (<version>) (rate(mlcanary_estimate_check_predictions_total[<W>])) > 0)
model_version:mlcanary_estimated:minus_actual_stderr<W> :=
    sqrt(clamp_min(sum by (<version>) (rate(mlcanary_estimate_check_variance_total[<W>])) / <S>, 0))
    / (sum by (<version>) (rate(mlcanary_estimate_check_predictions_total[<W>])) > 0)
model_version:mlcanary_estimated:minus_actual_zscore<W> :=
    model_version:mlcanary_estimated:minus_actual<W> / model_version:mlcanary_estimated:minus_actual_stderr<W>
    >= -Inf
"""
