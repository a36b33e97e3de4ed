"""Figures without noise: a standard error is 0 then, never NaN, and a difference beside it is as certain as can be.

Rounding takes the variance of equal values a little below 0 in some windows, so each case has many models, whose
counts differ, and is looked at in every minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from promtool_cases import Labels, Values, case, check, expression, series_name

SCRAPES = 61
CLASSES = tuple("abcde")
LIMITS = {
    "min_labels": 200.0,
    "label_coverage": 0.5,
    "accuracy_drop_fast": 0.1,
    "auc_drop_fast": 0.1,
    "log_loss_rise_fast": 0.2,
}
V = "model_version:mlcanary_"
Series = dict[str, Values]


def growth(rng: np.random.Generator, low: int, high: int) -> list[int]:
    """A counter that starts at 0 and grows by `low` to `high` between scrapes."""
    return [0, *np.cumsum(rng.integers(low, high, SCRAPES - 1)).tolist()]


def multiples(counts: list[int], value: float) -> list[float]:
    """What a counter of `value` per event shows, added up event by event as an exporter does."""
    return [float(total) for total in np.concatenate(([0.0], np.cumsum(np.full(counts[-1], value))))[counts]]


def version(model: str, name: str, role: str, labeled: list[int]) -> Series:
    """Role, limits and label coverage: what a comparison demands."""
    of = {"model": model, "version": name}
    every = [1.0] * SCRAPES
    return {
        series_name("mlcanary_model_info", {**of, "role": role, "task": "multiclass"}): every,
        series_name("mlcanary_label_joins_total", {**of, "result": "matched"}): [float(n) for n in labeled],
        **{
            series_name("mlcanary_objective_threshold", {"model": model, "objective": objective}): [limit] * SCRAPES
            for objective, limit in LIMITS.items()
        },
    }


def log_loss(model: str, name: str, counts: list[int], loss: float, spread: float) -> Series:
    """Labelled predictions, half of them with a loss `spread` above `loss` and half as much below."""
    of = {"model": model, "version": name}
    cells = {**of, "actual": "1", "predicted": "1"}
    return {
        series_name("mlcanary_log_loss_sum", of): multiples(counts, loss),
        series_name("mlcanary_log_loss_count", of): [float(n) for n in counts],
        series_name("mlcanary_log_loss_squares_total", of): multiples(counts, loss**2 + spread**2),
        series_name("mlcanary_labeled_predictions_total", cells): [float(n) for n in counts],
    }


def confusion(rng: np.random.Generator, model: str, name: str, role: str, accuracy: float) -> Series:
    """Five classes; wrong answers name the next class."""
    series: Series = {}
    total = np.zeros(SCRAPES, dtype=int)
    for actual, other in zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True):
        right = np.array(growth(rng, 0, 30)) if accuracy else np.zeros(SCRAPES, dtype=int)
        wrong = np.array(growth(rng, 0, 30)) if accuracy < 1 else np.zeros(SCRAPES, dtype=int)
        for predicted, counts in ((actual, right), (other, wrong)):
            cells = {"model": model, "version": name, "actual": actual, "predicted": predicted}
            series[series_name("mlcanary_labeled_predictions_total", cells)] = counts.astype(float).tolist()
            total += counts
    return series | version(model, name, role, total.tolist())


def scores(rng: np.random.Generator, model: str, name: str, role: str, *, ranking: str) -> Series:
    """Ten score bins. `right`: positives above all negatives; `wrong`: below them; `none`: all scores are one."""
    series: Series = {}
    total = np.zeros(SCRAPES, dtype=int)
    up, down = {"right": (9, 0), "wrong": (0, 9), "none": (4, 4)}[ranking]
    for actual, place in (("positive", up), ("negative", down)):
        counts = np.array(growth(rng, 15, 60))
        total += counts
        for i in range(10):
            of = {"model": model, "version": name, "actual": actual, "bin": f"{(i + 1) / 10:g}"}
            inside, below = counts * (i == place), counts * (i > place)
            series[series_name("mlcanary_labeled_score_bin_total", of)] = inside.astype(float).tolist()
            series[series_name("mlcanary_labeled_score_below_total", of)] = below.astype(float).tolist()
    cells = {"model": model, "version": name, "actual": "1", "predicted": "1"}
    series[series_name("mlcanary_labeled_predictions_total", cells)] = total.astype(float).tolist()
    return series | version(model, name, role, total.tolist())


def minutes(*counted: tuple[str, int | None], since: int = 6) -> Iterator[dict[str, object]]:
    """In every minute the expression has so many series, or none at all."""
    for text, number in counted:
        found: list[tuple[Labels, float]] = [] if number is None else [({}, float(number))]
        for minute in range(since, 16):
            yield expression(f"count({text})", f"{minute}m", *found)


def firing(name: str) -> str:
    """Alerts of this name that ask for a rollback."""
    return f'ALERTS{{alertname="{name}",alertstate="firing",window="5m"}}'


def test_a_canary_with_one_score_for_everybody_has_a_log_loss_without_noise(tmp_path: Path) -> None:
    rng, models, series = np.random.default_rng(1), 30, Series()
    for i in range(models):
        for name, role, loss, spread in (("v1", "baseline", 0.2, 0.1), ("v2", "canary", -math.log(0.5), 0.0)):
            counts = growth(rng, 15, 60)
            series |= log_loss(f"m{i}", name, counts, loss, spread) | version(f"m{i}", name, role, counts)
    told = firing("MLCanaryLogLossAboveBaseline")
    expressions = [
        *minutes((f"{V}log_loss:mean_stderr5m >= 0", 2 * models), (f"{V}log_loss:mean_zscore5m > 6", models)),
        *minutes((told, models), since=8),
    ]
    check(tmp_path, "15s", [case("15s", series, expressions)], "MLCanaryLogLossAboveBaseline")


def test_a_baseline_without_mistakes_is_a_baseline(tmp_path: Path) -> None:
    """Beside it: a canary that is right half of the time, one that never is, and one without mistakes too."""
    rng, models, series = np.random.default_rng(2), 6, Series()
    for i in range(models):
        for kind, accuracy in (("half", 0.5), ("never", 0.0), ("always", 1.0)):
            series |= confusion(rng, f"{kind}{i}", "v1", "baseline", 1.0)
            series |= confusion(rng, f"{kind}{i}", "v2", "canary", accuracy)
    zscore, told = f"{V}labeled_predictions:accuracy_zscore5m", firing("MLCanaryAccuracyBelowBaseline")
    expressions = [
        *minutes(
            (f"{V}labeled_predictions:accuracy_stderr5m >= 0", 6 * models),
            (f'{zscore}{{model=~"half.*"}} < -6', models),
            (f'{zscore}{{model=~"never.*"}} < -1e6', models),
            (f"{zscore} != {zscore}", None),
        ),
        *minutes((told, 2 * models), (told.replace("{", '{model=~"always.*",'), None), since=8),
    ]
    check(tmp_path, "15s", [case("15s", series, expressions)], "MLCanaryAccuracyBelowBaseline")


def test_scores_that_tell_everything_or_nothing_have_an_auc_without_noise(tmp_path: Path) -> None:
    rng, models, series = np.random.default_rng(3), 3, Series()
    for i in range(models):
        for kind in ("right", "wrong", "none"):
            series |= scores(rng, f"{kind}{i}", "v1", "baseline", ranking="right")
            series |= scores(rng, f"{kind}{i}", "v2", "canary", ranking=kind)
    zscore, told = f"{V}labeled_score:auc_zscore5m", firing("MLCanaryAUCBelowBaseline")
    expressions = [
        *minutes(
            (f"{V}labeled_score:auc_stderr5m >= 0", 6 * models),
            (f'{zscore}{{model=~"(wrong|none).*"}} < -1e6', 2 * models),
            (f"{zscore} != {zscore}", None),
        ),
        # All scores of `none` share a bin, which may hide any ranking: the bins prove nothing, so nobody acts on AUC.
        *minutes((told, models), (told.replace("{", '{model=~"(right|none).*",'), None), since=8),
    ]
    check(tmp_path, "15s", [case("15s", series, expressions)], "MLCanaryAUCBelowBaseline")


def test_the_same_price_every_time_is_a_value_without_noise(tmp_path: Path) -> None:
    rng, models, series = np.random.default_rng(4), 10, Series()
    for i in range(models):
        of, counts = {"model": f"m{i}", "version": "v2"}, growth(rng, 15, 60)
        series[series_name("mlcanary_predictions_total", {**of, "predicted": "1"})] = [float(n) for n in counts]
        sale = {**of, "event": "purchase"}
        series[series_name("mlcanary_business_value_total", {**sale, "sign": "positive"})] = multiples(counts, 0.7)
        series[series_name("mlcanary_business_value_total", {**sale, "sign": "negative"})] = [0.0] * SCRAPES
        series[series_name("mlcanary_business_value_squares_total", sale)] = multiples(counts, 0.7**2)
    stderr = "model_version_event:mlcanary_business_value:mean_stderr5m"
    expressions = list(minutes((f"{stderr} >= 0", models), (f"{stderr} > 0.01", None)))
    check(tmp_path, "15s", [case("15s", series, expressions)])
