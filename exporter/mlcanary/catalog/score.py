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
    row("log_loss", Kind.SUMMARY, Group.CONTRACT, MODEL_VERSION, "Log loss of labelled predictions, nats."),
    counter("log_loss_squares_total", MODEL_VERSION, "Sum of squared log losses, for the standard error."),
    window("auc_ratio", MODEL_VERSION_WINDOW, "Area under the ROC curve from the score bins."),
    window("auc_error_bound_ratio", MODEL_VERSION_WINDOW, "The exact AUC lies within this distance of auc_ratio."),
    window("log_loss_nats", MODEL_VERSION_WINDOW, "Mean log loss."),
)

INDICATORS: tuple[Indicator, ...] = ()
