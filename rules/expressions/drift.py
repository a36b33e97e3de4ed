"""Drift of features against the reference and of the canary against the live baseline: the same figures twice.

`_AGAINST` is written once, for another side of which `<q>` is the share in a bin, `<below>` that under it, `<count>`
the count in it, `<n>` all values, `<missing>` the share of `<rows>` that lack the feature. `<x>` ends the names of the
figures, `<only>` says who is compared.
"""

from __future__ import annotations

from collections.abc import Mapping

_COUNTS = """
# Counts and shares of each bin; the score is the feature `prediction`.
model_version_feature_bin:mlcanary_feature_bin:rate<W> :=
    sum by (<version>, feature, bin) (rate(mlcanary_feature_bin_total[<W>]))
model_version_feature:mlcanary_feature_bin:rate<W> :=
    sum without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>)
model_version_feature:mlcanary_feature_bin:count<W> :=
    model_version_feature:mlcanary_feature_bin:rate<W> * <S>
model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> :=
    model_version_feature_bin:mlcanary_feature_bin:rate<W>
    / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature_bin:mlcanary_feature_below:ratio_rate<W> :=
    sum by (<version>, feature, bin) (rate(mlcanary_feature_below_total[<W>]))
    / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
# Share of the answered requests that lack the feature, among those whose features were looked at.
model_version:mlcanary_feature_rows:count<W> :=
    (sum by (<version>) (rate(mlcanary_feature_rows_total[<W>])) > 0) * <S>
model_version_feature:mlcanary_feature_missing:ratio<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_missing_total[<W>])) * <S>
    / on (<version>) group_left () model_version:mlcanary_feature_rows:count<W>
model_version_feature:mlcanary_feature_missing:rows<W> :=
    model_version_feature:mlcanary_feature_missing:ratio<W> * 0
    + on (<version>) group_left () model_version:mlcanary_feature_rows:count<W>
# The live baseline as a second reference, several baselines together.
model_feature_bin:mlcanary_feature_baseline:count<W> :=
    sum by (<model>, feature, bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W> <baseline>) * <S>
model_feature:mlcanary_feature_baseline:count<W> :=
    sum without (bin) (model_feature_bin:mlcanary_feature_baseline:count<W>)
model_feature_bin:mlcanary_feature_baseline:ratio<W> :=
    model_feature_bin:mlcanary_feature_baseline:count<W>
    / ignoring (bin) group_left () (model_feature:mlcanary_feature_baseline:count<W> > 0)
model_feature_bin:mlcanary_feature_baseline:below_ratio<W> :=
    sum by (<model>, feature, bin) (
      model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
      * ignoring (bin) group_left () model_version_feature:mlcanary_feature_bin:count<W> <baseline>)
    / ignoring (bin) group_left () (model_feature:mlcanary_feature_baseline:count<W> > 0)
model_feature:mlcanary_feature_baseline:rows<W> :=
    sum by (<model>, feature) (model_version_feature:mlcanary_feature_missing:rows<W> <baseline>)
model_feature:mlcanary_feature_baseline:missing_ratio<W> :=
    sum by (<model>, feature) (
      model_version_feature:mlcanary_feature_missing:ratio<W>
      * model_version_feature:mlcanary_feature_missing:rows<W> <baseline>)
    / model_feature:mlcanary_feature_baseline:rows<W>
"""

_DISTRIBUTION = """
# What a Wasserstein distance in standard deviations exceeds once in 1e5 windows at most, per root of the noise: its
# mean, sqrt(2/pi) int sqrt(F(1-F)), and 4.26 standard deviations of the distribution, the normal quantile of 1e-5.
<spread> :=
    0.7978845608028654 * sum without (bin) (
      sqrt(clamp_min(
        <below>
        * (1 - <below>), 0))
      * model_feature_bin:mlcanary_feature_reference_gap:max)
    + 4.264890793922825 * sqrt(clamp_min(
      sum without (bin) (
        <q>
        * model_feature_bin:mlcanary_feature_reference_position:max ^ 2)
      - (sum without (bin) (
        <q>
        * model_feature_bin:mlcanary_feature_reference_position:max)) ^ 2, 0))
    and model_feature:mlcanary_feature_reference_stddev:max > 0
"""

_AGAINST = """
# Sampling noise of the comparison, and the degrees of freedom: bins that either side has, minus 1.
model_version_feature:mlcanary_feature:noise<x><W> :=
    1 / (model_version_feature:mlcanary_feature_bin:count<W> > 0)
    + <feature> 1 / (<n> > 0)<only>
model_version_feature:mlcanary_feature:degrees<x><W> :=
    count without (bin) (
      model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> + <reference> <q> > 0) - 1
    and model_version_feature:mlcanary_feature:noise<x><W>
# Kolmogorov-Smirnov: at the edges, and the most that it can be inside the bins. Half of (p + q + |...|) is the larger
# of two differences: one side at the top of the bin, the other at its bottom. A bin of one number has no inside.
model_version_feature:mlcanary_feature:ks<x><W> :=
    max without (bin) (abs(
      model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
      - <reference> <below>))<only>
model_version_feature:mlcanary_feature:ks<x>_upper_bound<W> :=
    clamp_max(max without (bin) (
      model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
      + <reference> <q>
      + abs(
        2 * (model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
          - <reference> <below>)
        + model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
        - <reference> <q>)
      unless on (<model>, feature, bin) model_feature_bin:mlcanary_feature_reference_point:max) / 2, 1)<only>
# Wasserstein between bin representatives: in the unit of the feature, and in reference standard deviations.
model_version_feature:mlcanary_feature:wasserstein<x>_raw<W> :=
    sum without (bin) (
      abs(
        model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
        - <reference> <below>)
      * <reference> model_feature_bin:mlcanary_feature_reference_gap:max)
    * <feature> model_feature:mlcanary_feature_reference_stddev:unit<only>
model_version_feature:mlcanary_feature:wasserstein<x><W> :=
    model_version_feature:mlcanary_feature:wasserstein<x>_raw<W>
    / <feature> (model_feature:mlcanary_feature_reference_stddev:max > 0)
# Two samples, both with noise: the sum of (p - q)^2 / (count + other count), times n and the other n.
model_version_feature:mlcanary_feature:chisquare<x><W> :=
    sum without (bin) (
      (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
        - <reference> <q>) ^ 2
      / (model_version_feature_bin:mlcanary_feature_bin:rate<W> * <S>
        + <reference> <count> > 0))
    * model_version_feature:mlcanary_feature_bin:count<W>
    * <feature> <n><only>
model_version_feature:mlcanary_feature:cramers_v<x><W> :=
    sqrt(
      model_version_feature:mlcanary_feature:chisquare<x><W>
      / (model_version_feature:mlcanary_feature_bin:count<W> + <feature> <n>))
# The size of a change, whatever its shape: the share of values that lie in another bin.
model_version_feature:mlcanary_feature:total_variation<x><W> :=
    sum without (bin) (abs(
      model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
      - <reference> <q>)) / 2<only>
# The largest rise of a bin's share in standard errors, on Anscombe's arcsine scale: small counts do not deceive it.
model_version_feature:mlcanary_feature:bin_zscore<x><W> :=
    2 * max without (bin) (
      asin(sqrt(
        (model_version_feature_bin:mlcanary_feature_bin:rate<W> + 0.375 / <S>)
        / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> + 0.75 / <S>)))
      - <reference> <arcsine>)
    / sqrt(
      1 / (model_version_feature:mlcanary_feature_bin:count<W> + 0.5)
      + <feature> 1 / (<n> + 0.5))
    and model_version_feature:mlcanary_feature:noise<x><W>
model_version_feature:mlcanary_feature:psi<x><W> :=
    sum without (bin) (
      (clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        - <reference> clamp_min(<q>, 1e-4))
      * ln(clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        / <reference> clamp_min(<q>, 1e-4)))<only>
# Le Cam's distance squared, half the sum of (p - q)^2 / (p + q), is 1 less twice the sum of pq / (p + q): bins are
# matched once, and an empty one adds nothing, for 1 / (1/0 + ...) is 0.
model_version_feature:mlcanary_feature:le_cam<x><W> :=
    clamp_min(1 - 2 * sum without (bin) (
      1 / (1 / model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
        + <reference> 1 / <q>)), 0)<only>
# What each exceeds once in 1e5 windows without drift. Chi-square by Wilson and Hilferty; PSI / noise and
# 4 Le Cam / noise are about chi-square; PSI has a mean of its own without any drift.
model_version_feature:mlcanary_feature:chisquare<x>_critical<W> :=
    model_version_feature:mlcanary_feature:degrees<x><W>
    * (1
      - 2 / (9 * (model_version_feature:mlcanary_feature:degrees<x><W> > 0))
      + 4.2649 * sqrt(2 / (9 * (model_version_feature:mlcanary_feature:degrees<x><W> > 0)))) ^ 3
model_version_feature:mlcanary_feature:psi<x>_expected<W> :=
    model_version_feature:mlcanary_feature:degrees<x><W> * model_version_feature:mlcanary_feature:noise<x><W>
model_version_feature:mlcanary_feature:psi<x>_critical<W> :=
    model_version_feature:mlcanary_feature:chisquare<x>_critical<W>
    * model_version_feature:mlcanary_feature:noise<x><W>
model_version_feature:mlcanary_feature:le_cam<x>_critical<W> :=
    model_version_feature:mlcanary_feature:psi<x>_critical<W> / 4
# A normal quantile by its asymptotic expansion: z^2 = t - ln t, where t = 2 ln(bins / (1e-5 sqrt(2 pi))).
model_version_feature:mlcanary_feature:bin_zscore<x>_critical<W> :=
    sqrt(
      2 * ln(39894.22804014327 * (model_version_feature:mlcanary_feature:degrees<x><W> + 1))
      - ln(2 * ln(39894.22804014327 * (model_version_feature:mlcanary_feature:degrees<x><W> + 1))))
model_version_feature:mlcanary_feature:ks<x>_critical<W> :=
    sqrt(6.103036322765087 * model_version_feature:mlcanary_feature:noise<x><W>)
    and model_version_feature:mlcanary_feature:ks<x><W>
model_version_feature:mlcanary_feature:wasserstein<x>_critical<W> :=
    sqrt(model_version_feature:mlcanary_feature:noise<x><W>) * <feature> <spread>
# Change of the share that lacks the feature, and in standard errors: the smaller of Anscombe's arcsine score, whose
# falls lie too far out for rare gaps, and the pooled one, whose rises do.
model_version_feature:mlcanary_feature_missing:delta<x><W> :=
    model_version_feature:mlcanary_feature_missing:ratio<W>
    - <feature> <missing><only>
model_version_feature:mlcanary_feature_missing:zscore<x>_arcsine<W> :=
    2 * (
      asin(sqrt(
        (clamp(model_version_feature:mlcanary_feature_missing:ratio<W>, 0, 1)
          * model_version_feature:mlcanary_feature_missing:rows<W> + 0.375)
        / (model_version_feature:mlcanary_feature_missing:rows<W> + 0.75)))
      - <feature> asin(sqrt(
        (clamp(<missing>, 0, 1)
          * <rows> + 0.375)
        / (<rows> + 0.75))))
    / sqrt(
      1 / (model_version_feature:mlcanary_feature_missing:rows<W> + 0.5)
      + <feature> 1 / (<rows> + 0.5))<only>
model_version_feature:mlcanary_feature_missing:pooled<x><W> :=
    (clamp(model_version_feature:mlcanary_feature_missing:ratio<W>, 0, 1)
      * model_version_feature:mlcanary_feature_missing:rows<W> + 0.75
      + <feature> (<missing>
        * <rows>))
    / (model_version_feature:mlcanary_feature_missing:rows<W> + 1.5
      + <feature> <rows>)
model_version_feature:mlcanary_feature_missing:zscore<x>_pooled<W> :=
    model_version_feature:mlcanary_feature_missing:delta<x><W>
    / sqrt(
      model_version_feature:mlcanary_feature_missing:pooled<x><W>
      * (1 - model_version_feature:mlcanary_feature_missing:pooled<x><W>)
      * (1 / model_version_feature:mlcanary_feature_missing:rows<W> + <feature> 1 / <rows>))
model_version_feature:mlcanary_feature_missing:zscore<x><W> :=
    model_version_feature:mlcanary_feature_missing:zscore<x>_arcsine<W>
    and abs(model_version_feature:mlcanary_feature_missing:zscore<x>_arcsine<W>)
      <= abs(model_version_feature:mlcanary_feature_missing:zscore<x>_pooled<W>)
    or model_version_feature:mlcanary_feature_missing:zscore<x>_pooled<W>
"""

_REFERENCE = {
    "<x>": "",
    "<q>": "model_feature_bin:mlcanary_feature_reference_ratio:max",
    "<below>": "model_feature_bin:mlcanary_feature_reference_below_ratio:max",
    "<count>": (
        "(model_feature_bin:mlcanary_feature_reference_ratio:max"
        " * on (<model>, feature) group_left () model_feature:mlcanary_feature_reference_observations:max)"
    ),
    "<arcsine>": """asin(sqrt(
        (model_feature_bin:mlcanary_feature_reference_ratio:max
          * on (<model>, feature) group_left () model_feature:mlcanary_feature_reference_observations:max + 0.375)
        / on (<model>, feature) group_left () (model_feature:mlcanary_feature_reference_observations:max + 0.75)))""",
    "<n>": "model_feature:mlcanary_feature_reference_observations:max",
    "<spread>": "model_feature:mlcanary_feature_reference:wasserstein_spread",
    "<missing>": "model_feature:mlcanary_feature_reference_missing_ratio:max",
    "<rows>": "model_feature:mlcanary_feature_reference:rows",
    "<only>": "",
}
_BASELINE = {
    "<x>": "_baseline",
    "<q>": "model_feature_bin:mlcanary_feature_baseline:ratio<W>",
    "<below>": "model_feature_bin:mlcanary_feature_baseline:below_ratio<W>",
    "<count>": "model_feature_bin:mlcanary_feature_baseline:count<W>",
    "<arcsine>": """asin(sqrt(
        (model_feature_bin:mlcanary_feature_baseline:count<W> + 0.375)
        / ignoring (bin) group_left () (model_feature:mlcanary_feature_baseline:count<W> + 0.75)))""",
    "<n>": "model_feature:mlcanary_feature_baseline:count<W>",
    "<spread>": "model_feature:mlcanary_feature_baseline:wasserstein_spread<W>",
    "<missing>": "model_feature:mlcanary_feature_baseline:missing_ratio<W>",
    "<rows>": "model_feature:mlcanary_feature_baseline:rows<W>",
    "<only>": "\n    <canary>",
}


def _with(text: str, words: Mapping[str, str]) -> str:
    for word, meaning in {**words, "<feature>": "on (<model>, feature) group_left ()"}.items():
        text = text.replace(word, meaning)
    return text


REFERENCE = _with(_DISTRIBUTION, _REFERENCE)
"""What follows from the reference alone, whatever the window."""

TEXT = (
    _COUNTS
    + _with(_AGAINST, _REFERENCE)
    + "# The canary against the live baseline, where the world itself may have moved."
    + _with(_DISTRIBUTION + _AGAINST, _BASELINE)
)

FURTHEST = """
# Of the feature that drifts most: what dashboards of hundreds of models read over a range of time.
model_version:mlcanary_feature:psi_max<W> :=
    max without (feature) (model_version_feature:mlcanary_feature:psi<W>)
"""
