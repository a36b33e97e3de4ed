"""What class probabilities rank: AUC of each class against all others, and its means."""

TEXT = """
# One against the rest: in each bin, predictions of the class * (those of other classes below it + half of those in it).
model_version_class_actual_bin:mlcanary_class_score_bin:rate<W> :=
    sum by (<version>, class, actual, bin) (rate(mlcanary_class_score_bin_total[<W>]))
model_version_class_actual:mlcanary_class_score_bin:rate<W> :=
    sum without (bin) (model_version_class_actual_bin:mlcanary_class_score_bin:rate<W>)
model_version_class:mlcanary_class_score:auc<W> :=
    sum without (bin) (
      model_version_class_actual_bin:mlcanary_class_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) (
        sum by (<version>, class, bin) (rate(mlcanary_class_score_below_total[<W>]))
        + ignoring (actual) model_version_class_actual_bin:mlcanary_class_score_bin:rate<W>{actual="negative"} / 2))
    / (model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="negative"} > 0)
model_version_class:mlcanary_class_score:auc_error_bound<W> :=
    sum without (bin) (
      model_version_class_actual_bin:mlcanary_class_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_class_actual_bin:mlcanary_class_score_bin:rate<W>{actual="negative"}) / 2
    / (model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="positive"}
      * ignoring (actual) model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="negative"} > 0)
# A mean of areas lies within the same mean of their bounds. Classes without an area take no part.
model_version:mlcanary_class_score:auc_macro<W> :=
    avg without (class) (model_version_class:mlcanary_class_score:auc<W>)
model_version:mlcanary_class_score:auc_macro_error_bound<W> :=
    avg without (class) (model_version_class:mlcanary_class_score:auc_error_bound<W>)
model_version:mlcanary_class_score:auc_weighted<W> :=
    sum without (class) (
      model_version_class:mlcanary_class_score:auc<W>
      * ignoring (actual) model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="positive"})
    / ignoring (actual) (
      sum without (class) (model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="positive"}) > 0)
model_version:mlcanary_class_score:auc_weighted_error_bound<W> :=
    sum without (class) (
      model_version_class:mlcanary_class_score:auc_error_bound<W>
      * ignoring (actual) model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="positive"})
    / ignoring (actual) (
      sum without (class) (model_version_class_actual:mlcanary_class_score_bin:rate<W>{actual="positive"}) > 0)
model_version:mlcanary_class_score:auc_macro_delta<W> :=
    max by (<version>) (model_version:mlcanary_class_score:auc_macro<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_class_score:auc_macro<W> <baseline>)
# The most that the exact difference can be: below zero, the canary ranks worse whatever the bins hide.
model_version:mlcanary_class_score:auc_macro_delta_upper<W> :=
    model_version:mlcanary_class_score:auc_macro_delta<W> + model_version:mlcanary_class_score:auc_macro_error_bound<W>
    + on (<model>) group_left ()
      max by (<model>) (model_version:mlcanary_class_score:auc_macro_error_bound<W> <baseline>)
# Why the AUC is absent while labels come.
model_version_figure_reason:mlcanary_class_score:undefined<W> :=
    label_replace(label_replace(
      group by (<version>) (model_version_class_actual:mlcanary_class_score_bin:rate<W> > 0)
      unless on (<version>) model_version:mlcanary_class_score:auc_macro<W>,
      "figure", "auc_macro", "", ""), "reason", "one_class", "", "")
    or label_replace(
      group by (<version>, reason) (rate(mlcanary_labeled_score_left_out_total[<W>]) > 0)
      and on (<version>) mlcanary_model_info{task="multiclass"}
      unless on (<version>) (model_version_class_actual:mlcanary_class_score_bin:rate<W> > 0),
      "figure", "auc_macro", "", "")
"""
