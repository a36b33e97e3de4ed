"""What the judge reads: series at one instant of Prometheus time, and the families that it needs.

Guarantee: values only; whoever reads them decides what they mean. A reading is complete or it is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from mlcanary.catalog import BY_NAME
from mlcanary.errors import MLCanaryError


class ReadingError(MLCanaryError):
    """Counters could not be read, or not all of them; nothing was judged and nothing is lost.

    `refused`: the server answered, and this question will not be answered better by asking again at once. False: it
    could not be reached.
    """

    def __init__(self, message: str, *, hint: str = "", refused: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.refused = refused


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One series at the instant; `labels` without the name. Never NaN.

    `key`: how the server spells name and labels, so that a series is known again without looking at each; "" is none.
    """

    name: str
    labels: dict[str, str]
    value: float
    key: bytes = b""


class Reading(msgspec.Struct, frozen=True):
    """Every series that was asked for at `at`, Unix seconds; `not_numbers`: series left out since they were NaN."""

    at: float
    series: list[Sample]
    not_numbers: int = 0


class Reader(Protocol):
    """Where readings come from."""

    def now(self) -> float:
        """The clock of Prometheus, Unix seconds. Raises ReadingError."""

    def read(self, at: float, models: Sequence[str] | None = None) -> Reading:
        """The series of these models at `at`, of all that have a canary and a baseline if None. Raises ReadingError.

        `mlcanary_model_info` and `mlcanary_up` are those of every model. Families in `REFERENCES` come without the
        labels of the exporter that told them.
        """


INFO, UP = "mlcanary_model_info", "mlcanary_up"
"""Read for all models: who plays which part, and which sources can be read."""

EDGES, EVENT = "mlcanary_bin_edges_info", "mlcanary_business_event_info"
MATURITY, SHARE, THRESHOLD = (
    "mlcanary_label_maturity_seconds",
    "mlcanary_expected_share_ratio",
    "mlcanary_objective_threshold",
)
FACTS = (EDGES, EVENT, MATURITY, SHARE, THRESHOLD)
"""What exporters say about a model, beside what they count."""

REFERENCE, ROWS, MISSING = (
    "mlcanary_feature_reference_ratio",
    "mlcanary_feature_reference_observations",
    "mlcanary_feature_reference_missing_ratio",
)
REFERENCES: dict[str, tuple[str, ...]] = {
    name: ("cluster", "namespace", *BY_NAME[name].labels) for name in (REFERENCE, ROWS, MISSING)
}
"""Families that are the same on every exporter of a model, with the labels that are kept."""

PREDICTIONS, LATENCY = "mlcanary_predictions_total", "mlcanary_prediction_latency_seconds_bucket"
CONFUSION, SCORES = "mlcanary_labeled_predictions_total", "mlcanary_labeled_score_bin_total"
RANKINGS, FIGURES, FIGURE_SQUARES = (
    "mlcanary_ranking_requests_total",
    "mlcanary_ranking_figure_total",
    "mlcanary_ranking_figure_squares_total",
)
RESIDUALS, RESIDUAL_SQUARES, RESIDUAL_POWERS = (
    "mlcanary_residual_observations_total",
    "mlcanary_residual_squares_total",
    "mlcanary_residual_fourth_powers_total",
)
MATURE, MATURE_EVENTS, MATURE_BOTH, MATURE_VALUE, MATURE_SQUARES = (
    "mlcanary_mature_predictions_total",
    "mlcanary_mature_events_total",
    "mlcanary_mature_clicked_conversions_total",
    "mlcanary_mature_value_total",
    "mlcanary_mature_value_squares_total",
)
USERS, USER_EVENTS, USER_VALUE, USER_SQUARES = (
    "mlcanary_mature_user_bucket_predictions_total",
    "mlcanary_mature_user_bucket_events_total",
    "mlcanary_mature_user_bucket_value_total",
    "mlcanary_mature_user_bucket_value_squares_total",
)
JOINS, COHORT, COHORT_LABELED = (
    "mlcanary_label_joins_total",
    "mlcanary_label_age_predictions_total",
    "mlcanary_label_age_labeled_total",
)
BINS, FEATURE_MISSING = "mlcanary_feature_bin_total", "mlcanary_feature_missing_total"

COUNTERS: dict[str, tuple[str, ...]] = {
    PREDICTIONS: ("predicted",),
    LATENCY: ("le",),
    CONFUSION: ("actual", "predicted"),
    SCORES: ("actual", "bin"),
    **{f"mlcanary_{loss}{part}": () for loss in ("log_loss", "brier_score") for part in ("_count", "_sum")},
    **{f"mlcanary_{loss}_squares_total": () for loss in ("log_loss", "brier_score")},
    RESIDUALS: (),
    RESIDUAL_SQUARES: ("sign",),
    RESIDUAL_POWERS: (),
    RANKINGS: ("k",),
    FIGURES: ("figure", "k"),
    FIGURE_SQUARES: ("figure", "k"),
    MATURE: (),
    MATURE_EVENTS: ("event",),
    MATURE_BOTH: (),
    MATURE_VALUE: ("event", "sign"),
    MATURE_SQUARES: ("event",),
    USERS: ("bucket",),
    USER_EVENTS: ("bucket", "event"),
    USER_VALUE: ("bucket", "sign"),
    USER_SQUARES: ("bucket",),
    JOINS: ("result",),
    COHORT: (),
    COHORT_LABELED: ("age",),
    BINS: ("feature", "bin"),
    FEATURE_MISSING: ("feature",),
}
"""Counters by name on the wire, with their own labels beside model and version."""

FRACTIONAL = frozenset(
    {
        *(f"mlcanary_{loss}{part}" for loss in ("log_loss", "brier_score") for part in ("_sum", "_squares_total")),
        RESIDUAL_SQUARES,
        RESIDUAL_POWERS,
        FIGURES,
        FIGURE_SQUARES,
        MATURE_VALUE,
        MATURE_SQUARES,
        USER_VALUE,
        USER_SQUARES,
    }
)
"""Counters that are sums of numbers; the others count things and add up without any rounding."""
