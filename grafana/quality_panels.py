"""Panels about quality: what needs labels, and whether the labels can be trusted."""

from __future__ import annotations

from panels import (
    CLASS,
    COVERAGE,
    ERRORS,
    LABELED,
    LOSS,
    MODEL,
    PLACE,
    SCORE,
    VERSION,
    Json,
    areas,
    limit,
    limit_beside_baseline,
    limit_query,
    lines,
    of_version,
    over_hour,
    quantile_of,
    query,
    section,
)


def quality() -> list[Json]:
    """What needs labels."""
    of_class = f'{VERSION}, class="$class"'
    worse = [
        query(of_version(f"{LABELED}accuracy_zscore"), "{{version}} accuracy"),
        query(of_version(f"{SCORE}auc_zscore"), "{{version}} AUC"),
        query(f"-{of_version(f'{LOSS}mean_zscore')}", "{{version}} log loss"),
        query(f"-{of_version(f'{ERRORS}ratio_zscore')}", "{{version}} errors"),
    ]
    beside = "Dashed: how far the canary may lie from the baseline, over 5m (fast) and 1h."
    return section(
        "Quality, from labels",
        "No labels of the chosen versions have come and matured: see Labels below.",
        lines(
            "Accuracy",
            f"Share of labelled predictions that were right. {beside}",
            "percentunit",
            query(of_version(f"{LABELED}accuracy")),
            limit_query(limit_beside_baseline(f"{LABELED}accuracy", "-", "accuracy_drop(_fast)?")),
        ),
        lines(
            "AUC",
            f"Area under the ROC curve: how well scores order the cases. {beside}",
            "none",
            query(of_version(f"{SCORE}auc")),
            limit_query(limit_beside_baseline(f"{SCORE}auc", "-", "auc_drop(_fast)?")),
            decimals=3,
        ),
        lines(
            "Log loss",
            f"Mean log loss in nats: are the probabilities right? {beside}",
            "none",
            query(of_version(f"{LOSS}mean")),
            limit_query(limit_beside_baseline(f"{LOSS}mean", "+", "log_loss_rise(_fast)?")),
            decimals=3,
        ),
        lines(
            "Precision",
            "Share of predictions of the chosen class that were right.",
            "percentunit",
            query(of_version(f"{CLASS}precision", of_class)),
        ),
        lines(
            "Recall",
            "Share of the chosen class that was found.",
            "percentunit",
            query(of_version(f"{CLASS}recall", of_class)),
        ),
        lines(
            "F1", "Harmonic mean of precision and recall.", "percentunit", query(of_version(f"{CLASS}f1_", of_class))
        ),
        lines(
            "Average precision",
            "Area under the precision-recall curve; its baseline is the share of positives.",
            "none",
            query(over_hour(f"{SCORE}average_precision")),
            width=6,
            decimals=3,
        ),
        lines(
            "Separation of scores",
            "Kolmogorov-Smirnov distance between the scores of positives and of negatives.",
            "none",
            query(over_hour(f"{SCORE}ks")),
            width=6,
            decimals=3,
        ),
        lines(
            "Calibration error",
            "Over an hour, expected calibration error over the score bins: mean distance between score and frequency.",
            "percentunit",
            query(over_hour(f"{SCORE}ece")),
            width=6,
            min=0,
        ),
        lines(
            "Canary against baseline, in standard errors",
            "Under 0 the canary is worse. Rules act under -4.26 (1h) or -6 (5m), if the effect is large enough too.",
            "none",
            *worse,
            width=6,
            thresholdsStyle={"mode": "off"},
            decimals=1,
        ),
    )


def labels() -> list[Json]:
    """Can quality be trusted?"""
    joins = f"sum by (result) (rate(mlcanary_label_joins_total{{{VERSION}}}[$__rate_interval]))"
    unmatched = f"sum(rate(mlcanary_labels_unmatched_total{{{MODEL}}}[$__rate_interval]))"
    newest_prediction = f"time() - max by (version) (mlcanary_last_prediction_timestamp_seconds{{{VERSION}}})"
    newest_label = f"time() - max by (version) (mlcanary_last_label_timestamp_seconds{{{VERSION}}})"
    return section(
        "Labels",
        "No labels of the chosen versions in this time range: is a source of labels configured?",
        lines(
            "Labels in the window",
            "Labelled predictions that a figure rests on. Dashed: fewer are not compared.",
            "short",
            query(of_version(f"{LABELED}count")),
            limit_query(limit("min_labels")),
            min=0,
        ),
        lines(
            "Label coverage",
            "Share of predictions that got their label in time. Dashed: below it quality is not compared.",
            "percentunit",
            query(of_version(COVERAGE)),
            limit_query(limit("label_coverage")),
            min=0,
            max=1,
        ),
        areas(
            "Joins",
            "Predictions and labels per second by outcome. Unmatched: labels of predictions that were never seen.",
            "ops",
            query(joins, "{{result}}"),
            query(unmatched, "unmatched"),
        ),
        lines(
            "Label delay",
            "Time from a prediction to its label, median and 95th percentile.",
            "s",
            query(quantile_of("mlcanary_label_delay_seconds", 0.5), "{{version}} p50"),
            query(quantile_of("mlcanary_label_delay_seconds", 0.95), "{{version}} p95"),
        ),
        lines(
            "Waiting for a label",
            "Predictions in the join table, and dashed the smallest table: above it the oldest are evicted.",
            "short",
            query(f"sum by (version) (mlcanary_label_join_pending{{{VERSION}}})"),
            query(f"min(mlcanary_label_join_capacity{{{PLACE}}})", "limit capacity"),
            min=0,
        ),
        lines(
            "Age of the newest record",
            "Time since the newest prediction and the newest label, by their own clocks.",
            "s",
            query(newest_prediction, "{{version}} prediction"),
            query(newest_label, "{{version}} label"),
            min=0,
        ),
    )


def without_labels() -> list[Json]:
    """Before labels come."""
    estimated, check = "model_version:mlcanary_estimated:", "model_version:mlcanary_estimated:minus_actual"
    return section(
        "Before labels come",
        "No estimate: the model gives no scores, or nothing was answered in this time range.",
        lines(
            "Estimated accuracy",
            "Accuracy that the scores of an hour promise, without labels; right if they are calibrated and the concept "
            "has not moved.",
            "percentunit",
            query(over_hour(f"{estimated}accuracy")),
        ),
        lines(
            "Estimated AUC",
            "Area under the ROC curve that the scores of an hour promise, under the same conditions.",
            "none",
            query(over_hour(f"{estimated}auc")),
            decimals=3,
        ),
        lines(
            "Estimate less actual, in standard errors",
            "Accuracy by the scores less that by the labels of the same predictions, over an hour. Beyond 3: do not "
            "trust estimates.",
            "none",
            query(over_hour(f"{check}_zscore")),
            decimals=1,
        ),
    )


def other_tasks() -> list[Json]:
    """Models of several classes, of numbers and of rankings."""
    residual, labeled = "model_version:mlcanary_residual:", LABELED
    ranking = "model_version_figure_k:mlcanary_ranking_figure:mean"
    return section(
        "Several classes, numbers, rankings",
        "The model has another task, or no labels have come and matured.",
        lines("Macro F1", "Mean F1 of the classes.", "percentunit", query(of_version(f"{labeled}f1_macro"))),
        lines(
            "Balanced accuracy",
            "Mean recall of the classes.",
            "percentunit",
            query(of_version(f"{labeled}balanced_accuracy")),
        ),
        lines(
            "Matthews correlation",
            "Correlation of actual and predicted class, from -1 to 1.",
            "none",
            query(of_version(f"{labeled}matthews")),
            decimals=3,
        ),
        lines(
            "Errors of numbers",
            "Mean absolute error and root of the mean squared error, in the unit of the target.",
            "none",
            query(of_version(f"{residual}mae"), "{{version}} MAE"),
            query(of_version(f"{residual}rmse"), "{{version}} RMSE"),
            min=0,
        ),
        lines("Bias of numbers", "Mean of predicted minus actual.", "none", query(of_version(f"{residual}bias"))),
        lines(
            "Rankings",
            "Mean over requests of NDCG, recall, hits and reciprocal rank in the first k places.",
            "none",
            query(of_version(ranking), "{{version}} {{figure}}@{{k}}"),
            min=0,
            max=1,
            decimals=3,
        ),
    )
