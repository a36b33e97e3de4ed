"""Quality of classifiers from the confusion matrix of labelled predictions."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, MODEL_VERSION_WINDOW, Indicator, MetricSpec, counter, window

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "labeled_predictions_total",
        (*MODEL_VERSION, "actual", "predicted"),
        "Confusion matrix of predictions whose label arrived and matured.",
    ),
    window("labels", MODEL_VERSION_WINDOW, "Labelled predictions."),
    window("accuracy_ratio", MODEL_VERSION_WINDOW, "Share of labelled predictions whose class is right."),
    window("precision_ratio", MODEL_VERSION_WINDOW, "Precision of the positive class."),
    window("recall_ratio", MODEL_VERSION_WINDOW, "Recall of the positive class."),
    window("f1_ratio", MODEL_VERSION_WINDOW, "F1 of the positive class."),
    window(
        "undefined",
        (*MODEL_VERSION_WINDOW, "figure", "reason"),
        "1 for a figure that is absent since it is not defined, with the reason: no_labels, one_class and so on.",
    ),
)

INDICATORS: tuple[Indicator, ...] = ()
