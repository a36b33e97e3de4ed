"""Panels about features: what goes in, whether it changed, and how one feature is distributed."""

from __future__ import annotations

from inlined import inlined
from panels import (
    BY_VERSION,
    FEATURE,
    MODEL,
    VERSION,
    Json,
    bars,
    colored,
    gauged,
    latest,
    limit,
    limit_of_feature,
    limit_query,
    lines,
    of_version,
    over_hour,
    own_limits,
    query,
    section,
    steps,
    table,
    top,
)

_CHANCES = steps((None, "green"), (1.0, "orange"), (5.0, "red"))
_CELLS = steps((None, "transparent"), (0.1, "orange"), (0.2, "red"))
_VALUE = "model_version_feature:mlcanary_feature_value:"
_THE_FEATURE = ', feature="$feature"'
_ONE = VERSION + _THE_FEATURE


def features() -> list[Json]:
    """Which features moved."""
    psi = over_hour(f"{FEATURE}psi")
    missing = over_hour("model_version_feature:mlcanary_feature_missing:ratio")
    mistyped = f"sum by (version, feature) (rate(mlcanary_feature_mistyped_total{{{VERSION}}}[$__rate_interval])) > 0"
    by_feature, own = "{{feature}} {{version}}", "limit {{objective}} {{feature}}"
    return section(
        "Features",
        "Nothing to compare: the model has no reference profile (mlcanary profile), or nothing of the kind happened.",
        bars(
            "Drift, top ten",
            "Population stability index against the reference now, in multiples of its critical value: above 1 is more "
            "than chance gives once in 100,000 windows. How large it is stands in the table.",
            "none",
            _CHANCES,
            latest(f"sort_desc(topk(10, {psi} / {over_hour(f'{FEATURE}psi_critical')}))", by_feature),
            max=10,
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
            ("critical PSI", "none", over_hour(f"{FEATURE}psi_critical")),
            ("vs baseline", "none", _of_chosen(f"{FEATURE}psi_baseline1h")),
            ("KS", "none", _of_chosen(f"{FEATURE}ks1h")),
            ("chi-square", "none", _of_chosen(f"{FEATURE}chisquare1h")),
            ("critical chi-square", "none", over_hour(f"{FEATURE}chisquare_critical")),
            ("distance", "none", _of_chosen(f"{FEATURE}wasserstein1h")),
            ("missing", "percentunit", missing),
        ),
        table(
            "Heat of the last day",
            "PSI of every feature over an hour, now and as it was. An empty cell: nothing was recorded then.",
            16,
            9,
            "now",
            f"{BY_VERSION}, feature",
            ("now", "none", psi),
            *((f"{ago} ago", "none", f"{psi} offset {ago}") for ago in ("30m", "1h", "6h", "1d")),
            overrides=tuple(colored(name, _CELLS) for name in ("now", "30m ago", "1h ago", "6h ago", "1d ago")),
        ),
        lines(
            "Joint drift",
            "AUC at which a classifier tells live rows from reference rows: 0.5 is no difference. Dashed: what it "
            "exceeds by chance once in 100,000 windows. It sees features that only moved together.",
            "none",
            query(of_version("model_version:mlcanary_c2st:auc")),
            query(of_version("model_version:mlcanary_c2st:auc_critical"), "limit {{version}}"),
            decimals=3,
        ),
        lines(
            "Drift over time",
            "Population stability index of the ten features that drift most at the end. Dashed: the limit, and that "
            "of each feature that has its own.",
            "none",
            query(top(lambda at: psi + at, "feature"), by_feature),
            limit_query(limit("feature_psi")),
            query(own_limits("feature_psi"), own),
            min=0,
            decimals=2,
        ),
        lines(
            "Missing values",
            "Share of answered requests that lack a feature. Dashed: the limit, and that of each feature that has one.",
            "percentunit",
            query(f"{missing} > 0", by_feature),
            limit_query(limit("feature_missing_ratio")),
            query(own_limits("feature_missing_ratio"), own),
            min=0,
        ),
        lines(
            "Values of a wrong type",
            "Values per second of another type than in the reference. No line: none.",
            "ops",
            query(mistyped, by_feature),
            min=0,
        ),
    )


def _of_chosen(recorded: str) -> str:
    """What a rule says of the chosen versions."""
    return f"{inlined(recorded)} and on ({BY_VERSION}) mlcanary_model_info{{{VERSION}}}"


def _quantile(percentile: str) -> str:
    """Of the chosen feature."""
    below = inlined("model_version_feature_bin:mlcanary_feature_below:ratio_rate1h", _THE_FEATURE)
    inside = over_hour("model_version_feature_bin:mlcanary_feature_bin:ratio_rate", _ONE)
    buckets = f'sum by ({BY_VERSION}, le) (label_replace({below} + {inside}, "le", "$1", "bin", "(.+)"))'
    return f"histogram_quantile(0.{percentile}, {buckets})"


def one_feature() -> list[Json]:
    """The distribution of the chosen feature."""
    bin_ = MODEL + _THE_FEATURE
    live = over_hour("model_version_feature_bin:mlcanary_feature_bin:ratio_rate", _ONE)
    beside = f"0 * {live} + on (cluster, namespace, model, bin) group_left ()"
    baseline = inlined("model_feature_bin:mlcanary_feature_baseline:ratio1h", _THE_FEATURE)
    reference = f"model_feature_bin:mlcanary_feature_reference_ratio:max{{{bin_}}}"
    shares = ("now", "baseline", "reference")
    return section(
        "The chosen feature: $feature",
        "No such numbers: a feature of names has no mean, and without a reference there are no bins.",
        table(
            "Distribution",
            "Share of the values in each bin: of each chosen version now, of the live baseline, of the reference. A "
            "bin is named by its upper edge or its category.",
            12,
            11,
            "bin",
            f"{BY_VERSION}, bin",
            ("now", "percentunit", live),
            ("baseline", "percentunit", f"{beside} {baseline}"),
            ("reference", "percentunit", f"{beside} {reference}"),
            descending=False,
            overrides=tuple(gauged(name) for name in shares),
        ),
        lines(
            "Share of the bins over time",
            "Of the ten bins with most values at the end.",
            "percentunit",
            query(top(lambda at: live + at, "version, bin"), "{{version}} {{bin}}"),
            width=12,
            height=11,
            min=0,
        ),
        lines(
            "Drift of the feature",
            "Population stability index against the reference. Dashed: the limit of the feature, else of the model.",
            "none",
            query(over_hour(f"{FEATURE}psi", _ONE)),
            limit_query(limit_of_feature("feature_psi", bin_)),
            width=12,
            min=0,
            decimals=2,
        ),
        lines(
            "Missing values of the feature",
            "Share of answered requests that lack it. Dashed: the limit of the feature, else of the model.",
            "percentunit",
            query(over_hour("model_version_feature:mlcanary_feature_missing:ratio", _ONE)),
            limit_query(limit_of_feature("feature_missing_ratio", bin_)),
            width=12,
            min=0,
        ),
        lines(
            "Mean",
            "Mean of the numbers of the feature.",
            "none",
            query(inlined(f"{_VALUE}mean1h", _THE_FEATURE)),
            width=12,
        ),
        lines(
            "Quantiles",
            "5 %, 50 % and 95 % of the values, interpolated in their bins.",
            "none",
            *(query(_quantile(p), f"{{{{version}}}} p{p}") for p in ("05", "50", "95")),
            width=12,
        ),
    )
