"""Sampling: which rows are looked at, what they stand for, and the error that it brings."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, MODEL_VERSION_WINDOW, Indicator, Kind, MetricSpec, counter, own, window

SHEDDING_DIRECTIONS = ("more", "less")

ROWS: tuple[MetricSpec, ...] = (
    own(
        "sampling_weight_total",
        MODEL_VERSION,
        "Requests that the rows read stand for: the sum of their weights, 1 for a row without one.",
        Kind.COUNTER,
    ),
    counter(
        "feature_rows_total",
        MODEL_VERSION,
        "Answered requests whose features were counted: what counts of features are shares of.",
    ),
    own("sampling_ratio", ("model", "stage"), "Share of the rows that a stage takes now: features, joint_drift."),
    own(
        "shedding_changes_total",
        ("direction",),
        "Steps of load shedding taken (more) and taken back (less).",
        Kind.COUNTER,
    ),
    own(
        "sampling_left_out_total",
        ("source",),
        "Predictions and labels left out so that rows of unequal weights are equally likely (max_weight).",
        Kind.COUNTER,
    ),
    own(
        "sampling_unequal_weights_total",
        ("source",),
        "Predictions whose weight is not that of the first one while no max_weight makes up for it, or is above it.",
        Kind.COUNTER,
    ),
    window(
        "sampling_weight_ratio",
        MODEL_VERSION_WINDOW,
        "Requests that a row stands for on average: QPS, GMV and other totals are so many times greater.",
    ),
    window(
        "sampling_error_ratio",
        MODEL_VERSION_WINDOW,
        "How far the share of a bin may lie from that of all rows, at 95 %, as not all were looked at; 0 if all were.",
    ),
)

INDICATORS: tuple[Indicator, ...] = ()
