"""Quality of classifiers from the confusion matrix of labelled predictions."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, MODEL_VERSION_WINDOW, Indicator, MetricSpec, counter, window

_BY_CLASS = (*MODEL_VERSION_WINDOW, "class")

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "labeled_predictions_total",
        (*MODEL_VERSION, "actual", "predicted"),
        "Confusion matrix of predictions whose label arrived and matured; classes above the cap are other, and "
        "predicted other (wrong) where two of those differ.",
    ),
    window("labels", MODEL_VERSION_WINDOW, "Labelled predictions."),
    window("accuracy_ratio", MODEL_VERSION_WINDOW, "Share of labelled predictions whose class is right."),
    window("precision_ratio", MODEL_VERSION_WINDOW, "Precision of the positive class."),
    window("recall_ratio", MODEL_VERSION_WINDOW, "Recall of the positive class."),
    window("f1_ratio", MODEL_VERSION_WINDOW, "F1 of the positive class."),
    window("lift_ratio", MODEL_VERSION_WINDOW, "Precision of the positive class over its base rate."),
    window("f1_macro_ratio", MODEL_VERSION_WINDOW, "Mean F1 of the classes."),
    window("f1_weighted_ratio", MODEL_VERSION_WINDOW, "Mean F1 of the classes, weighted by their labels."),
    window("balanced_accuracy_ratio", MODEL_VERSION_WINDOW, "Mean recall of the classes."),
    window("matthews_correlation", MODEL_VERSION_WINDOW, "Correlation of actual and predicted class, from -1 to 1."),
    window("class_precision_ratio", _BY_CLASS, "Precision of the class."),
    window("class_recall_ratio", _BY_CLASS, "Recall of the class."),
    window("class_f1_ratio", _BY_CLASS, "F1 of the class."),
    window(
        "undefined",
        (*MODEL_VERSION_WINDOW, "figure", "reason"),
        "1 for a figure that is absent since it is not defined, with the reason: no_labels, one_class and so on.",
    ),
)

_V, _C = "model_version:mlcanary_labeled_predictions:", "model_version_class:mlcanary_labeled_predictions:"
_FOLDED = "exact; of known classes and other, where classes are above the cap"
_FSCORE = "scikit-learn precision_recall_fscore_support"

INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "accuracy",
        "window_accuracy_ratio",
        (f"{_V}accuracy<W>", f"{_V}accuracy_stderr<W>", f"{_V}accuracy_delta<W>", f"{_V}accuracy_zscore<W>"),
        "exact",
        "scikit-learn accuracy_score",
    ),
    Indicator("precision", "window_precision_ratio", (f"{_C}precision<W>",), "exact", _FSCORE),
    Indicator("recall", "window_recall_ratio", (f"{_C}recall<W>",), "exact", _FSCORE),
    Indicator("F1", "window_f1_ratio", (f"{_C}f1_<W>",), "exact", _FSCORE),
    Indicator("lift", "window_lift_ratio", (f"{_C}lift<W>",), "exact", "precision / share of the class in the labels"),
    Indicator(
        "precision per class",
        "window_class_precision_ratio",
        (f"{_C}precision<W>", f"{_C}precision_delta<W>"),
        _FOLDED,
        _FSCORE,
    ),
    Indicator(
        "recall per class", "window_class_recall_ratio", (f"{_C}recall<W>", f"{_C}recall_delta<W>"), _FOLDED, _FSCORE
    ),
    Indicator("F1 per class", "window_class_f1_ratio", (f"{_C}f1_<W>", f"{_C}f1_delta<W>"), _FOLDED, _FSCORE),
    Indicator(
        "macro F1",
        "window_f1_macro_ratio",
        (f"{_V}f1_macro<W>", f"{_V}f1_macro_delta<W>"),
        _FOLDED,
        'scikit-learn f1_score(average="macro")',
    ),
    Indicator(
        "micro F1",
        "window_accuracy_ratio",
        (f"{_V}accuracy<W>",),
        "exact; with one class per prediction it is the accuracy",
        'scikit-learn f1_score(average="micro")',
    ),
    Indicator(
        "weighted F1",
        "window_f1_weighted_ratio",
        (f"{_V}f1_weighted<W>", f"{_V}f1_weighted_delta<W>"),
        _FOLDED,
        'scikit-learn f1_score(average="weighted")',
    ),
    Indicator(
        "balanced accuracy",
        "window_balanced_accuracy_ratio",
        (f"{_V}balanced_accuracy<W>", f"{_V}balanced_accuracy_delta<W>"),
        _FOLDED,
        "scikit-learn balanced_accuracy_score",
    ),
    Indicator(
        "Matthews correlation (MCC)",
        "window_matthews_correlation",
        (f"{_V}matthews<W>", f"{_V}matthews_delta<W>"),
        _FOLDED,
        "scikit-learn matthews_corrcoef (R_K, Gorodkin 2004)",
    ),
    Indicator(
        "why precision and recall are absent",
        "window_undefined",
        ("model_version_class_figure_reason:mlcanary_labeled_predictions:undefined<W>",),
        "exact",
        "labels came, and none was predicted so, or none was so",
    ),
)
