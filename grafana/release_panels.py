"""Panels about a release: the canary beside the baseline now."""

from __future__ import annotations

from panels import (
    BY_VERSION,
    COVERAGE,
    ERRORS,
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
    limit_beside_baseline,
    limit_query,
    lines,
    named,
    number,
    of_version,
    query,
    section,
    table,
)


def release() -> list[Json]:
    """What is going on now."""
    alerts = f'ALERTS{{{PLACE}, alertstate="firing", alertname=~"MLCanary.*", alertname!="MLCanaryWatchdog"}}'
    asked = f'count(ALERTS{{{MODEL}, alertstate="firing", action="rollback"}}) or vector(0)'
    roles = f"max by ({BY_VERSION}, role) (mlcanary_model_info{{{VERSION}}})"
    alarm = ((None, "green"), (1.0, "red"))
    return section(
        "Release",
        "No requests of the chosen versions in this time range.",
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
            "Each version of the model now, over the window chosen above. Coverage: share of the requests whose label "
            "has come. Quality columns are empty without labels.",
            24,
            7,
            "share",
            BY_VERSION,
            ("", "none", roles),
            ("share", "percentunit", of_version(f"{PREDICTIONS}share")),
            ("requests/s", "none", of_version(f"{PREDICTIONS}rate")),
            ("labels", "none", of_version(f"{LABELED}count")),
            ("coverage", "percentunit", of_version(COVERAGE)),
            ("accuracy", "percentunit", of_version(f"{LABELED}accuracy")),
            ("AUC", "none", of_version(f"{SCORE}auc")),
            ("log loss", "none", of_version(f"{LOSS}mean")),
            ("failed", "percentunit", of_version(f"{ERRORS}ratio")),
            ("p95", "s", of_version(f"{LATENCY}p95_")),
            overrides=(named("role", canary="orange", baseline="transparent"),),
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
    )
