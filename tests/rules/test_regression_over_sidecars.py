"""Recorded series of regression models against scikit-learn and scipy on raw events of seven restarting sidecars.

The target lies near 1e7 and varies by 10: summed about 0, its variance would be lost in rounding. Each sidecar chooses
its center anew in each of its lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error, r2_score

from mlcanary.catalog import Role, Task
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import ModelKey, Prediction, Record
from promtool_cases import Values, case, check, expression, near, recorded_names, shipped_groups
from replicated_release import END, START, WARM_UP, WINDOWS, Expected, hold, scraped, windows_of

MODEL, QUANTILE = "price", 0.9
PLAN = MonitorPlan(
    models={MODEL: ModelPlan(task=Task.REGRESSION, roles={"v1": Role.BASELINE, "v2": Role.CANARY}, quantile=QUANTILE)}
)
BROKEN = {"broken_label": ("cat", "1e7"), "broken_prediction": ("1e7", "1e99"), "no_prediction": ("1e7", None)}
V, R = "model_version:mlcanary_", "model_version:mlcanary_residual:"
Floats = NDArray[np.float64]


def requests(version: str, per_second: float, *, bias: float, seed: int) -> Iterator[Record]:
    """Labelled predictions, one in five of them broken."""
    rng = np.random.default_rng(seed)
    for i, ts in enumerate(np.sort(rng.uniform(START - WARM_UP, START + END, int(per_second * (WARM_UP + END))))):
        actual = 1e7 + float(rng.normal(0.0, 10.0))
        predicted: str | None = repr(actual + float(rng.normal(bias, 4.0)))
        label = repr(actual)
        if i % 5 == 0:
            label, predicted = tuple(BROKEN.values())[i // 5 % 3]
        yield Prediction(ModelKey(MODEL, version), float(ts), predicted=predicted, label=label)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Canary and baseline."""
    return [*requests("v1", 2.0, bias=0.5, seed=1), *requests("v2", 1.0, bias=-1.5, seed=2)]


@pytest.fixture(scope="module")
def series(records: Sequence[Record]) -> dict[str, Values]:
    """What Prometheus scrapes."""
    return scraped(PLAN, records, seed=2)


def pairs(records: Sequence[Record], version: str) -> tuple[Floats, Floats]:
    """Actual and predicted numbers of the rows that have both."""
    rows = [r for r in of_version(records, version) if (r.label, r.predicted) not in BROKEN.values()]
    return np.array([float(r.label or "") for r in rows]), np.array([float(r.predicted or "") for r in rows])


def of_version(records: Sequence[Record], version: str) -> list[Prediction]:
    """Requests of one version."""
    return [r for r in records if isinstance(r, Prediction) and r.key.version == version]


def losses(y: Floats, f: Floats) -> Mapping[str, Floats]:
    """Losses of single predictions, by the name that their mean is recorded under."""
    error = f - y
    return {
        "mae": np.abs(error),
        "mse": error**2,
        "quantile_loss": np.where(error < 0, -QUANTILE * error, (1 - QUANTILE) * error),
    }


def of_window(records: Sequence[Record], version: str, w: str) -> Iterator[Expected]:
    """Everything that is recorded of one version."""
    of, seconds = {"model": MODEL, "version": version}, WINDOWS[w]
    y, f = pairs(records, version)
    error = f - y
    yield Expected(f"{R}mae{w}", float(mean_absolute_error(y, f)), of)
    yield Expected(f"{R}mse{w}", float(mean_squared_error(y, f)), of)
    yield Expected(f"{R}rmse{w}", float(np.sqrt(mean_squared_error(y, f))), of)
    yield Expected(f"{R}quantile_loss{w}", float(mean_pinball_loss(y, f, alpha=QUANTILE)), of)
    yield Expected(f"{R}bias{w}", float(error.mean()), of)
    yield Expected(f"{R}bias_stderr{w}", float(stats.sem(error)), of)
    yield Expected(f"{R}r2_{w}", float(r2_score(y, f)), of)
    for name, loss in losses(y, f).items():
        yield Expected(f"{R}{name}_stderr{w}", float(stats.sem(loss)), of)
    yield Expected(f"{V}target:variance{w}", float(y.var()), of)
    yield Expected(f"{V}residual_observations:rate{w}", y.size / seconds, of)
    yield Expected(f"{V}regression_quantile:max{w}", QUANTILE, of)
    for sign, part in (("over", np.maximum(error, 0)), ("under", np.maximum(-error, 0))):
        signed = {**of, "sign": sign}
        yield Expected(f"model_version_sign:mlcanary_residual_absolute:rate{w}", part.sum() / seconds, signed)
        yield Expected(f"model_version_sign:mlcanary_residual_squares:rate{w}", (part**2).sum() / seconds, signed)
    for reason, row in BROKEN.items():
        count = sum((r.label, r.predicted) == row for r in of_version(records, version))
        name = f"model_version_reason:mlcanary_regression_unusable:rate{w}"
        yield Expected(name, count / seconds, {**of, "reason": reason})


def of_comparison(records: Sequence[Record], w: str) -> Iterator[Expected]:
    """The canary beside its baseline."""
    of = {"model": MODEL, "version": "v2"}
    canary, baseline = pairs(records, "v2"), pairs(records, "v1")
    for name, ours in losses(*canary).items():
        theirs = losses(*baseline)[name]
        yield Expected(f"{R}{name}_delta{w}", float(ours.mean() - theirs.mean()), of)
        welch = stats.ttest_ind(ours, theirs, equal_var=False).statistic
        yield Expected(f"{R}{name}_zscore{w}", float(welch), of)
    rmse, rmse_before = (np.sqrt(mean_squared_error(*side)) for side in (canary, baseline))
    yield Expected(f"{R}rmse_delta{w}", float(rmse - rmse_before), of)
    yield Expected(f"{R}r2_delta{w}", float(r2_score(*canary) - r2_score(*baseline)), of)


def test_recorded_series_equal_the_raw_events(
    tmp_path: Path, records: Sequence[Record], series: Mapping[str, Values]
) -> None:
    """Also "unusable labels of a regression model", by reason."""
    expected: list[Expected] = []
    for w, rows in windows_of(records).items():
        expected += [*of_window(rows, "v1", w), *of_window(rows, "v2", w), *of_comparison(rows, w)]
    hold(tmp_path, series, expected)
    groups = [group for group in shipped_groups() if "regression" in group["name"]]
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    texts = " ".join(text for w in WINDOWS for text in about_centers("v1", w))
    assert {e.name for e in expected} | recorded_names(texts) == recorded


def about_centers(version: str, w: str) -> tuple[str, ...]:
    """Over all centers: number of targets, their sum, squared distances from 1e7, and the mean, told twice."""
    n, c, d, q, mean = (
        f'model_version_center:mlcanary_target{name}{w}{{version="{version}"}}'
        for name in ("_observations:rate", "_center:max", "_distance:mean", "_distance_squares:rate", ":mean")
    )
    return (
        f"sum({n})",
        f"sum({n} * ({c} + {d}))",
        f"sum({q} + {n} * ({c} - 1e7) * (2 * {d} + {c} - 1e7))",
        f"sum({n} * {mean}) / sum({n}) + min({c})",
        f'sum({V}target:mean{w}{{version="{version}"}}) + min({c})',
    )


def test_sums_of_sidecars_that_chose_other_centers_add_up(
    tmp_path: Path, records: Sequence[Record], series: Mapping[str, Values]
) -> None:
    tests = []
    for w, rows in windows_of(records).items():
        for version in ("v1", "v2"):
            y, per_second = pairs(rows, version)[0], 1 / WINDOWS[w]
            squares = ((y - 1e7) ** 2).sum()
            wanted = (y.size * per_second, y.sum() * per_second, squares * per_second, y.mean(), y.mean())
            for text, value in zip(about_centers(version, w), wanted, strict=True):
                tests.append(expression(near(text, value), "1h", ({}, 1.0)))
            centers = f'count(model_version_center:mlcanary_target_observations:rate{w}{{version="{version}"}} > 0)'
            tests.append(expression(f"{centers} >= bool 7", "1h", ({}, 1.0)))
    check(tmp_path, "20m", [case("15s", series, tests)])
