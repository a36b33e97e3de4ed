"""Values of features: moments, quantiles, range, missing and unseen values, changes of the schema."""

_QUANTILES = "".join(
    f"""
model_version_feature:mlcanary_feature_value:p{percentile}_<W> :=
    histogram_quantile(0.{percentile}, label_replace(
      model_version_feature_bin:mlcanary_feature_below:ratio_rate<W>
      + model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>, "le", "$1", "bin", "(.+)"))"""
    for percentile in ("05", "25", "50", "75", "95")
)

TEXT = f"""
# Deviations from a centre that belongs to the model; every sidecar publishes the same one.
model_version_feature:mlcanary_feature_numbers:rate<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_numbers_total[<W>]))
model_version_feature:mlcanary_feature_value:deviation<W> :=
    (sum by (<version>, feature) (rate(mlcanary_feature_deviation_total{{sign="positive"}}[<W>]))
      - sum by (<version>, feature) (rate(mlcanary_feature_deviation_total{{sign="negative"}}[<W>])))
    / (model_version_feature:mlcanary_feature_numbers:rate<W> > 0)
model_version_feature:mlcanary_feature_value:mean<W> :=
    model_version_feature:mlcanary_feature_value:deviation<W>
    + max by (<version>, feature) (mlcanary_feature_center)
model_version_feature:mlcanary_feature_value:deviation_squares<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_deviation_squares_total[<W>]))
    / (model_version_feature:mlcanary_feature_numbers:rate<W> > 0)
# A variance below 1e-13 of the squares is rounding: all numbers are alike.
model_version_feature:mlcanary_feature_value:variance<W> :=
    clamp_min(
      model_version_feature:mlcanary_feature_value:deviation_squares<W>
      - model_version_feature:mlcanary_feature_value:deviation<W> ^ 2, 0)
    * (model_version_feature:mlcanary_feature_value:deviation_squares<W>
      - model_version_feature:mlcanary_feature_value:deviation<W> ^ 2
      > bool 1e-13 * model_version_feature:mlcanary_feature_value:deviation_squares<W>)
model_version_feature:mlcanary_feature_value:stddev<W> :=
    sqrt(model_version_feature:mlcanary_feature_value:variance<W>)
# Extremes cannot be subtracted, so they come from the windows of the sidecars.
model_version_feature:mlcanary_feature_value:min<W> :=
    min by (<version>, feature) (mlcanary_window_feature_min{{window="<W>"}})
model_version_feature:mlcanary_feature_value:max<W> :=
    max by (<version>, feature) (mlcanary_window_feature_max{{window="<W>"}})
# Bins of the reference as buckets: a quantile in an open bin reads as the edge of that bin.{_QUANTILES}
model_version_feature:mlcanary_feature_out_of_range:ratio<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_out_of_range_total[<W>]))
    / (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature:mlcanary_feature_unseen:ratio<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_unseen_total[<W>]))
    / (model_version_feature:mlcanary_feature_bin:rate<W> > 0)
model_version_feature:mlcanary_feature_missing:ratio_delta<W> :=
    model_version_feature:mlcanary_feature_missing:ratio<W>
    - on (<model>, feature) group_left () max by (<model>, feature) (mlcanary_feature_reference_missing_ratio)
model_version_feature:mlcanary_feature_values:rate<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_values_total[<W>]))
model_version_feature_kind:mlcanary_feature_values:ratio<W> :=
    sum by (<version>, feature, kind) (rate(mlcanary_feature_values_total[<W>]))
    / ignoring (kind) group_left () (model_version_feature:mlcanary_feature_values:rate<W> > 0)
model_version_feature:mlcanary_feature_mistyped:rate<W> :=
    sum by (<version>, feature) (rate(mlcanary_feature_mistyped_total[<W>]))
model_version_feature:mlcanary_feature_mistyped:ratio<W> :=
    model_version_feature:mlcanary_feature_mistyped:rate<W>
    / (model_version_feature:mlcanary_feature_values:rate<W> > 0)
# Only a feature of the reference can be mistyped. 0 where there is a reference and traffic, but no such change.
model_version:mlcanary_feature_schema:none<W> :=
    0 * (count by (<version>) (model_version_feature:mlcanary_feature_mistyped:rate<W>)
      and model_version:mlcanary_predictions:rate<W> > 0)
model_version:mlcanary_feature_schema:new<W> :=
    count by (<version>) (sum by (<version>, feature) (rate(mlcanary_feature_unexpected_total[<W>])) > 0)
    or model_version:mlcanary_feature_schema:none<W>
model_version:mlcanary_feature_schema:missing<W> :=
    count by (<version>) (
      (model_version_feature:mlcanary_feature_values:rate<W> == 0)
      and model_version_feature:mlcanary_feature_mistyped:rate<W>
      and sum by (<version>, feature) (rate(mlcanary_feature_missing_total[<W>])) > 0)
    or model_version:mlcanary_feature_schema:none<W>
model_version:mlcanary_feature_schema:mistyped<W> :=
    count by (<version>) (model_version_feature:mlcanary_feature_mistyped:ratio<W> > 0.5)
    or model_version:mlcanary_feature_schema:none<W>
"""
