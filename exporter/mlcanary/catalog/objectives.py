"""Limits that rules compare against, published as series so that rule files need no editing."""

from __future__ import annotations

from mlcanary.catalog.spec import LATENCY_BUCKETS, Objective

OBJECTIVES: tuple[Objective, ...] = (
    Objective("accuracy_drop", 0.02, "Accuracy that a canary may lie under its baseline over 1h, absolute."),
    Objective("accuracy_drop_fast", 0.10, "Accuracy that a canary may lie under its baseline over 5m, absolute."),
    Objective("auc_drop", 0.02, "AUC that a canary may lie under its baseline over 1h, absolute."),
    Objective("auc_drop_fast", 0.10, "AUC that a canary may lie under its baseline over 5m, absolute."),
    Objective("log_loss_rise", 0.02, "Log loss that a canary may lie over its baseline over 1h, nats.", high=100.0),
    Objective(
        "log_loss_rise_fast", 0.20, "Log loss that a canary may lie over its baseline over 5m, nats.", high=100.0
    ),
    Objective("error_rise", 0.01, "Share of failed requests that a canary may lie over its baseline over 1h."),
    Objective("error_rise_fast", 0.05, "Share of failed requests that a canary may lie over it over 5m."),
    Objective("slow_rise", 0.02, "Share of slow requests (1 in 20 of the baseline's) that a canary may have more."),
    Objective("business_drop", 0.1, "Part of the baseline's CTR and conversions that a canary may lose, relative."),
    Objective("business_week_drop", 0.2, "Part of last week's CTR, CVR and GMV that a model may lose, relative."),
    Objective(
        "squared_error_rise", 0.05, "Part by which the squared error of a canary may be larger, relative.", high=100.0
    ),
    Objective("ndcg_drop", 0.02, "NDCG that a canary may lie under its baseline, absolute."),
    Objective(
        "min_labels", 200.0, "Labelled predictions (errors: requests) under which no rule compares.", low=1.0, high=1e9
    ),
    Objective(
        "segment_min_labels",
        100.0,
        "Labelled predictions of a segment under which its quality is not shown.",
        low=1.0,
        high=1e9,
    ),
    Objective("label_coverage", 0.5, "Share of predictions with a label under which no quality rule acts."),
    Objective("error_ratio", 0.001, "Budgeted share of failed requests; burn-rate rules speak at 3, 6, 14.4 times it."),
    Objective(
        "latency_seconds",
        10.0,
        "Duration above which a request is slow: an edge of the latency histogram.",
        high=LATENCY_BUCKETS[-1],
    ),
    Objective("slow_ratio", 0.01, "Budgeted share of slow requests; burn-rate rules speak at 3, 6, 14.4 times it."),
    Objective(
        "feature_psi",
        0.2,
        "Population stability index against the reference that opens a drift ticket.",
        high=100.0,
        per_feature=True,
    ),
    Objective(
        "feature_change",
        0.03,
        "Share of a feature's values that may change, or go missing, without a notice.",
        per_feature=True,
    ),
    Objective(
        "feature_missing_ratio",
        0.05,
        "Share of predictions that may lack a usable value of a feature.",
        per_feature=True,
    ),
    Objective(
        "quiet_seconds",
        900.0,
        "Seconds without a prediction that are normal: 300 at least, under a day.",
        low=300.0,
        high=86_399.0,
    ),
)
