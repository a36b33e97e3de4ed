"""Business outcomes: clicks, orders, money, how certain they are, and whether traffic is split as configured."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, MODEL_VERSION_WINDOW, Indicator, MetricSpec, counter, gauge, window

_EVENT = (*MODEL_VERSION, "event")
_BUCKET = (*MODEL_VERSION, "bucket")
_FIGURE = (*MODEL_VERSION_WINDOW, "figure")
_LATE = "As they arrive: provisional where outcomes come late."

ROWS: tuple[MetricSpec, ...] = (
    counter("business_events_total", _EVENT, f"Outcomes such as click or purchase joined to a prediction. {_LATE}"),
    counter("business_value_total", (*_EVENT, "sign"), f"Money of joined outcomes, by sign. {_LATE}"),
    counter("business_value_squares_total", _EVENT, f"Sum of squared values of joined outcomes. {_LATE}"),
    counter("mature_predictions_total", MODEL_VERSION, "Answered predictions whose wait for outcomes is over."),
    counter("mature_events_total", _EVENT, "Outcomes of mature predictions, counted once their wait is over."),
    counter(
        "mature_clicked_conversions_total", MODEL_VERSION, "Mature predictions that had both a click and a conversion."
    ),
    counter("mature_value_total", (*_EVENT, "sign"), "Money of the outcomes of mature predictions, by sign."),
    counter("mature_value_squares_total", _EVENT, "Sum of squared values of the outcomes of mature predictions."),
    counter("user_bucket_predictions_total", _BUCKET, "Requests that name a user, by hash of the user in 64 buckets."),
    counter("user_bucket_errors_total", _BUCKET, "Failed requests that name a user, by bucket of users."),
    counter(
        "user_bucket_events_total",
        (*_BUCKET, "event"),
        f"Clicks and conversions of predictions that name a user, by bucket of users. {_LATE}",
    ),
    counter(
        "user_bucket_value_total",
        (*_BUCKET, "sign"),
        f"Money of conversions of predictions that name a user, by bucket of users and sign. {_LATE}",
    ),
    counter(
        "mature_user_bucket_predictions_total", _BUCKET, "Mature predictions that name a user, by bucket of users."
    ),
    counter(
        "mature_user_bucket_events_total",
        (*_BUCKET, "event"),
        "Clicks and conversions of mature predictions that name a user, by bucket of users.",
    ),
    counter(
        "mature_user_bucket_value_total",
        (*_BUCKET, "sign"),
        "Money of conversions of mature predictions that name a user, by bucket of users and sign.",
    ),
    counter(
        "mature_user_bucket_value_squares_total",
        _BUCKET,
        "Sum of squared values of conversions of mature predictions that name a user, by bucket of users.",
    ),
    gauge(
        "business_event_info",
        ("model", "event", "meaning"),
        "Which event is the click and which the conversion; there once the event has been seen.",
    ),
    gauge("expected_share_ratio", MODEL_VERSION, "Share of the traffic that the configuration gives a version."),
    window("ctr_ratio", MODEL_VERSION_WINDOW, f"Clicks per answered request. {_LATE}"),
    window("cvr_ratio", MODEL_VERSION_WINDOW, f"Conversions per click. {_LATE}"),
    window(
        "conversion_per_prediction_ratio",
        MODEL_VERSION_WINDOW,
        f"Conversions per request, failed ones included. {_LATE}",
    ),
    window("gmv", MODEL_VERSION_WINDOW, f"Money of conversions, gains less losses. {_LATE}"),
    window(
        "value_per_prediction",
        MODEL_VERSION_WINDOW,
        f"Money of conversions per request, failed ones included. {_LATE}",
    ),
    window("revenue_per_mille", MODEL_VERSION_WINDOW, f"Money of conversions per 1000 requests. {_LATE}"),
    window("mature_ctr_ratio", MODEL_VERSION_WINDOW, "Clicks per mature prediction."),
    window("mature_cvr_ratio", MODEL_VERSION_WINDOW, "Conversions per click of mature predictions."),
    window("mature_conversion_per_prediction_ratio", MODEL_VERSION_WINDOW, "Conversions per mature prediction."),
    window("mature_value_per_prediction", MODEL_VERSION_WINDOW, "Money of conversions per mature prediction."),
    window(
        "business_stderr",
        _FIGURE,
        "Standard error of a business figure if requests were independent; 1.96 of it to each side hold 95 %. "
        "Too small where users send many requests.",
    ),
    window(
        "business_user_stderr",
        _FIGURE,
        "Standard error of a business figure over 64 buckets of users; 1.998 of it to each side hold 95 %. "
        "Absent while fewer than 32 buckets have requests.",
    ),
)

_CLICKS, _CONVERSIONS = "model_version:mlcanary_clicks:", "model_version:mlcanary_conversions:"
_VALUE = "model_version:mlcanary_conversion_value:"
_MATURE = "model_version:mlcanary_mature_"
_SPLIT = "model_version:mlcanary_predictions:split_"
_COCHRAN = "ratio estimator over clusters: Cochran 1977, 6.3; Deng, Knoblich & Lu, KDD 2018"


def _compared(name: str) -> tuple[str, str]:
    return f"{name}_delta<W>", f"{name}_zscore<W>"


INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "CTR",
        "window_ctr_ratio",
        (f"{_CLICKS}ctr<W>", *_compared(f"{_CLICKS}ctr")),
        "exact",
        "clicks / answered requests",
    ),
    Indicator(
        "CVR",
        "window_cvr_ratio",
        (f"{_CONVERSIONS}cvr<W>", *_compared(f"{_CONVERSIONS}cvr")),
        "exact",
        "conversions / clicks",
    ),
    Indicator(
        "conversions per request",
        "window_conversion_per_prediction_ratio",
        (f"{_CONVERSIONS}per_prediction<W>", *_compared(f"{_CONVERSIONS}per_prediction")),
        "exact",
        "conversions / requests",
    ),
    Indicator("GMV", "window_gmv", (f"{_VALUE}gmv<W>",), "exact", "sum of conversion values, gains less losses"),
    Indicator(
        "GMV per request",
        "window_value_per_prediction",
        (f"{_VALUE}per_prediction<W>", *_compared(f"{_VALUE}per_prediction")),
        "exact",
        "GMV / requests",
    ),
    Indicator(
        "revenue per mille", "window_revenue_per_mille", (f"{_VALUE}per_mille<W>",), "exact", "1000 * GMV / requests"
    ),
    Indicator(
        "standard error of business figures, event level",
        "window_business_stderr",
        (
            f"{_CLICKS}ctr_stderr<W>",
            f"{_CONVERSIONS}cvr_stderr<W>",
            f"{_CONVERSIONS}per_prediction_stderr<W>",
            f"{_VALUE}gmv_stderr<W>",
            f"{_VALUE}per_prediction_stderr<W>",
            f"{_VALUE}per_mille_stderr<W>",
            f"{_MATURE}clicks:ctr_stderr<W>",
            f"{_MATURE}conversions:cvr_stderr<W>",
            f"{_MATURE}conversions:per_prediction_stderr<W>",
            f"{_MATURE}value:per_prediction_stderr<W>",
        ),
        "exact; CVR as if conversions followed clicks, mature CVR without that",
        "binomial; delta method: Casella & Berger 2002, 5.5.4; scipy.stats.sem",
    ),
    Indicator(
        "standard error of business figures, user level",
        "window_business_user_stderr",
        (
            f"{_CLICKS}ctr_user_stderr<W>",
            f"{_CLICKS}ctr_user_halfwidth<W>",
            f"{_CONVERSIONS}cvr_user_stderr<W>",
            f"{_CONVERSIONS}cvr_user_halfwidth<W>",
            f"{_CONVERSIONS}per_prediction_user_stderr<W>",
            f"{_CONVERSIONS}per_prediction_user_halfwidth<W>",
            f"{_VALUE}per_prediction_user_stderr<W>",
            f"{_VALUE}per_prediction_user_halfwidth<W>",
        ),
        "exact, over 64 buckets of users",
        _COCHRAN,
    ),
    Indicator(
        "mature CTR",
        "window_mature_ctr_ratio",
        (f"{_MATURE}clicks:ctr<W>", *_compared(f"{_MATURE}clicks:ctr")),
        "exact",
        "clicks / mature predictions",
    ),
    Indicator(
        "mature CVR",
        "window_mature_cvr_ratio",
        (f"{_MATURE}conversions:cvr<W>", *_compared(f"{_MATURE}conversions:cvr")),
        "exact",
        "conversions / clicks, of mature predictions",
    ),
    Indicator(
        "mature conversions per prediction",
        "window_mature_conversion_per_prediction_ratio",
        (f"{_MATURE}conversions:per_prediction<W>", *_compared(f"{_MATURE}conversions:per_prediction")),
        "exact",
        "conversions / mature predictions",
    ),
    Indicator(
        "mature value per prediction",
        "window_mature_value_per_prediction",
        (f"{_MATURE}value:per_prediction<W>", *_compared(f"{_MATURE}value:per_prediction")),
        "exact",
        "value of conversions / mature predictions",
    ),
    Indicator(
        "sample ratio mismatch",
        "expected_share_ratio",
        (
            f"{_SPLIT}share<W>",
            f"{_SPLIT}deviation<W>",
            f"{_SPLIT}user_zscore<W>",
            "model:mlcanary_predictions:split_chisquare<W>",
            "model:mlcanary_predictions:split_chisquare_critical<W>",
            "model:mlcanary_predictions:split_mismatch<W>",
        ),
        "exact; the critical value lies up to 3 % above the exact one (Wilson-Hilferty)",
        f"Pearson's chi-square at p = 0.001; {_COCHRAN}; Fabijan et al., KDD 2019",
    ),
)
