"""What a score is worth: AUC and its error, average precision, calibration."""

TEXT = """
# AUC is the mean over positives of the share of negatives below them, half of those in the same bin.
model_version_actual_bin:mlcanary_labeled_score_bin:rate<W> :=
    sum by (<version>, actual, bin) (rate(mlcanary_labeled_score_bin_total[<W>]))
model_version_actual:mlcanary_labeled_score_bin:rate<W> :=
    sum without (bin) (model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>)
# The share of a class below the middle of each bin: half of those in it count as below.
model_version_actual_bin:mlcanary_labeled_score:placement<W> :=
    (sum by (<version>, actual, bin) (rate(mlcanary_labeled_score_below_total[<W>]))
      + model_version_actual_bin:mlcanary_labeled_score_bin:rate<W> / 2)
    / ignoring (bin) group_left () (model_version_actual:mlcanary_labeled_score_bin:rate<W> > 0)
model_version:mlcanary_labeled_score:auc<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_actual_bin:mlcanary_labeled_score:placement<W>{actual="negative"})
    / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} > 0)
# Pairs inside a bin are unknown, so the exact AUC lies within this distance.
model_version:mlcanary_labeled_score:auc_error_bound<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="negative"}) / 2
    / (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} > 0)
# Standard error of AUC after DeLong: the variance of the placements of each class.
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
          * ignoring (actual) model_version_actual_bin:mlcanary_labeled_score:placement<W>{actual="positive"} ^ 2)
        / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} > 0)
        - (1 - model_version:mlcanary_labeled_score:auc<W>) ^ 2)
      / ignoring (actual) (
        model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="negative"} * <S> - 1 > 0), 0))
# Those of a class from the bottom of each bin on, and their share; the Kolmogorov-Smirnov distance of both shares.
model_version_actual_bin:mlcanary_labeled_score_from:rate<W> :=
    model_version_actual:mlcanary_labeled_score_bin:rate<W>
    - ignoring (bin) group_right () sum by (<version>, actual, bin) (rate(mlcanary_labeled_score_below_total[<W>]))
model_version_actual_bin:mlcanary_labeled_score_from:ratio_rate<W> :=
    model_version_actual_bin:mlcanary_labeled_score_from:rate<W>
    / ignoring (bin) group_left () (model_version_actual:mlcanary_labeled_score_bin:rate<W> > 0)
model_version:mlcanary_labeled_score:ks<W> :=
    max without (bin) (abs(
      model_version_actual_bin:mlcanary_labeled_score_from:ratio_rate<W>{actual="positive"}
      - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_from:ratio_rate<W>{actual="negative"}))
model_version:mlcanary_labeled_score:average_precision<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * model_version_actual_bin:mlcanary_labeled_score_from:rate<W>{actual="positive"}
      / ignoring (actual) (
        sum without (actual) (model_version_actual_bin:mlcanary_labeled_score_from:rate<W>) > 0))
    / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} > 0)
# Best and worst order of the scores inside each bin. At worst every positive lies alone under all negatives of its bin,
# bounded by the midpoint inequality: see stats/average_precision.py.
model_version:mlcanary_labeled_score:average_precision_upper<W> :=
    sum without (bin) (
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      * model_version_actual_bin:mlcanary_labeled_score_from:rate<W>{actual="positive"}
      / ignoring (actual) (
        sum without (actual) (model_version_actual_bin:mlcanary_labeled_score_from:rate<W>)
        - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="negative"} > 0))
    / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} > 0)
model_version:mlcanary_labeled_score:average_precision_lower<W> :=
    sum without (bin) (clamp_min(
      model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}
      - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_from:rate<W>{actual="negative"}
      * ignoring (actual) ln(
        (sum without (actual) (model_version_actual_bin:mlcanary_labeled_score_from:rate<W>) * <S> + 0.5)
        / ((sum without (actual) (model_version_actual_bin:mlcanary_labeled_score_from:rate<W>)
          - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"})
          * <S> + 0.5)), 0))
    / ignoring (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>{actual="positive"} > 0)
# Inside a bin one class may rise fully before the other: the exact distance lies between ks and this.
model_version:mlcanary_labeled_score:ks_upper_bound<W> :=
    clamp_max(max without (bin) (
      abs(
        model_version_actual_bin:mlcanary_labeled_score:placement<W>{actual="positive"}
        - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score:placement<W>{actual="negative"})
      + sum without (actual) (
        model_version_actual_bin:mlcanary_labeled_score:placement<W>
        + model_version_actual_bin:mlcanary_labeled_score_from:ratio_rate<W> - 1)), 1)
# Why AUC is absent while labels come.
model_version_figure_reason:mlcanary_labeled_score:undefined<W> :=
    label_replace(label_replace(
      group by (<version>) (model_version_actual:mlcanary_labeled_score_bin:rate<W> > 0)
      unless on (<version>) model_version:mlcanary_labeled_score:auc<W>,
      "figure", "auc", "", ""), "reason", "one_class", "", "")
    or label_replace(
      group by (<version>, reason) (rate(mlcanary_labeled_score_left_out_total[<W>]) > 0)
      and on (<version>) mlcanary_model_info{task="binary"}
      unless on (<version>) (model_version_actual:mlcanary_labeled_score_bin:rate<W> > 0),
      "figure", "auc", "", "")
# Expected calibration error over the score bins.
model_version:mlcanary_labeled_score:ece<W> :=
    sum without (bin) (abs(
      sum by (<version>, bin) (rate(mlcanary_labeled_score_bin_score_total[<W>]))
      - ignoring (actual) model_version_actual_bin:mlcanary_labeled_score_bin:rate<W>{actual="positive"}))
    / (sum without (actual) (model_version_actual:mlcanary_labeled_score_bin:rate<W>) > 0)
"""
