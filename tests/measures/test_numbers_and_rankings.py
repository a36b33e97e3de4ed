"""What the measures of regression and of rankings promise beyond the contract and the oracles."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from mlcanary.catalog import Task
from mlcanary.measures.contract import Labeled, Measure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.ranking import RankingMeasure
from mlcanary.measures.regression import CENTERS, TRIAL, RegressionMeasure
from mlcanary.records import ModelKey, Prediction
from mlcanary.stats.r_squared import TargetSums
from nasty_streams import STREAMS, measured, ranked

NUMBERS, RANKINGS = ModelPlan(task=Task.REGRESSION), ModelPlan(task=Task.RANKING, ranks=(1, 3))
KEY = ModelKey("m", "v")


def counts(measure: Measure, name: str) -> dict[tuple[str, ...], float]:
    """Counters of one family by labels."""
    return {s.labels: s.value for s in measure.counters() if s.name == f"mlcanary_{name}"}


def shown(measure: Measure) -> dict[tuple[str, ...], float]:
    """Gauges by name and own labels."""
    return {(s.name.removeprefix("mlcanary_window_"), *s.labels): s.value for s in measure.gauges(60.0)}


def pair(actual: float | str, predicted: float | str | None) -> Labeled:
    """A labelled number."""
    return Labeled(str(actual), None if predicted is None else str(predicted), None, None, 0.0)


def ranking(label: str, *items: str) -> Labeled:
    """A labelled ranking."""
    return Labeled(label, None, None, None, 0.0, items=items)


def near(center: float, n: int, seed: int = 1) -> list[Labeled]:
    """Good predictions of a target near a number."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(center, 10, n).tolist()
    return [pair(y, y + float(rng.normal(0, 3))) for y in targets]


def r2(rows: Sequence[Labeled]) -> float:
    """What scikit-learn says."""
    return float(r2_score([float(x.actual) for x in rows], [float(x.predicted or "") for x in rows]))


def spelled(text: str | None) -> str:
    """Whether a text is a number that can be summed, is none, or is missing."""
    if text is None:
        return "missing"
    try:
        return "sound" if abs(float(text)) <= 1e15 else "broken"
    except ValueError:
        return "broken"


@pytest.mark.parametrize("stream", STREAMS)
def test_numbers_that_cannot_be_used_are_counted_by_reason(stream: str) -> None:
    """The indicator "unusable labels of a regression model"."""
    rows, measure = (
        [*measured(stream), pair("2", "1e16"), pair("-1e16", None), pair("2", None)],
        RegressionMeasure(NUMBERS),
    )
    measure.on_labeled(rows)
    wanted: Counter[str] = Counter()
    for x in rows:
        y, f = spelled(x.actual), spelled(x.predicted)
        words = {"broken": "broken_prediction", "missing": "no_prediction", "sound": "sound"}
        wanted["broken_label" if y != "sound" else words[f]] += 1
    sound = wanted.pop("sound", 0)
    assert {reason: n for (reason,), n in counts(measure, "regression_unusable_total").items()} == wanted
    assert counts(measure, "residual_observations_total") == {(): sound}


@pytest.mark.parametrize("stream", STREAMS)
def test_rankings_that_cannot_be_used_are_counted_by_reason(stream: str) -> None:
    """The indicator "unusable labels of a ranking model"."""
    rows, measure = [*ranked(stream), ranking("{}", "a")], RankingMeasure(RANKINGS)
    measure.on_labeled(rows)
    wanted: Counter[str] = Counter(broken_label=0, no_prediction=0, no_relevant_item=0)
    for x in rows:
        try:
            grades = json.loads(x.actual)
        except ValueError:
            grades = None
        if not isinstance(grades, dict) or not all(0 < grade < math.inf for grade in grades.values()):
            wanted["broken_label"] += 1
        elif x.items is None or not grades:
            wanted["no_prediction" if x.items is None else "no_relevant_item"] += 1
        else:
            wanted["sound"] += 1
    sound = wanted.pop("sound", 0)
    assert {reason: n for (reason,), n in counts(measure, "ranking_unusable_total").items()} == wanted
    assert counts(measure, "ranking_requests_total") == {("all",): sound, ("1",): sound, ("3",): sound}


def test_the_center_is_the_first_number_that_the_model_says_and_its_sums_are_born_at_zero() -> None:
    measure = RegressionMeasure(NUMBERS)
    assert counts(measure, "target_observations_total") == {}
    texts = (None, "cat", "1e300", "7.5", "8")
    measure.on_predictions([Prediction(KEY, 0.0, predicted=text) for text in texts])
    assert counts(measure, "target_observations_total") == {("7.5",): 0.0}
    assert {(s.name, s.labels): s.value for s in measure.facts(0.0)}["mlcanary_target_center", ("7.5",)] == 7.5
    measure.on_labeled(near(8.0, 500))
    assert counts(measure, "target_observations_total") == {("7.5",): 500.0}


@pytest.mark.parametrize("batch", [1, 7, 19, 20, 21, 1000])
def test_a_first_number_far_off_costs_r2_only_as_long_as_its_rows_are_in_the_window(batch: int) -> None:
    measure, rows = RegressionMeasure(NUMBERS), near(1e9, 1000)
    measure.on_predictions([Prediction(KEY, 0.0, predicted="0")])
    for i in range(0, TRIAL, batch):
        measure.on_labeled(rows[i : min(i + batch, TRIAL)])
    assert shown(measure)["undefined", "r2", "constant_target"] == 1.0
    before = measure.copy()
    for i in range(TRIAL, len(rows), batch):
        measure.on_labeled(rows[i : i + batch])
    centers = counts(measure, "target_observations_total")
    assert centers == {("0.0",): TRIAL, (repr(float(rows[TRIAL - 1].actual)),): 1000.0 - TRIAL}
    assert shown(measure.minus(before))["r2_ratio",] == pytest.approx(r2(rows[TRIAL:]), rel=1e-12)


def test_there_are_never_more_centers_than_that() -> None:
    measure = RegressionMeasure(NUMBERS)
    measure.on_predictions([Prediction(KEY, 0.0, predicted="0")])
    for i in range(2 * CENTERS):
        measure.on_labeled(near(1e9 * 2**i, TRIAL, seed=i))
    assert len(counts(measure, "target_observations_total")) == CENTERS


@pytest.mark.parametrize("stream", ["huge values", "ties", "adversarial order"])
def test_sums_about_other_centers_add_up_to_the_same_r2(stream: str) -> None:
    rows = measured(stream)
    parts = [RegressionMeasure(NUMBERS) for _ in range(7)]
    for i, measure in enumerate(parts):
        measure.on_labeled(rows[i::7])
    target, errors = parts[0].parts["target"], parts[0].parts["residuals"]
    for other in parts[1:]:
        target, errors = target.merge(other.parts["target"]), errors.merge(other.parts["residuals"])
    assert isinstance(target, TargetSums)
    assert len(target.centers) > 1
    assert target.r_squared(errors.squares) == pytest.approx(r2(rows), rel=1e-9)


def test_why_a_figure_of_numbers_is_absent() -> None:
    measure = RegressionMeasure(NUMBERS)
    figures = ("mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "bias", "r2", "quantile_loss")
    assert shown(measure) == {("undefined", figure, "no_labels"): 1.0 for figure in figures}
    measure.on_labeled([pair(5, 7), pair(5, 4)])
    assert shown(measure)["undefined", "r2", "constant_target"] == 1.0
    assert shown(measure)["bias",] == 0.5


def test_an_item_that_comes_twice_counts_at_its_first_place_and_wastes_the_second() -> None:
    measure = RankingMeasure(RANKINGS)
    measure.on_labeled([ranking('{"a":1.0,"b":1.0}', "a", "a", "c", "b")])
    found = shown(measure)
    assert found["precision_at_ratio", "3"] == pytest.approx(1 / 3)
    assert (found["recall_at_ratio", "3"], found["hit_ratio", "1"], found["reciprocal_rank_ratio",]) == (0.5, 1.0, 1.0)
    assert found["ndcg_ratio", "3"] == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_an_empty_ranking_is_worth_nothing_and_no_ranking_is_no_answer() -> None:
    measure = RankingMeasure(RANKINGS)
    assert shown(measure) == {
        ("undefined", figure, "no_labels"): 1.0 for figure in ("hit", "ndcg", "precision", "recall", "reciprocal_rank")
    }
    measure.on_labeled([ranking('{"a":1.0}'), replace(ranking('{"a":1.0}'), items=None)])
    assert set(shown(measure).values()) == {0.0}
    assert counts(measure, "ranking_unusable_total")["no_prediction",] == 1.0


def test_another_list_of_k_starts_with_figures_and_requests_at_zero() -> None:
    row, wider = ranking('{"a":1.0}', "b", "a"), replace(RANKINGS, ranks=(1, 2))
    replanned = RankingMeasure(RANKINGS)
    replanned.on_labeled([row])
    restored = RankingMeasure(wider)
    for name, part in restored.parts.items():
        part.load(replanned.parts[name].dump())
    replanned.replan(wider)
    restored.on_predictions([Prediction(KEY, 0.0)])
    for measure in (replanned, restored):
        assert counts(measure, "ranking_requests_total")["2",] == 0.0
        assert shown(measure)["recall_at_ratio", "1"] == 0.0
        measure.on_labeled([row, ranking('{"a":1.0}', "a")])
        assert counts(measure, "ranking_requests_total")["2",] == 2.0
        assert shown(measure)["recall_at_ratio", "2"] == 1.0
        assert shown(measure)["recall_at_ratio", "1"] == pytest.approx(1 / 3)
