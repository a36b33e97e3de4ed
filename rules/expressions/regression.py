"""Quality of regression models."""

TEXT = """
# Errors of predicted numbers; over and under the actual one apart, which gives bias and the loss of any quantile.
model_version:mlcanary_residual_observations:rate<W> :=
    sum by (<version>) (rate(mlcanary_residual_observations_total[<W>]))
model_version_sign:mlcanary_residual_absolute:rate<W> :=
    sum by (<version>, sign) (rate(mlcanary_residual_absolute_total[<W>]))
model_version_sign:mlcanary_residual_squares:rate<W> :=
    sum by (<version>, sign) (rate(mlcanary_residual_squares_total[<W>]))
model_version:mlcanary_residual:mae<W> :=
    sum without (sign) (model_version_sign:mlcanary_residual_absolute:rate<W>)
    / (model_version:mlcanary_residual_observations:rate<W> > 0)
model_version:mlcanary_residual:mse<W> :=
    sum without (sign) (model_version_sign:mlcanary_residual_squares:rate<W>)
    / (model_version:mlcanary_residual_observations:rate<W> > 0)
model_version:mlcanary_residual:rmse<W> :=
    sqrt(model_version:mlcanary_residual:mse<W>)
model_version:mlcanary_residual:bias<W> :=
    (model_version_sign:mlcanary_residual_absolute:rate<W>{sign="over"}
      - ignoring (sign) model_version_sign:mlcanary_residual_absolute:rate<W>{sign="under"})
    / (model_version:mlcanary_residual_observations:rate<W> > 0)
model_version:mlcanary_regression_quantile:max<W> :=
    max by (<version>) (mlcanary_regression_quantile)
model_version:mlcanary_residual:quantile_loss<W> :=
    (model_version:mlcanary_regression_quantile:max<W>
      * ignoring (sign) model_version_sign:mlcanary_residual_absolute:rate<W>{sign="under"}
      + (1 - model_version:mlcanary_regression_quantile:max<W>)
        * ignoring (sign) model_version_sign:mlcanary_residual_absolute:rate<W>{sign="over"})
    / (model_version:mlcanary_residual_observations:rate<W> > 0)
# Standard errors of these means.
model_version:mlcanary_residual:mae_stderr<W> :=
    sqrt(clamp_min(
      (model_version:mlcanary_residual:mse<W> - model_version:mlcanary_residual:mae<W> ^ 2)
      / (model_version:mlcanary_residual_observations:rate<W> * <S> - 1 > 0), 0))
model_version:mlcanary_residual:bias_stderr<W> :=
    sqrt(clamp_min(
      (model_version:mlcanary_residual:mse<W> - model_version:mlcanary_residual:bias<W> ^ 2)
      / (model_version:mlcanary_residual_observations:rate<W> * <S> - 1 > 0), 0))
model_version:mlcanary_residual:mse_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>) (rate(mlcanary_residual_fourth_powers_total[<W>]))
        / (model_version:mlcanary_residual_observations:rate<W> > 0)
        - model_version:mlcanary_residual:mse<W> ^ 2)
      / (model_version:mlcanary_residual_observations:rate<W> * <S> - 1 > 0), 0))
model_version:mlcanary_residual:quantile_loss_stderr<W> :=
    sqrt(clamp_min(
      ((model_version:mlcanary_regression_quantile:max<W> ^ 2
          * ignoring (sign) model_version_sign:mlcanary_residual_squares:rate<W>{sign="under"}
          + (1 - model_version:mlcanary_regression_quantile:max<W>) ^ 2
            * ignoring (sign) model_version_sign:mlcanary_residual_squares:rate<W>{sign="over"})
        / (model_version:mlcanary_residual_observations:rate<W> > 0)
        - model_version:mlcanary_residual:quantile_loss<W> ^ 2)
      / (model_version:mlcanary_residual_observations:rate<W> * <S> - 1 > 0), 0))
# Variance of the target. Sidecars sum it about centers of their own: within each center, and between them.
model_version_center:mlcanary_target_observations:rate<W> :=
    sum by (<version>, center) (rate(mlcanary_target_observations_total[<W>]))
model_version_center:mlcanary_target_distance_squares:rate<W> :=
    sum by (<version>, center) (rate(mlcanary_target_distance_squares_total[<W>]))
model_version_center:mlcanary_target_distance:mean<W> :=
    (sum by (<version>, center) (rate(mlcanary_target_distance_total{sign="positive"}[<W>]))
      - sum by (<version>, center) (rate(mlcanary_target_distance_total{sign="negative"}[<W>])))
    / (model_version_center:mlcanary_target_observations:rate<W> > 0)
model_version_center:mlcanary_target_center:max<W> :=
    max by (<version>, center) (max_over_time(mlcanary_target_center[<W>]))
# Counted from the lowest center: far from 0 the digits that differ would be lost.
model_version_center:mlcanary_target:mean<W> :=
    model_version_center:mlcanary_target_distance:mean<W>
    + (model_version_center:mlcanary_target_center:max<W>
      - on (<version>) group_left () min without (center) (model_version_center:mlcanary_target_center:max<W>))
model_version:mlcanary_target:mean<W> :=
    sum without (center) (
      model_version_center:mlcanary_target:mean<W> * model_version_center:mlcanary_target_observations:rate<W>)
    / (sum without (center) (model_version_center:mlcanary_target_observations:rate<W>) > 0)
model_version:mlcanary_target:variance<W> :=
    sum without (center) (
      clamp_min(
        model_version_center:mlcanary_target_distance_squares:rate<W>
        - model_version_center:mlcanary_target_distance:mean<W> ^ 2
          * model_version_center:mlcanary_target_observations:rate<W>, 0)
      + model_version_center:mlcanary_target_observations:rate<W>
        * (model_version_center:mlcanary_target:mean<W>
          - on (<version>) group_left () model_version:mlcanary_target:mean<W>) ^ 2)
    / (sum without (center) (model_version_center:mlcanary_target_observations:rate<W>) > 0)
# A variance of no more than a millionth of the mean square about the centers is rounding: the target is constant.
model_version:mlcanary_residual:r2_<W> :=
    1 - model_version:mlcanary_residual:mse<W>
    / (model_version:mlcanary_target:variance<W>
      > 1e-6 * sum without (center) (model_version_center:mlcanary_target_distance_squares:rate<W>)
        / (sum without (center) (model_version_center:mlcanary_target_observations:rate<W>) > 0))
# Labelled rows that could not be used, per second.
model_version_reason:mlcanary_regression_unusable:rate<W> :=
    sum by (<version>, reason) (rate(mlcanary_regression_unusable_total[<W>]))
# Canary minus live baseline, and the difference in standard errors.
model_version:mlcanary_residual:mae_delta<W> :=
    max by (<version>) (model_version:mlcanary_residual:mae<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_residual:mae<W> <baseline>)
model_version:mlcanary_residual:mae_zscore<W> :=
    model_version:mlcanary_residual:mae_delta<W>
    / sqrt(model_version:mlcanary_residual:mae_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_residual:mae_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_residual:mse_delta<W> :=
    max by (<version>) (model_version:mlcanary_residual:mse<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_residual:mse<W> <baseline>)
model_version:mlcanary_residual:mse_zscore<W> :=
    model_version:mlcanary_residual:mse_delta<W>
    / sqrt(model_version:mlcanary_residual:mse_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_residual:mse_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_residual:quantile_loss_delta<W> :=
    max by (<version>) (model_version:mlcanary_residual:quantile_loss<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_residual:quantile_loss<W> <baseline>)
model_version:mlcanary_residual:quantile_loss_zscore<W> :=
    model_version:mlcanary_residual:quantile_loss_delta<W>
    / sqrt(model_version:mlcanary_residual:quantile_loss_stderr<W> ^ 2
      + on (<model>) group_left ()
        max by (<model>) (model_version:mlcanary_residual:quantile_loss_stderr<W> <baseline>) ^ 2)
    >= -Inf
model_version:mlcanary_residual:rmse_delta<W> :=
    max by (<version>) (model_version:mlcanary_residual:rmse<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_residual:rmse<W> <baseline>)
model_version:mlcanary_residual:r2_delta<W> :=
    max by (<version>) (model_version:mlcanary_residual:r2_<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_residual:r2_<W> <baseline>)
"""
