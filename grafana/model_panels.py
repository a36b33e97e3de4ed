"""Panels about models: release, quality, labels, features, latency and business."""

from __future__ import annotations

from panels import (
    BY_VERSION,
    CLASS,
    COVERAGE,
    ERRORS,
    EVENT,
    FEATURE,
    LABELED,
    LATENCY,
    LOSS,
    MODEL,
    PLACE,
    PREDICTIONS,
    SCORE,
    VERSION,
    Json,
    W,
    areas,
    limit,
    limit_beside_baseline,
    limit_query,
    lines,
    number,
    of_version,
    panel,
    quantile_of,
    query,
    row,
    table,
)


def release() -> list[Json]:
    """What is going on now."""
    alerts = f'ALERTS{{{PLACE}, alertstate="firing", alertname=~"MLCanary.*", alertname!="MLCanaryWatchdog"}}'
    asked = f'count(ALERTS{{{MODEL}, alertstate="firing", action="rollback"}}) or vector(0)'
    roles = f"max by ({BY_VERSION}, role) (mlcanary_model_info{{{VERSION}}})"
    alarm = ((None, "green"), (1.0, "red"))
    return [
        row("Release"),
        number("Rollback asked for", "Firing alerts of this model with action=rollback.", "none", asked, *alarm),
        number("Alerts", "All firing alerts of mlcanary in reach.", "none", f"count({alerts}) or vector(0)", *alarm),
        number(
            "Comparable canaries",
            "Canaries with enough labels on both sides, label coverage and undisputed roles: only these are judged.",
            "none",
            f"count({LABELED}comparable{W}{{{MODEL}}} or {SCORE}comparable{W}{{{MODEL}}}) or vector(0)",
            (None, "semi-dark-blue"),
            (1.0, "green"),
        ),
        number(
            "Comparable by errors",
            "Canaries with enough requests on both sides for the comparison of failures, which needs no labels.",
            "none",
            f"count({PREDICTIONS}comparable{W}{{{MODEL}}}) or vector(0)",
            (None, "semi-dark-blue"),
            (1.0, "green"),
        ),
        number(
            "Versions in conflict",
            "Versions with more than one role, and models whose sidecars count in different bins. Nothing is compared.",
            "none",
            f"count(model_version:mlcanary_model_info:roles{{{MODEL}}} > 1"
            f" or model:mlcanary_bin_edges_info:hashes{{{MODEL}}} > 1) or vector(0)",
            *alarm,
        ),
        number(
            "Watchdog",
            "Time since the handler last heard the watchdog, which comes every minute.",
            "s",
            f"time() - max(mlcanary_watchdog_last_received_timestamp_seconds{{{PLACE}}})",
            (None, "green"),
            (300.0, "orange"),
            (600.0, "red"),
        ),
        table(
            "Versions",
            "Each version of the model now, over the window chosen above. Quality columns are empty without labels.",
            24,
            7,
            "share",
            BY_VERSION,
            ("", "none", roles),
            ("share", "percentunit", of_version(f"{PREDICTIONS}share")),
            ("requests/s", "none", of_version(f"{PREDICTIONS}rate")),
            ("labels", "none", of_version(f"{LABELED}count")),
            ("label coverage", "percentunit", of_version(COVERAGE)),
            ("accuracy", "percentunit", of_version(f"{LABELED}accuracy")),
            ("AUC", "none", of_version(f"{SCORE}auc")),
            ("log loss", "none", of_version(f"{LOSS}mean")),
            ("failed", "percentunit", of_version(f"{ERRORS}ratio")),
            ("p95", "s", of_version(f"{LATENCY}p95_")),
        ),
        areas(
            "Traffic share",
            "Share of each version in the model's requests: what the router really does.",
            "percentunit",
            query(of_version(f"{PREDICTIONS}share")),
            max=1,
        ),
        lines(
            "Requests", "Requests per second, failed ones included.", "reqps", query(of_version(f"{PREDICTIONS}rate"))
        ),
        lines(
            "Failed requests",
            "Share of failed requests. Dashed: how far the canary may lie over the baseline, over 5m (fast) and 1h.",
            "percentunit",
            query(of_version(f"{ERRORS}ratio")),
            limit_query(limit_beside_baseline(f"{ERRORS}ratio", "+", "error_rise(_fast)?")),
            min=0,
        ),
    ]


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
    return [
        row("Quality, from labels"),
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
            query(of_version(f"{SCORE}average_precision")),
            width=6,
            decimals=3,
        ),
        lines(
            "Separation of scores",
            "Kolmogorov-Smirnov distance between the scores of positives and of negatives.",
            "none",
            query(of_version(f"{SCORE}ks")),
            width=6,
            decimals=3,
        ),
        lines(
            "Calibration error",
            "Expected calibration error over the score bins: mean distance between score and frequency.",
            "percentunit",
            query(of_version(f"{SCORE}ece")),
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
    ]


def labels() -> list[Json]:
    """Can quality be trusted?"""
    joins = f"sum by (result) (rate(mlcanary_label_joins_total{{{VERSION}}}[$__rate_interval]))"
    unmatched = f"sum(rate(mlcanary_labels_unmatched_total{{{MODEL}}}[$__rate_interval]))"
    newest_prediction = f"time() - max by (version) (mlcanary_last_prediction_timestamp_seconds{{{VERSION}}})"
    newest_label = f"time() - max by (version) (mlcanary_last_label_timestamp_seconds{{{VERSION}}})"
    return [
        row("Labels"),
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
    ]


def features() -> list[Json]:
    """What goes in."""
    psi = of_version(f"{FEATURE}psi")
    missing = of_version("model_version_feature:mlcanary_feature_missing:ratio")
    # `@ end()` ranks once, at the end of the range, so that no line comes and goes.
    top = f"topk(10, max by (feature) ({FEATURE}psi{W}{{{VERSION}}} @ end()))"
    mistyped = f"sum by (version, feature) (rate(mlcanary_feature_mistyped_total{{{VERSION}}}[$__rate_interval])) > 0"
    bars = {
        "fieldConfig": {
            "defaults": {
                "unit": "none",
                "decimals": 2,
                "min": 0,
                "color": {"mode": "thresholds"},
                "thresholds": {
                    "mode": "absolute",
                    "steps": [
                        {"value": None, "color": "green"},
                        {"value": 0.1, "color": "orange"},
                        {"value": 0.2, "color": "red"},
                    ],
                },
            },
            "overrides": [],
        },
        "options": {
            "orientation": "horizontal",
            "displayMode": "gradient",
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "showUnfilled": True,
        },
    }
    ranked = f"sort_desc(topk(10, {psi}))"
    return [
        row("Features"),
        panel(
            "bargauge",
            "Drift, top ten",
            "Population stability index against the reference now. Over 0.2 is called a large shift.",
            8,
            11,
            [query(ranked, "{{feature}} {{version}}", instant=True, range=False)],
            **bars,
        ),
        table(
            "Drift",
            "All features now. PSI and chi-square mean something above their critical value. vs baseline: PSI of the "
            "canary against the live baseline. Distance: Wasserstein, in reference standard deviations.",
            16,
            11,
            "PSI",
            f"{BY_VERSION}, feature",
            ("PSI", "none", psi),
            ("critical PSI", "none", of_version(f"{FEATURE}psi_critical")),
            ("vs baseline", "none", of_version(f"{FEATURE}psi_baseline")),
            ("KS", "none", of_version(f"{FEATURE}ks")),
            ("chi-square", "none", of_version(f"{FEATURE}chisquare")),
            ("critical chi-square", "none", of_version(f"{FEATURE}chisquare_critical")),
            ("distance", "none", of_version(f"{FEATURE}wasserstein")),
            ("missing", "percentunit", missing),
        ),
        lines(
            "Drift over time",
            "Population stability index of the ten features that drift most at the end. Dashed: the limit.",
            "none",
            query(f"{psi} and on (feature) {top}", "{{feature}} {{version}}"),
            limit_query(limit("feature_psi")),
            min=0,
            decimals=2,
        ),
        lines(
            "Missing values",
            "Share of answered requests that lack a feature. Dashed: the limit.",
            "percentunit",
            query(f"{missing} > 0", "{{feature}} {{version}}"),
            limit_query(limit("feature_missing_ratio")),
            min=0,
        ),
        lines(
            "Values of a wrong type",
            "Values per second of another type than in the reference. No line: none.",
            "ops",
            query(mistyped, "{{feature}} {{version}}"),
            min=0,
        ),
    ]


def latency_and_business() -> list[Json]:
    """How fast, and what it earns."""
    return [
        row("Latency and business"),
        *(
            lines(
                f"Latency p{p}",
                f"{p}th percentile of the latency that the model server logged, interpolated in its bucket.",
                "s",
                query(of_version(f"{LATENCY}p{p}_")),
                min=0,
            )
            for p in (50, 95, 99)
        ),
        lines(
            "Outcomes per request",
            "Business events such as clicks or purchases per request, failed requests included.",
            "percentunit",
            query(of_version(f"{EVENT}events:per_prediction"), "{{event}} {{version}}"),
            min=0,
        ),
        lines(
            "Value per request",
            "Money per request, refunds subtracted, in the currency of the log.",
            "none",
            query(of_version(f"{EVENT}value:mean"), "{{event}} {{version}}"),
            decimals=3,
        ),
        lines(
            "Standard error of value per request",
            "Differences between versions under three of these are noise.",
            "none",
            query(of_version(f"{EVENT}value:mean_stderr"), "{{event}} {{version}}"),
            min=0,
            decimals=3,
        ),
    ]
