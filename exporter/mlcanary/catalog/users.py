"""Users: how many there are, what they are worth, and who was served by both arms."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, Indicator, Kind, MetricSpec, gauge, own

PEER_STATES = ("ok", "failed")
FETCH_FAILURES = ("unresolved", "unreachable", "status", "too_large", "malformed", "salt", "precision", "too_many")
"""Why the sketches of a peer were not taken; each is born at zero."""

_OF_DAY = (*MODEL_VERSION, "day")
_ERROR = "Standard error 0.57 %."

ROWS: tuple[MetricSpec, ...] = (
    gauge(
        "daily_active_users",
        _OF_DAY,
        f"Different users with a request on a UTC day of event time: today or yesterday. {_ERROR} This sidecar alone.",
    ),
    gauge(
        "daily_value",
        _OF_DAY,
        "Net value of the conversions of the day's predictions, losses subtracted. This sidecar alone.",
    ),
    gauge("daily_value_per_user", _OF_DAY, f"Net value of the day by user. {_ERROR} This sidecar alone."),
    own("daily_active_users_relative_error", (), "Standard error of each number of users, as a share of the number."),
    gauge(
        "crossover_users_ratio",
        ("model",),
        "Share of the canary's users of today whom the baseline served too, in this exporter.",
    ),
    own(
        "crossover_users_error_ratio",
        ("model",),
        "The exact share lies within this distance of crossover_users_ratio: three standard errors.",
    ),
    gauge(
        "merged_daily_active_users",
        _OF_DAY,
        f"Different users of the day over this exporter and its peers, each counted once. {_ERROR}",
    ),
    gauge(
        "merged_crossover_users_ratio",
        ("model",),
        "Share of the canary's users of today whom the baseline served too, over this exporter and its peers.",
    ),
    own(
        "merged_crossover_users_error_ratio",
        ("model",),
        "The exact share lies within this distance of merged_crossover_users_ratio: three standard errors.",
    ),
    own("sketch_peers", ("state",), "Peers by whether their sketches were read within the last three intervals."),
    own(
        "sketch_fetch_failures_total",
        ("reason",),
        "Sketches of a peer that were not taken, by reason.",
        Kind.COUNTER,
    ),
)

_BOUND = "standard error 0.57 % (mlcanary_daily_active_users_relative_error)"
_SOURCE = "HyperLogLog, 2^15 registers: Flajolet et al. 2007; estimator of Ertl, arXiv:1702.01284, algorithm 6"

_OVERLAP = "inclusion and exclusion of the sketches: |A| + |B| - |A or B|"
_DAY = "model_version_day:mlcanary_"

INDICATORS: tuple[Indicator, ...] = (
    Indicator("daily active users of a sidecar", "daily_active_users", (), _BOUND, _SOURCE),
    Indicator(
        "daily active users (DAU)",
        "merged_daily_active_users",
        (f"{_DAY}merged_daily_active_users:max",),
        _BOUND,
        _SOURCE,
    ),
    Indicator(
        "daily value of conversions (GMV)",
        "daily_value",
        (f"{_DAY}daily_value:sum",),
        "exact, over the sidecars that run",
        "sum of event values by day of prediction",
    ),
    Indicator(
        "value per user and day",
        "daily_value_per_user",
        (f"{_DAY}daily_value:per_user",),
        _BOUND,
        "daily value / daily active users",
    ),
    Indicator(
        "users seen in both arms, of one exporter",
        "crossover_users_ratio",
        (),
        "within mlcanary_crossover_users_error_ratio",
        _OVERLAP,
    ),
    Indicator(
        "users seen in both arms",
        "merged_crossover_users_ratio",
        ("model:mlcanary_merged_crossover_users_ratio:max",),
        "within mlcanary_merged_crossover_users_error_ratio",
        _OVERLAP,
    ),
)
