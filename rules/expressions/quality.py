"""Quality of classifiers from the confusion matrix; log loss and Brier score; label coverage."""

TEXT = """
# Confusion matrix, any number of classes. Relabelling actual to predicted picks the diagonal. `other (wrong)` are
# answers among folded classes that are wrong: never on the diagonal, but answers of the class `other`.
model_version_actual_predicted:mlcanary_labeled_predictions:rate<W> :=
    sum by (<version>, actual, predicted) (rate(mlcanary_labeled_predictions_total[<W>]))
model_version_class:mlcanary_labeled_predictions_actual:rate<W> :=
    sum by (<version>, class) (label_replace(
      model_version_actual_predicted:mlcanary_labeled_predictions:rate<W>, "class", "$1", "actual", "(.*)"))
model_version_class:mlcanary_labeled_predictions_predicted:rate<W> :=
    sum by (<version>, class) (label_replace(label_replace(
      model_version_actual_predicted:mlcanary_labeled_predictions:rate<W>, "class", "$1", "predicted", "(.*)"),
      "class", "other", "class", "other [(]wrong[)]"))
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
    or sum by (<version>) (rate(mlcanary_label_joins_total{result=~"matched|assumed"}[<W>])) * <S>
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
# How many times more often a class is among those predicted so than among all.
model_version_class:mlcanary_labeled_predictions:lift<W> :=
    model_version_class:mlcanary_labeled_predictions:precision<W>
    / (model_version_class:mlcanary_labeled_predictions_actual:rate<W>
      / ignoring (class) group_left ()
        (sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) > 0) > 0)
model_version:mlcanary_labeled_predictions:f1_macro<W> :=
    avg without (class) (model_version_class:mlcanary_labeled_predictions:f1_<W>)
model_version:mlcanary_labeled_predictions:f1_weighted<W> :=
    sum without (class) (
      model_version_class:mlcanary_labeled_predictions:f1_<W>
      * model_version_class:mlcanary_labeled_predictions_actual:rate<W>)
    / (sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) > 0)
model_version:mlcanary_labeled_predictions:balanced_accuracy<W> :=
    avg without (class) (model_version_class:mlcanary_labeled_predictions:recall<W>)
# Counting classes is exact where a difference of sums is not: with one class, rounding would be divided by rounding.
model_version:mlcanary_labeled_predictions:matthews<W> :=
    (sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>)
      * sum without (class) (model_version_class:mlcanary_labeled_predictions_correct:rate<W>)
      - sum without (class) (
        model_version_class:mlcanary_labeled_predictions_actual:rate<W>
        * model_version_class:mlcanary_labeled_predictions_predicted:rate<W>))
    / (sqrt(
      clamp_min(sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) ^ 2
        - sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W> ^ 2), 0)
      * clamp_min(sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) ^ 2
        - sum without (class) (model_version_class:mlcanary_labeled_predictions_predicted:rate<W> ^ 2), 0)) > 0)
    and count without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W> > 0) > 1
    and count without (class) (model_version_class:mlcanary_labeled_predictions_predicted:rate<W> > 0) > 1
# Why precision or recall of a class is absent while labels come.
model_version_class_figure_reason:mlcanary_labeled_predictions:undefined<W> :=
    label_replace(label_replace(
      group by (<version>, class) (model_version_class:mlcanary_labeled_predictions_predicted:rate<W> == 0)
      and on (<version>) (sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) > 0),
      "figure", "precision", "", ""), "reason", "no_positive_prediction", "", "")
    or label_replace(label_replace(
      group by (<version>, class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W> == 0)
      and on (<version>) (sum without (class) (model_version_class:mlcanary_labeled_predictions_actual:rate<W>) > 0),
      "figure", "recall", "", ""), "reason", "no_positive_label", "", "")
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
# Brier score.
model_version:mlcanary_brier_score:mean<W> :=
    sum by (<version>) (rate(mlcanary_brier_score_sum[<W>]))
    / (sum by (<version>) (rate(mlcanary_brier_score_count[<W>])) > 0)
model_version:mlcanary_brier_score:mean_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>) (rate(mlcanary_brier_score_squares_total[<W>]))
        / (sum by (<version>) (rate(mlcanary_brier_score_count[<W>])) > 0)
        - model_version:mlcanary_brier_score:mean<W> ^ 2)
      / (sum by (<version>) (rate(mlcanary_brier_score_count[<W>])) * <S> - 1 > 0), 0))
# Share of decided predictions that got their label in time, or whose missing label has a meaning.
model_version:mlcanary_label_joins:coverage<W> :=
    (sum by (<version>) (rate(mlcanary_label_joins_total{result=~"matched|assumed"}[<W>]))
      or sum by (<version>) (rate(mlcanary_label_joins_total[<W>])) * 0)
    / (sum by (<version>) (rate(mlcanary_label_joins_total{result=~"matched|assumed|expired|evicted"}[<W>])) > 0)
"""
