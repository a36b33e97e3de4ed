"""How late labels come, what they say early, and the positive rate of cohorts of equal age."""

TEXT = """
# Delay of the labels that came; `>= 0` drops the NaN of a window without labels.
model_version:mlcanary_label_delay_seconds:p50_<W> :=
    histogram_quantile(0.50, sum by (<version>, le) (rate(mlcanary_label_delay_seconds_bucket[<W>]))) >= 0
# Coverage by age of predictions whose wait is over: nothing of them is still to come.
model_version:mlcanary_label_age_predictions:rate<W> :=
    sum by (<version>) (rate(mlcanary_label_age_predictions_total[<W>]))
model_version_age:mlcanary_label_age:coverage<W> :=
    sum by (<version>, age) (rate(mlcanary_label_age_labeled_total[<W>]))
    / on (<version>) group_left () (model_version:mlcanary_label_age_predictions:rate<W> > 0)
# Positives of equal-age cohorts: of the labelled, and of all, where a missing label is no positive one.
model_version_actual:mlcanary_mature_labels:rate<W> :=
    sum by (<version>, actual) (rate(mlcanary_mature_labels_total[<W>]))
model_version:mlcanary_mature_labels:rate<W> :=
    sum without (actual) (model_version_actual:mlcanary_mature_labels:rate<W>)
model_version:mlcanary_mature_labels:positive_ratio<W> :=
    sum without (actual) (model_version_actual:mlcanary_mature_labels:rate<W>{actual="positive"})
    / (model_version:mlcanary_mature_labels:rate<W> > 0)
model_version:mlcanary_mature_labels:positive_ratio_stderr<W> :=
    sqrt(clamp_min(
      model_version:mlcanary_mature_labels:positive_ratio<W>
      * (1 - model_version:mlcanary_mature_labels:positive_ratio<W>)
      / (model_version:mlcanary_mature_labels:rate<W> * <S> > 0), 0))
model_version:mlcanary_mature_labels:positive_per_prediction<W> :=
    sum without (actual) (model_version_actual:mlcanary_mature_labels:rate<W>{actual="positive"})
    / (model_version:mlcanary_label_age_predictions:rate<W> > 0)
model_version:mlcanary_mature_labels:positive_per_prediction_stderr<W> :=
    sqrt(clamp_min(
      model_version:mlcanary_mature_labels:positive_per_prediction<W>
      * (1 - model_version:mlcanary_mature_labels:positive_per_prediction<W>)
      / (model_version:mlcanary_label_age_predictions:rate<W> * <S> > 0), 0))
# Canary minus live baseline, both at the same age, and the difference in standard errors.
model_version:mlcanary_mature_labels:positive_ratio_delta<W> :=
    max by (<version>) (model_version:mlcanary_mature_labels:positive_ratio<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_mature_labels:positive_ratio<W> <baseline>)
model_version:mlcanary_mature_labels:positive_ratio_zscore<W> :=
    model_version:mlcanary_mature_labels:positive_ratio_delta<W>
    / sqrt(model_version:mlcanary_mature_labels:positive_ratio_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_mature_labels:positive_ratio_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_mature_labels:positive_per_prediction_delta<W> :=
    max by (<version>) (model_version:mlcanary_mature_labels:positive_per_prediction<W> <canary>)
    - on (<model>) group_left ()
      max by (<model>) (model_version:mlcanary_mature_labels:positive_per_prediction<W> <baseline>)
model_version:mlcanary_mature_labels:positive_per_prediction_zscore<W> :=
    model_version:mlcanary_mature_labels:positive_per_prediction_delta<W>
    / sqrt(model_version:mlcanary_mature_labels:positive_per_prediction_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_mature_labels:positive_per_prediction_stderr<W> <baseline>) ^ 2)
    >= -Inf
# Provisional: first labels of predictions that are not mature yet. Biased by whatever comes sooner; nothing acts on it.
model_version_actual_predicted:mlcanary_provisional_labeled_predictions:rate<W> :=
    sum by (<version>, actual, predicted) (rate(mlcanary_provisional_labeled_predictions_total[<W>]))
model_version:mlcanary_provisional_labeled_predictions:count<W> :=
    sum without (actual, predicted) (model_version_actual_predicted:mlcanary_provisional_labeled_predictions:rate<W>)
    * <S>
model_version:mlcanary_provisional_labeled_predictions:accuracy<W> :=
    sum without (actual, predicted) (
      model_version_actual_predicted:mlcanary_provisional_labeled_predictions:rate<W>
      and on (<version>, actual, predicted) label_replace(
        sum without (predicted) (model_version_actual_predicted:mlcanary_provisional_labeled_predictions:rate<W>),
        "predicted", "$1", "actual", "(.*)"))
    / (sum without (actual, predicted) (
      model_version_actual_predicted:mlcanary_provisional_labeled_predictions:rate<W>) > 0)
model_version:mlcanary_provisional_labels:positive_ratio<W> :=
    sum by (<version>) (rate(mlcanary_provisional_labels_total{actual="positive"}[<W>]))
    / (sum by (<version>) (rate(mlcanary_provisional_labels_total[<W>])) > 0)
model_version:mlcanary_provisional_labels:positive_per_prediction<W> :=
    sum by (<version>) (rate(mlcanary_provisional_labels_total{actual="positive"}[<W>]))
    / (sum by (<version>) (rate(mlcanary_predictions_total{predicted!="none"}[<W>])) > 0)
"""
