"""Quality of regression models: residuals and their sums."""

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
    counter("residual_observations_total", MODEL_VERSION, "Labelled predictions of numbers that could be compared."),
    counter(
        "residual_absolute_total",
        (*MODEL_VERSION, "sign"),
        "Sum of absolute errors of predictions over and under the actual number, apart.",
    ),
    counter("residual_squares_total", (*MODEL_VERSION, "sign"), "Sum of squared errors, over and under apart."),
    counter("residual_fourth_powers_total", MODEL_VERSION, "Sum of fourth powers of errors, for the standard error."),
    counter("target_observations_total", (*MODEL_VERSION, "center"), "Actual numbers summed about the center."),
    counter(
        "target_distance_total",
        (*MODEL_VERSION, "center", "sign"),
        "Sum of distances of actual numbers above (positive) and below (negative) the center.",
    ),
    counter(
        "target_distance_squares_total",
        (*MODEL_VERSION, "center"),
        "Sum of squared distances of actual numbers from the center.",
    ),
    gauge(
        "target_center",
        (*MODEL_VERSION, "center"),
        "Value of the center: a number near the data that this sidecar chose, the first that the version predicted.",
    ),
    gauge("regression_quantile", MODEL_VERSION, "Quantile that the model predicts and whose loss is shown."),
    counter(
        "regression_unusable_total",
        (*MODEL_VERSION, "reason"),
        "Labelled rows left out: broken_label, broken_prediction or no_prediction.",
    ),
    window("mean_absolute_error", MODEL_VERSION_WINDOW, "Mean absolute error."),
    window("mean_squared_error", MODEL_VERSION_WINDOW, "Mean squared error."),
    window("root_mean_squared_error", MODEL_VERSION_WINDOW, "Root of the mean squared error."),
    window("bias", MODEL_VERSION_WINDOW, "Mean of predicted minus actual."),
    window("r2_ratio", MODEL_VERSION_WINDOW, "Share of the target's variance that is explained, R2."),
    window("quantile_loss", MODEL_VERSION_WINDOW, "Mean pinball loss at the quantile of the model."),
)

_V = "model_version:mlcanary_residual:"

INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "MAE",
        "window_mean_absolute_error",
        (f"{_V}mae<W>", f"{_V}mae_stderr<W>", f"{_V}mae_delta<W>", f"{_V}mae_zscore<W>"),
        "exact",
        "scikit-learn mean_absolute_error",
    ),
    Indicator(
        "MSE",
        "window_mean_squared_error",
        (f"{_V}mse<W>", f"{_V}mse_stderr<W>", f"{_V}mse_delta<W>", f"{_V}mse_zscore<W>"),
        "exact",
        "scikit-learn mean_squared_error",
    ),
    Indicator(
        "RMSE",
        "window_root_mean_squared_error",
        (f"{_V}rmse<W>", f"{_V}rmse_delta<W>"),
        "exact",
        "scikit-learn root_mean_squared_error",
    ),
    Indicator(
        "bias",
        "window_bias",
        (f"{_V}bias<W>", f"{_V}bias_stderr<W>"),
        "exact",
        "mean of predicted - actual",
    ),
    Indicator(
        "R2",
        "window_r2_ratio",
        (f"{_V}r2_<W>", f"{_V}r2_delta<W>"),
        "exact; absent where the target varies by less than a thousandth of its distance from target_center",
        "scikit-learn r2_score; sums of squares after Chan, Golub & LeVeque (1983)",
    ),
    Indicator(
        "quantile loss",
        "window_quantile_loss",
        (
            f"{_V}quantile_loss<W>",
            f"{_V}quantile_loss_stderr<W>",
            f"{_V}quantile_loss_delta<W>",
            f"{_V}quantile_loss_zscore<W>",
        ),
        "exact, at any quantile",
        "Koenker & Bassett (1978); scikit-learn mean_pinball_loss",
    ),
    Indicator(
        "unusable labels of a regression model",
        "regression_unusable_total",
        ("model_version_reason:mlcanary_regression_unusable:rate<W>",),
        "exact",
        "count of labelled rows without two finite numbers within ±1e15",
    ),
)
