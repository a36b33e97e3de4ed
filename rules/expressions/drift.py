"""Drift of features against the reference and of the canary against the baseline."""

TEXT = """
# Drift against the reference profile. PSI and chi-square serve numeric and categorical features alike.
model_version_feature_bin:mlcanary_feature_bin:rate<W> :=
    sum by (<version>, feature, bin) (rate(mlcanary_feature_bin_total[<W>]))
model_version_feature:mlcanary_feature_bin:rate<W> :=
    sum without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>)
model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> :=
    model_version_feature_bin:mlcanary_feature_bin:rate<W>
    / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature_bin:mlcanary_feature_below:ratio_rate<W> :=
    sum by (<version>, feature, bin) (rate(mlcanary_feature_below_total[<W>]))
    / ignoring (bin) group_left () (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature:mlcanary_feature:psi<W> :=
    sum without (bin) (
      (clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        - <reference> clamp_min(model_feature_bin:mlcanary_feature_reference_ratio:max, 1e-4))
      * ln(clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        / <reference> clamp_min(model_feature_bin:mlcanary_feature_reference_ratio:max, 1e-4)))
model_version_feature:mlcanary_feature:ks<W> :=
    max without (bin) (abs(
      model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
      - <reference> model_feature_bin:mlcanary_feature_reference_below_ratio:max))
# In reference standard deviations: bins have one representative each, so read it as a trend.
model_version_feature:mlcanary_feature:wasserstein<W> :=
    sum without (bin) (
      abs(
        model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
        - <reference> model_feature_bin:mlcanary_feature_reference_below_ratio:max)
      * <reference> model_feature_bin:mlcanary_feature_reference_gap:max)
model_version_feature:mlcanary_feature:chisquare<W> :=
    sum without (bin) (
      (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>
        - <reference> model_feature_bin:mlcanary_feature_reference_ratio:max) ^ 2
      / <reference> (model_feature_bin:mlcanary_feature_reference_ratio:max > 0))
    * (model_version_feature:mlcanary_feature_bin:rate<W> * <S>)
# What chi-square exceeds once in 1e5 windows without drift (Wilson and Hilferty), and PSI accordingly:
# PSI / (1/n + 1/n_reference) is about chi-square with bins - 1 degrees of freedom.
model_version_feature:mlcanary_feature:chisquare_critical<W> :=
    (count without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>) - 1)
    * (1
      - 2 / (9 * (count without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>) - 1 > 0))
      + 4.2649 * sqrt(
        2 / (9 * (count without (bin) (model_version_feature_bin:mlcanary_feature_bin:rate<W>) - 1 > 0)))) ^ 3
model_version_feature:mlcanary_feature:psi_critical<W> :=
    model_version_feature:mlcanary_feature:chisquare_critical<W>
    * (1 / (model_version_feature:mlcanary_feature_bin:rate<W> * <S> > 0)
      + on (<model>, feature) group_left () 1 / (model_feature:mlcanary_feature_reference_observations:max > 0))
# The canary's features against the live baseline's, where the world itself may have moved.
model_version_feature:mlcanary_feature:psi_baseline<W> :=
    sum without (bin) (
      (clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> <canary>, 1e-4)
        - <reference> clamp_min(
          max by (<model>, feature, bin) (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> <baseline>),
          1e-4))
      * ln(clamp_min(model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, 1e-4)
        / <reference> clamp_min(
          max by (<model>, feature, bin) (model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W> <baseline>),
          1e-4)))
# Share of answered requests that lack the feature.
model_version_feature:mlcanary_feature_missing:ratio<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_missing_total[<W>]))
    / on (<version>) group_left () (
      model_version:mlcanary_predictions:rate<W> - model_version:mlcanary_prediction_errors:rate<W> > 0)
"""
