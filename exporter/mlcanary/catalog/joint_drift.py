"""Joint drift: whether a discriminator tells live rows from the reference."""

from __future__ import annotations

from mlcanary.catalog.spec import (
    MODEL_VERSION,
    MODEL_VERSION_WINDOW,
    Indicator,
    MetricSpec,
    counter,
    gauge,
    window,
)

ROWS: tuple[MetricSpec, ...] = (
    counter("c2st_rows_total", MODEL_VERSION, "Rows scored by a discriminator that was fitted on rows before them."),
    counter(
        "c2st_placement_total", MODEL_VERSION, "Sum over these rows of the share of reference rows that score lower."
    ),
    counter(
        "c2st_placement_squares_total", MODEL_VERSION, "Sum of the squares of these shares, for the standard error."
    ),
    gauge("c2st_reference_rows", MODEL_VERSION, "Reference rows that live rows are placed among; never fitted."),
    window("c2st_rows", MODEL_VERSION_WINDOW, "Rows scored by the discriminator."),
    window(
        "c2st_auc_ratio",
        MODEL_VERSION_WINDOW,
        "AUC at which a discriminator tells live rows from reference rows; 0.5 without joint drift.",
    ),
    window(
        "c2st_auc_critical_ratio",
        MODEL_VERSION_WINDOW,
        "What c2st_auc_ratio exceeds once in 1e5 windows without joint drift.",
    ),
    window(
        "c2st_shift_stddevs",
        (*MODEL_VERSION_WINDOW, "feature"),
        "What the feature adds to the mean score of live rows, in standard deviations of the reference; ten features.",
    ),
)

_SOURCE = "Lopez-Paz & Oquab 2017; LinearDiscriminantAnalysis(shrinkage='auto') on rank scores and their products"
_SERIES = "model_version:mlcanary_c2st:"

INDICATORS: tuple[Indicator, ...] = (
    Indicator("joint drift: C2ST AUC", "window_c2st_auc_ratio", (f"{_SERIES}auc<W>",), "exact", _SOURCE),
    Indicator(
        "joint drift: C2ST null quantile",
        "window_c2st_auc_critical_ratio",
        (f"{_SERIES}auc_critical<W>", f"{_SERIES}zscore<W>"),
        "conservative: Mann-Whitney variance without ties, reference rows shared by all discriminators",
        "Lehmann 1975, Nonparametrics; quantile 1 - 1e-5",
    ),
    Indicator("joint drift: rows scored", "window_c2st_rows", (f"{_SERIES}rows<W>",), "exact", "count"),
    Indicator(
        "joint drift: features that drive it",
        "window_c2st_shift_stddevs",
        (),
        "exact",
        "terms of the linear discriminant, pair products shared half and half",
    ),
    Indicator(
        "joint drift: canary against baseline",
        "",
        (f"{_SERIES}auc_delta<W>", f"{_SERIES}auc_zscore<W>", f"{_SERIES}auc_stderr<W>"),
        "exact; standard error conservative",
        "Hanley & Hajian-Tilaki 1997, placement values",
    ),
)
