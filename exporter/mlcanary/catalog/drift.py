"""Drift: how far features lie from the reference, and how far chance alone would take them."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION_WINDOW, Indicator, MetricSpec, gauge, window

_FEATURE = (*MODEL_VERSION_WINDOW, "feature")

ROWS: tuple[MetricSpec, ...] = (
    gauge(
        "feature_reference_stddev",
        ("model", "feature"),
        "Standard deviation of a numeric feature in the reference, in its own unit.",
    ),
    gauge(
        "feature_reference_position",
        ("model", "feature", "bin"),
        "Representative of the bin: its mean in the reference, in standard deviations from the mean of all.",
    ),
    window("feature_observations", _FEATURE, "Values behind the drift figures of the feature."),
    window("feature_ks_ratio", _FEATURE, "Kolmogorov-Smirnov distance to the reference, at bin edges."),
    window(
        "feature_ks_upper_bound_ratio",
        _FEATURE,
        "The exact Kolmogorov-Smirnov distance lies between feature_ks_ratio and this.",
    ),
    window("feature_ks_pvalue", _FEATURE, "Asymptotic p-value of feature_ks_ratio."),
    window("feature_ks_critical_ratio", _FEATURE, "What feature_ks_ratio exceeds by chance once in 100,000 windows."),
    window("feature_chisquare", _FEATURE, "Two-sample chi-square against the counts of the reference."),
    window("feature_chisquare_critical", _FEATURE, "What feature_chisquare exceeds by chance once in 100,000 windows."),
    window("feature_chisquare_pvalue", _FEATURE, "P-value of feature_chisquare."),
    window("feature_cramers_v_ratio", _FEATURE, "Cramer's V of feature_chisquare."),
    window(
        "feature_total_variation_ratio",
        _FEATURE,
        "Share of values that lie in another bin than in the reference: the size of a change, whatever its shape.",
    ),
    window("feature_bin_zscore", _FEATURE, "Largest rise of a bin's share, in standard errors on the arcsine scale."),
    window(
        "feature_bin_zscore_critical", _FEATURE, "What feature_bin_zscore exceeds by chance once in 100,000 windows."
    ),
    window("feature_psi", _FEATURE, "Population stability index against the reference."),
    window("feature_psi_expected", _FEATURE, "Mean of feature_psi without drift, from sampling noise alone."),
    window("feature_psi_critical", _FEATURE, "What feature_psi exceeds by chance once in 100,000 windows."),
    window(
        "feature_le_cam_ratio",
        _FEATURE,
        "Le Cam distance to the reference, squared: 0 for equal shares, 1 if no bin is common.",
    ),
    window(
        "feature_le_cam_critical_ratio",
        _FEATURE,
        "What feature_le_cam_ratio exceeds by chance once in 100,000 windows.",
    ),
    window(
        "feature_wasserstein",
        _FEATURE,
        "Wasserstein distance to the reference between bin representatives, in the unit of the feature.",
    ),
    window(
        "feature_wasserstein_stddevs",
        _FEATURE,
        "Wasserstein distance to the reference between bin representatives, in reference standard deviations.",
    ),
    window(
        "feature_wasserstein_critical_stddevs",
        _FEATURE,
        "What feature_wasserstein_stddevs exceeds by chance once in 100,000 windows at most.",
    ),
    window("feature_missing_delta_ratio", _FEATURE, "Share of missing values minus that of the reference."),
    window(
        "feature_missing_zscore", _FEATURE, "Change of the missing share in standard errors, the smaller of two scores."
    ),
)


def _row(name: str, metric: str, recorded: str, exact: str, source: str) -> Indicator:
    """`recorded`: operations of the drift series of a feature, separated by blanks."""
    series = tuple(f"model_version_feature:mlcanary_{part}<W>" for part in recorded.split())
    return Indicator(name, f"window_feature_{metric}", series, exact, source)


_CERTIFIED = "lower bound; the exact distance is at most window_feature_ks_upper_bound_ratio"
_QUANTILE = "exact; recorded: at most 11 % above it (1 degree of freedom), 1 % from 16 on"
_BINNED = "exact for bin representatives"

INDICATORS: tuple[Indicator, ...] = (
    _row("Feature observations", "observations", "feature_bin:count", "exact", "count of values in the window"),
    _row("Feature KS distance", "ks_ratio", "feature:ks feature:ks_baseline", _CERTIFIED, "scipy.stats.ks_2samp"),
    _row(
        "Feature KS upper bound",
        "ks_upper_bound_ratio",
        "feature:ks_upper_bound feature:ks_baseline_upper_bound",
        "exact upper bound",
        "monotonicity of distribution functions",
    ),
    _row(
        "Feature KS p-value",
        "ks_pvalue",
        "",
        "asymptotic; off by at most 0.08 at n = m = 20, 0.01 at 1,000",
        "scipy.stats.kstwobign with Stephens (1970)",
    ),
    _row(
        "Feature KS critical value",
        "ks_critical_ratio",
        "feature:ks_critical feature:ks_baseline_critical",
        "exact asymptotic quantile at 1e-5",
        "scipy.stats.kstwobign.isf",
    ),
    _row(
        "Feature chi-square",
        "chisquare",
        "feature:chisquare feature:chisquare_baseline",
        "exact",
        "scipy.stats.chi2_contingency, correction=False",
    ),
    _row("Feature chi-square p-value", "chisquare_pvalue", "", "exact to 1e-12", "scipy.stats.chi2.sf"),
    _row(
        "Feature chi-square critical value",
        "chisquare_critical",
        "feature:chisquare_critical feature:chisquare_baseline_critical",
        _QUANTILE,
        "scipy.stats.chi2.isf at 1e-5; recorded: Wilson & Hilferty (1931)",
    ),
    _row(
        "Feature Cramer's V",
        "cramers_v_ratio",
        "feature:cramers_v feature:cramers_v_baseline",
        "exact",
        "scipy.stats.contingency.association",
    ),
    _row(
        "Feature total variation",
        "total_variation_ratio",
        "feature:total_variation feature:total_variation_baseline",
        "exact for bins, a lower bound for values",
        "half the L1 distance of shares",
    ),
    _row(
        "Feature largest bin change",
        "bin_zscore",
        "feature:bin_zscore feature:bin_zscore_baseline",
        "exact statistic; beyond its critical value by chance in 1e-5 to 4e-4 of windows",
        "Anscombe (1948), binomial case, rises only",
    ),
    _row(
        "Feature largest bin change critical value",
        "bin_zscore_critical",
        "feature:bin_zscore_critical feature:bin_zscore_baseline_critical",
        "exact; recorded: at most 0.16 % under it",
        "scipy.stats.norm.isf at 1e-5 / bins (Bonferroni)",
    ),
    _row("Feature PSI", "psi", "feature:psi feature:psi_baseline", "exact, shares floored at 1e-4", "Jeffreys (1946)"),
    _row(
        "Feature PSI without drift",
        "psi_expected",
        "feature:psi_expected feature:psi_baseline_expected",
        "first order in 1 / n + 1 / m",
        "Yurdakul & Naranjo (2020)",
    ),
    _row(
        "Feature PSI critical value",
        "psi_critical",
        "feature:psi_critical feature:psi_baseline_critical",
        _QUANTILE,
        "Yurdakul & Naranjo (2020), scipy.stats.chi2.isf at 1e-5",
    ),
    _row(
        "Feature Le Cam distance",
        "le_cam_ratio",
        "feature:le_cam feature:le_cam_baseline",
        "exact for bins",
        "half of scipy.stats.chi2_contingency of the shares",
    ),
    _row(
        "Feature Le Cam critical value",
        "le_cam_critical_ratio",
        "feature:le_cam_critical feature:le_cam_baseline_critical",
        _QUANTILE,
        "Csiszar & Shields (2004), scipy.stats.chi2.isf at 1e-5",
    ),
    _row(
        "Feature Wasserstein distance",
        "wasserstein",
        "feature:wasserstein_raw feature:wasserstein_baseline_raw",
        _BINNED,
        "scipy.stats.wasserstein_distance",
    ),
    _row(
        "Feature Wasserstein distance in standard deviations",
        "wasserstein_stddevs",
        "feature:wasserstein feature:wasserstein_baseline",
        _BINNED,
        "scipy.stats.wasserstein_distance",
    ),
    _row(
        "Feature Wasserstein critical value",
        "wasserstein_critical_stddevs",
        "feature:wasserstein_critical feature:wasserstein_baseline_critical",
        "upper bound of the quantile at 1e-5",
        "del Barrio, Gine & Matran (1999); Borell (1975); Kwapien (1994)",
    ),
    _row(
        "Feature missing-rate change",
        "missing_delta_ratio",
        "feature_missing:delta feature_missing:delta_baseline",
        "exact",
        "difference of two shares",
    ),
    _row(
        "Feature missing-rate z-score",
        "missing_zscore",
        "feature_missing:zscore feature_missing:zscore_baseline",
        "exact statistic; |z| > 4.26 by chance in 2.1e-5 of windows at most",
        "the smaller of Anscombe (1948), binomial case, and Pearson (1900), pooled",
    ),
    _row("Score drift (KS)", "ks_ratio", "feature:ks feature:ks_baseline", _CERTIFIED, "scipy.stats.ks_2samp"),
    _row("Score drift (PSI)", "psi", "feature:psi feature:psi_baseline", "exact, shares floored at 1e-4", "Jeffreys"),
    _row(
        "Prediction drift (chi-square)",
        "chisquare",
        "feature:chisquare feature:chisquare_baseline",
        "exact",
        "scipy.stats.chi2_contingency, correction=False",
    ),
    _row(
        "Prediction drift (Wasserstein)",
        "wasserstein",
        "feature:wasserstein_raw feature:wasserstein_baseline_raw",
        _BINNED,
        "scipy.stats.wasserstein_distance",
    ),
    _row(
        "Prediction drift (Le Cam)",
        "le_cam_ratio",
        "feature:le_cam feature:le_cam_baseline",
        "exact for bins",
        "half of scipy.stats.chi2_contingency of the shares",
    ),
)
