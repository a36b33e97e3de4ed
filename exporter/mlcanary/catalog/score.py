"""What a score is worth: ranking, calibration and loss of labelled predictions."""

from __future__ import annotations

from mlcanary.catalog.spec import (
    MODEL_VERSION,
    MODEL_VERSION_WINDOW,
    Group,
    Indicator,
    Kind,
    MetricSpec,
    counter,
    row,
    window,
)

_BY_CLASS = (*MODEL_VERSION_WINDOW, "class")

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "labeled_score_bin_total",
        (*MODEL_VERSION, "actual", "bin"),
        "Labelled predictions with the score in the bin; bin is its upper edge.",
    ),
    counter(
        "labeled_score_below_total",
        (*MODEL_VERSION, "actual", "bin"),
        "Labelled predictions with the score at or under the lower edge of the bin.",
    ),
    counter(
        "labeled_score_bin_score_total", (*MODEL_VERSION, "bin"), "Sum of scores of labelled predictions in the bin."
    ),
    counter(
        "labeled_score_left_out_total",
        (*MODEL_VERSION, "reason"),
        "Labelled predictions without a part in the figures of the score: no_scores, unknown_positive_class.",
    ),
    row("log_loss", Kind.SUMMARY, Group.CONTRACT, MODEL_VERSION, "Log loss of labelled predictions, nats."),
    counter("log_loss_squares_total", MODEL_VERSION, "Sum of squared log losses, for the standard error."),
    row(
        "brier_score",
        Kind.SUMMARY,
        Group.CONTRACT,
        MODEL_VERSION,
        "Squared error of the probability of the positive class; summed over all classes for a multiclass model.",
    ),
    counter("brier_score_squares_total", MODEL_VERSION, "Sum of squared Brier scores, for the standard error."),
    counter(
        "class_score_bin_total",
        (*MODEL_VERSION, "class", "actual", "bin"),
        "Labelled predictions with the probability of the class in the bin; positive where it is the actual class.",
    ),
    counter(
        "class_score_below_total",
        (*MODEL_VERSION, "class", "bin"),
        "Labelled predictions of other classes with the probability of the class at or under the bin's lower edge.",
    ),
    window("auc_ratio", MODEL_VERSION_WINDOW, "Area under the ROC curve from the score bins."),
    window("auc_error_bound_ratio", MODEL_VERSION_WINDOW, "The exact AUC lies within this distance of auc_ratio."),
    window("average_precision_ratio", MODEL_VERSION_WINDOW, "Average precision with one threshold per score bin."),
    window("average_precision_lower_ratio", MODEL_VERSION_WINDOW, "The exact average precision is at least this."),
    window("average_precision_upper_ratio", MODEL_VERSION_WINDOW, "The exact average precision is at most this."),
    window("score_ks_ratio", MODEL_VERSION_WINDOW, "Largest gap between the scores of positives and of negatives."),
    window("score_ks_upper_bound_ratio", MODEL_VERSION_WINDOW, "The exact gap lies between score_ks_ratio and this."),
    window("calibration_error_ratio", MODEL_VERSION_WINDOW, "Expected calibration error over the score bins."),
    window("log_loss_nats", MODEL_VERSION_WINDOW, "Mean log loss."),
    window("brier_score", MODEL_VERSION_WINDOW, "Mean squared error of the probabilities."),
    window("class_auc_ratio", _BY_CLASS, "AUC of the class against all others."),
    window("class_auc_error_bound_ratio", _BY_CLASS, "The exact AUC lies within this distance of class_auc_ratio."),
    window("auc_macro_ratio", MODEL_VERSION_WINDOW, "Mean AUC of the classes against all others."),
    window("auc_macro_error_bound_ratio", MODEL_VERSION_WINDOW, "The exact mean lies this near to auc_macro_ratio."),
    window("auc_weighted_ratio", MODEL_VERSION_WINDOW, "Mean AUC of the classes, weighted by their labels."),
    window(
        "auc_weighted_error_bound_ratio", MODEL_VERSION_WINDOW, "The exact mean lies this near to auc_weighted_ratio."
    ),
)

_S, _K = "model_version:mlcanary_labeled_score:", "model_version:mlcanary_class_score:"
_LOG, _BRIER = "model_version:mlcanary_log_loss:", "model_version:mlcanary_brier_score:"
_LOG_LOSS = tuple(f"{_LOG}{figure}<W>" for figure in ("mean", "mean_stderr", "mean_delta", "mean_zscore"))
_BRIER_SCORE = tuple(f"{_BRIER}{figure}<W>" for figure in ("mean", "mean_stderr", "mean_delta", "mean_zscore"))
_CLIPPED = "exact; probabilities clipped to 1e-7"

INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "ROC AUC",
        "window_auc_ratio",
        tuple(
            f"{_S}{figure}<W>"
            for figure in ("auc", "auc_error_bound", "auc_stderr", "auc_delta", "auc_delta_upper", "auc_zscore")
        ),
        "within window_auc_error_bound_ratio",
        "scikit-learn roc_auc_score; bound: half the pairs that share a bin",
    ),
    Indicator(
        "average precision (PR AUC)",
        "window_average_precision_ratio",
        tuple(f"{_S}average_precision{figure}<W>" for figure in ("", "_lower", "_upper", "_delta")),
        "within window_average_precision_lower_ratio and _upper_ratio",
        "scikit-learn average_precision_score; bracket: best and worst order inside the bins",
    ),
    Indicator(
        "score KS",
        "window_score_ks_ratio",
        (f"{_S}ks<W>", f"{_S}ks_upper_bound<W>"),
        "from window_score_ks_ratio to window_score_ks_upper_bound_ratio",
        "scipy ks_2samp of the scores of positives and negatives",
    ),
    Indicator(
        "expected calibration error",
        "window_calibration_error_ratio",
        (f"{_S}ece<W>",),
        "exact for the score bins",
        "Naeini et al. 2015, Guo et al. 2017",
    ),
    Indicator("log loss", "window_log_loss_nats", _LOG_LOSS, _CLIPPED, "scikit-learn log_loss"),
    Indicator("Brier score", "window_brier_score", _BRIER_SCORE, "exact", "scikit-learn brier_score_loss"),
    Indicator("log loss of a multiclass model", "window_log_loss_nats", _LOG_LOSS, _CLIPPED, "scikit-learn log_loss"),
    Indicator(
        "Brier score of a multiclass model",
        "window_brier_score",
        _BRIER_SCORE,
        "exact",
        "Brier 1950; scikit-learn brier_score_loss(scale_by_half=False)",
    ),
    Indicator(
        "one-vs-rest AUC per class",
        "window_class_auc_ratio",
        tuple(f"model_version_class:mlcanary_class_score:{figure}<W>" for figure in ("auc", "auc_error_bound")),
        "within window_class_auc_error_bound_ratio",
        "scikit-learn roc_auc_score of one class against the rest",
    ),
    Indicator(
        "one-vs-rest AUC, macro",
        "window_auc_macro_ratio",
        tuple(f"{_K}auc_macro{figure}<W>" for figure in ("", "_error_bound", "_delta", "_delta_upper")),
        "within window_auc_macro_error_bound_ratio",
        'scikit-learn roc_auc_score(multi_class="ovr", average="macro") over the classes that have an area',
    ),
    Indicator(
        "one-vs-rest AUC, weighted",
        "window_auc_weighted_ratio",
        tuple(f"{_K}auc_weighted{figure}<W>" for figure in ("", "_error_bound")),
        "within window_auc_weighted_error_bound_ratio",
        'scikit-learn roc_auc_score(multi_class="ovr", average="weighted")',
    ),
    Indicator(
        "why AUC is absent",
        "window_undefined",
        (
            "model_version_figure_reason:mlcanary_labeled_score:undefined<W>",
            "model_version_figure_reason:mlcanary_class_score:undefined<W>",
        ),
        "exact",
        "labels came without scores, of one class, or of a class that is not known to be positive or negative",
    ),
)
