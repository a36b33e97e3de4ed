"""Quality of rankings and recommendations: one figure per request, summed."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, MODEL_VERSION_WINDOW, Indicator, MetricSpec, counter, window

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "ranking_requests_total",
        (*MODEL_VERSION, "k"),
        "Labelled rankings with a relevant item whose first k places were measured.",
    ),
    counter(
        "ranking_figure_total",
        (*MODEL_VERSION, "figure", "k"),
        "Sum of a figure over requests: ndcg, recall, hit and precision at k, reciprocal_rank of all places.",
    ),
    counter(
        "ranking_figure_squares_total",
        (*MODEL_VERSION, "figure", "k"),
        "Sum of squares of a figure over requests, for the standard error.",
    ),
    counter(
        "ranking_unusable_total",
        (*MODEL_VERSION, "reason"),
        "Labelled rankings left out: broken_label, no_prediction or no_relevant_item.",
    ),
    window("ndcg_ratio", (*MODEL_VERSION_WINDOW, "k"), "Mean NDCG of the first k places."),
    window("recall_at_ratio", (*MODEL_VERSION_WINDOW, "k"), "Mean share of relevant items in the first k places."),
    window("hit_ratio", (*MODEL_VERSION_WINDOW, "k"), "Share of requests with a relevant item in the first k places."),
    window("precision_at_ratio", (*MODEL_VERSION_WINDOW, "k"), "Mean share of the first k places that is relevant."),
    window("reciprocal_rank_ratio", MODEL_VERSION_WINDOW, "Mean of 1 / place of the first relevant item (MRR)."),
)

_F = "model_version_figure_k:mlcanary_ranking_figure:"
_RECORDED = (f"{_F}mean<W>", f"{_F}mean_stderr<W>", f"{_F}mean_delta<W>", f"{_F}mean_zscore<W>")

INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "NDCG@k",
        "window_ndcg_ratio",
        _RECORDED,
        "exact",
        "Järvelin & Kekäläinen (2002), linear gains; scikit-learn ndcg_score",
    ),
    Indicator(
        "MRR",
        "window_reciprocal_rank_ratio",
        _RECORDED,
        "exact; a place beyond limits.items counts as not shown",
        "Voorhees (1999), TREC-8",
    ),
    Indicator(
        "recall@k",
        "window_recall_at_ratio",
        _RECORDED,
        "exact",
        "Manning, Raghavan & Schütze (2008), chapter 8",
    ),
    Indicator("hit rate@k", "window_hit_ratio", _RECORDED, "exact", "share of requests with recall@k above 0"),
    Indicator(
        "precision@k",
        "window_precision_at_ratio",
        _RECORDED,
        "exact",
        "Manning, Raghavan & Schütze (2008), chapter 8; empty places count",
    ),
    Indicator(
        "unusable labels of a ranking model",
        "ranking_unusable_total",
        ("model_version_reason:mlcanary_ranking_unusable:rate<W>",),
        "exact",
        "count of labelled rows without a ranking or without a relevant item",
    ),
)
