"""Alert rules over exporters that look at the features of a share of the rows: shares are of what was looked at."""

from __future__ import annotations

from pathlib import Path

from promtool_cases import Values, case, check, expression, series_name

MINUTES = 121
LIMIT = 0.05
RATIO, ROWS = (f"model_version_feature:mlcanary_feature_missing:{name}1h" for name in ("ratio", "rows"))
Series = dict[str, Values]


def sidecar(model: str, pod: str, share: float, missing: float) -> Series:
    """600 requests a minute, of which the features of a share are looked at, and of these some lack `age`."""
    of = {"model": model, "version": "v2", "instance": pod}
    minutes = range(MINUTES)
    looked = 600 * share
    limit = {"model": model, "objective": "feature_missing_ratio", "instance": pod}
    lack = {**of, "feature": "age"}
    return {
        series_name("mlcanary_predictions_total", {**of, "predicted": "1"}): [590.0 * m for m in minutes],
        series_name("mlcanary_predictions_total", {**of, "predicted": "none"}): [10.0 * m for m in minutes],
        series_name("mlcanary_prediction_errors_total", {**of, "reason": "503"}): [10.0 * m for m in minutes],
        series_name("mlcanary_feature_rows_total", of): [looked * m for m in minutes],
        series_name("mlcanary_feature_missing_total", lack): [looked * missing * m for m in minutes],
        series_name("mlcanary_objective_threshold", limit): [LIMIT] * MINUTES,
    }


def test_missing_features_are_a_share_of_the_rows_that_were_looked_at(tmp_path: Path) -> None:
    """Two sidecars shed differently: a quarter of the rows with 0.20 missing and all of them with none are 0.04."""
    series = {
        **sidecar("sick", "a", 1 / 16, 0.20),
        **sidecar("sound", "a", 1 / 4, 0.04),
        **sidecar("mixed", "a", 1 / 4, 0.20),
        **sidecar("mixed", "b", 1.0, 0.0),
    }
    place = {"version": "v2", "feature": "age"}
    ratios = [({"model": m, **place}, v) for m, v in (("mixed", 0.04), ("sick", 0.2), ("sound", 0.04))]
    rows = [({"model": m, **place}, v * 36_000) for m, v in (("mixed", 1.25), ("sick", 1 / 16), ("sound", 1 / 4))]
    firing = 'ALERTS{alertname="MLCanaryFeatureMissing",alertstate="firing"}'
    tests = [
        expression(f"round({RATIO}, 1e-6)", "115m", *ratios),
        expression(f"round({ROWS}, 1e-3)", "115m", *rows),
        expression(f"count by (model) ({firing})", "115m", ({"model": "sick"}, 1.0)),
    ]
    check(tmp_path, "1m", [case("1m", series, tests)], "MLCanaryFeatureMissing", records={ROWS})
