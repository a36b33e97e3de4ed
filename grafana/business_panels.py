"""Panels about what a model earns, who its users are, and where in the business it works."""

from __future__ import annotations

from panels import (
    EVENT,
    MODEL,
    Json,
    areas,
    lines,
    number,
    of_version,
    over_hour,
    query,
    section,
)

_CLICKS, _CONVERSIONS = "model_version:mlcanary_clicks:", "model_version:mlcanary_conversions:"
_VALUE, _MATURE = "model_version:mlcanary_conversion_value:", "model_version:mlcanary_mature_"
_SPLIT = "model_version:mlcanary_predictions:split_"
_SEGMENT = "model_version_segment_value:mlcanary_segment_"
_NOISE = "Differences between versions under three standard errors (of users: the second line) are noise."


def earnings() -> list[Json]:
    """As outcomes arrive."""
    return section(
        "As outcomes arrive",
        "No clicks or conversions of the chosen versions: does a source bring business events?",
        lines(
            "Click-through rate",
            "Clicks per answered request.",
            "percentunit",
            query(of_version(f"{_CLICKS}ctr")),
            min=0,
        ),
        lines(
            "Conversion rate", "Conversions per click.", "percentunit", query(of_version(f"{_CONVERSIONS}cvr")), min=0
        ),
        lines(
            "Conversions per request",
            "Conversions per request, failed requests included.",
            "percentunit",
            query(of_version(f"{_CONVERSIONS}per_prediction")),
            min=0,
        ),
        lines(
            "Gross merchandise value",
            "Money of the conversions in the window, gains less losses, in the currency of the log.",
            "none",
            query(of_version(f"{_VALUE}gmv")),
        ),
        lines(
            "Value per 1,000 requests",
            "Money of conversions per 1,000 requests: comparable between versions whatever their share of the traffic.",
            "none",
            query(of_version(f"{_VALUE}per_mille")),
            decimals=2,
        ),
        lines(
            "Standard error of value per 1,000 requests",
            "If requests were independent. Differences under three of these are noise.",
            "none",
            query(of_version(f"{_VALUE}per_mille_stderr")),
            min=0,
            decimals=2,
        ),
        lines(
            "Outcomes per request",
            "Business events of every kind per request, failed requests included.",
            "percentunit",
            query(of_version(f"{EVENT}events:per_prediction"), "{{event}} {{version}}"),
            min=0,
        ),
        lines(
            "Canary against baseline, in standard errors",
            "Over an hour. Under 0 the canary earns less; beyond 3 in either direction is more than noise.",
            "none",
            query(over_hour(f"{_CLICKS}ctr_zscore"), "{{version}} CTR"),
            query(over_hour(f"{_CONVERSIONS}cvr_zscore"), "{{version}} CVR"),
            query(over_hour(f"{_VALUE}per_prediction_zscore"), "{{version}} value"),
            decimals=1,
        ),
        lines(
            "Standard error of CTR",
            f"Over an hour: if requests were independent, and by users, who come more than once. {_NOISE}",
            "percentunit",
            query(over_hour(f"{_CLICKS}ctr_stderr"), "{{version}} requests"),
            query(over_hour(f"{_CLICKS}ctr_user_stderr"), "{{version}} users"),
            min=0,
        ),
        *_by_event(),
    )


def _by_event() -> list[Json]:
    """Money of every kind of event."""
    by = "{{event}} {{version}}"
    return [
        lines(
            "Value per request by event",
            "Money per request, refunds subtracted, in the currency of the log.",
            "none",
            query(of_version(f"{EVENT}value:mean"), by),
            width=12,
            decimals=3,
        ),
        lines(
            "Standard error of value per request by event",
            "If requests were independent. Differences between versions under three of these are noise.",
            "none",
            query(of_version(f"{EVENT}value:mean_stderr"), by),
            width=12,
            min=0,
            decimals=3,
        ),
    ]


def mature() -> list[Json]:
    """Once the wait for outcomes is over: late outcomes do not bend these."""
    return section(
        "Once the wait for outcomes is over",
        "No prediction is as old as models.maturity yet, or no outcome has come.",
        lines(
            "Clicks", "Clicks per mature prediction.", "percentunit", query(of_version(f"{_MATURE}clicks:ctr")), min=0
        ),
        lines(
            "Conversions",
            "Conversions per mature prediction.",
            "percentunit",
            query(of_version(f"{_MATURE}conversions:per_prediction")),
            min=0,
        ),
        lines(
            "Value",
            "Money of conversions per mature prediction.",
            "none",
            query(of_version(f"{_MATURE}value:per_prediction")),
            decimals=3,
        ),
    )


def users() -> list[Json]:
    """Who is served, and by which version."""
    active = f"max by (version, day) (model_version_day:mlcanary_merged_daily_active_users:max{{{MODEL}}})"
    crossed = f"max(model:mlcanary_merged_crossover_users_ratio:max{{{MODEL}}})"
    worth = f"max by (version, day) (model_version_day:mlcanary_daily_value:per_user{{{MODEL}}})"
    return section(
        "Users and split",
        "No request names a user, so there is nobody to count.",
        number(
            "Users in both arms",
            "Share of the canary's users of today whom the baseline served too. Far over 0: the split is not by user.",
            "percentunit",
            crossed,
            (None, "green"),
            (0.05, "orange"),
        ),
        lines(
            "Daily active users",
            "Different users of a UTC day, over all exporters that read each other's sketches; within 1 %.",
            "short",
            query(active, "{{version}} {{day}}"),
            width=10,
            min=0,
        ),
        lines(
            "Value by user",
            "Net value of the day's conversions by user.",
            "none",
            query(worth, "{{version}} {{day}}"),
            width=10,
            decimals=2,
        ),
        areas(
            "Share of the traffic",
            "Share of each version in the requests that the split is judged by.",
            "percentunit",
            query(of_version(f"{_SPLIT}share")),
            width=12,
            max=1,
        ),
        lines(
            "Deviation from the configured split",
            "Share less the one in the configuration (models.split).",
            "percentunit",
            query(of_version(f"{_SPLIT}deviation")),
            width=12,
        ),
    )


def segments() -> list[Json]:
    """Where in the business."""
    by = "{{segment}}={{value}} {{version}}"
    return section(
        "Segments",
        "No segments: name features under models.segments.",
        lines(
            "Requests",
            "Requests per second by segment.",
            "reqps",
            query(of_version(f"{_SEGMENT}predictions:rate"), by),
            min=0,
        ),
        lines(
            "Accuracy",
            "Share of labelled predictions that were right, by segment.",
            "percentunit",
            query(of_version(f"{_SEGMENT}labeled_predictions:accuracy"), by),
        ),
        lines(
            "Value per request",
            "Money of conversions per request, by segment.",
            "none",
            query(of_version(f"{_SEGMENT}conversion_value:per_prediction"), by),
            decimals=3,
        ),
    )
