"""What a score is worth: AUC and its error, average precision, calibration."""

TEXT = """
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
