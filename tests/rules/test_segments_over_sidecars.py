"""Figures per segment, recorded over seven restarting sidecars, against scikit-learn on the rows of the segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_recall_fscore_support,
    roc_auc_score,
    root_mean_squared_error,
)

from mlcanary.catalog import Task
from mlcanary.catalog.segments import INDICATORS
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record, canonical_class
from promtool_cases import Values, case, check, expression
from replicated_release import END, START, WARM_UP, WINDOWS, Expected, hold, scraped, while_up, windows_of

BINARY, NUMBER, FEED = ModelKey("clicks", "v1"), ModelKey("fare", "v1"), ModelKey("feed", "v1")
PLACES = ("DE", "FR")
OF = ("country",)
PLAN = MonitorPlan(
    models={
        "clicks": ModelPlan(segments=OF, objectives={"segment_min_labels": 30.0}),
        "fare": ModelPlan(segments=OF, task=Task.REGRESSION),
        "feed": ModelPlan(segments=OF, task=Task.RANKING, ranks=(3,)),
    }
)
S, SC = "model_version_segment_value:mlcanary_segment_", "model_version_segment_value_class:mlcanary_segment_"
FIGURE = "model_version_segment_value_figure_k:mlcanary_segment_ranking_figure:mean"


def records(seed: int = 4) -> list[Record]:
    """Requests of three models from two countries, and a few from a third one, which is too small to show quality."""
    rng = np.random.default_rng(seed)
    made: list[Record] = []
    for i in range(16_000):
        ts = START - WARM_UP + (END + WARM_UP) * (i + 0.5) / 16_000
        features = {"country": "PL" if i % 2000 == 7 else str(rng.choice(PLACES, p=[0.6, 0.4]))}
        match i % 3:
            case 0:
                made += _click(rng, ts, i, features)
            case 1:
                actual = float(rng.normal(20, 5))
                guess = canonical_class(round(actual + float(rng.normal(0.5, 2)), 6))
                made.append(Prediction(NUMBER, ts, f"f{i}", features, guess, label=canonical_class(round(actual, 6))))
            case _:
                items = tuple(rng.permutation(list("abcdef")).tolist())
                made.append(Prediction(FEED, ts, f"s{i}", features, items=items, label='{"a":1.0,"b":1.0}'))
    return while_up(sorted(made, key=lambda r: r.ts))


def _click(rng: np.random.Generator, ts: float, i: int, features: dict[str, str]) -> Iterator[Record]:
    positive = bool(rng.random() < 0.4)
    score = round(float(rng.beta(4, 3) if positive else rng.beta(2, 4)), 6)
    failed = "503" if rng.random() < 0.1 else None
    label = None if failed else str(int(positive))
    predicted = None if failed else str(int(score >= 0.5))
    yield Prediction(BINARY, ts, f"c{i}", features, predicted, None if failed else score, None, failed, label)
    if failed is None and rng.random() < 0.4:
        yield Label(f"c{i}", ts, "clicks", event="click")
        if rng.random() < 0.5:
            yield Label(f"c{i}", ts, "clicks", event="purchase", value=round(float(rng.gamma(2, 10)), 2))


@pytest.fixture(scope="module")
def series() -> dict[str, Values]:
    """What Prometheus scrapes of all that."""
    return scraped(PLAN, records())


def test_recorded_segments_equal_the_rows_of_the_segment(tmp_path: Path, series: dict[str, Values]) -> None:
    made, expected = records(), list[Expected]()
    for window, rows in windows_of(made).items():
        for place in PLACES:
            expected += _expected(rows, place, window)
    hold(tmp_path, series, expected)
    told = {name for row in INDICATORS for name in row.recorded}
    covered = {e.name.removesuffix(w) + "<W>" for e in expected for w in WINDOWS if e.name.endswith(w)}
    assert told == covered


def test_a_segment_with_few_labels_has_requests_and_no_quality(tmp_path: Path, series: dict[str, Values]) -> None:
    few = [r for r in records() if isinstance(r, Prediction) and r.features["country"] == "PL"]
    assert 0 < len(few) < 30
    gone = f'absent({S}labeled_predictions:accuracy1h{{value="PL"}})'
    there = f'count({S}predictions:rate1h{{value="PL"}}) > bool 0'
    tests = [expression(f"sum({gone})", "1h", ({}, 1.0)), expression(there, "1h", ({}, 1.0))]
    names = {f"{S}labeled_predictions:accuracy1h", f"{S}predictions:rate1h"}
    check(tmp_path, "20m", [case("15s", series, tests)], records=names)


def _expected(rows: Sequence[Record], place: str, w: str) -> Iterator[Expected]:
    def of(key: ModelKey) -> list[Prediction]:
        return [r for r in rows if isinstance(r, Prediction) and r.key == key and r.features["country"] == place]

    yield from _of_clicks(of(BINARY), [r for r in rows if isinstance(r, Label)], w, _labels(BINARY, place))
    numbers = of(NUMBER)
    actual, guess = [float(p.label or 0) for p in numbers], [float(p.predicted or 0) for p in numbers]
    place_of = _labels(NUMBER, place)
    yield Expected(f"{S}residual:mae{w}", mean_absolute_error(actual, guess), place_of)
    yield Expected(f"{S}residual:rmse{w}", root_mean_squared_error(actual, guess), place_of)
    yield Expected(f"{S}residual:bias{w}", float(np.mean(np.array(guess) - actual)), place_of)
    top = [p.items[:3] for p in of(FEED) if p.items is not None]
    recall = np.mean([len({"a", "b"} & set(items)) / 2 for items in top])
    yield Expected(FIGURE + w, float(recall), {**_labels(FEED, place), "figure": "recall", "k": "3"})


def _of_clicks(asked: list[Prediction], events: list[Label], w: str, labels: dict[str, str]) -> Iterator[Expected]:
    answered = [p for p in asked if p.error is None]
    y = np.array([p.label == "1" for p in answered])
    guess, score = np.array([p.predicted == "1" for p in answered]), np.array([p.score for p in answered])
    ids = {p.id for p in answered}
    clicks = sum(e.event == "click" and e.id in ids for e in events)
    bought = [e.value or 0.0 for e in events if e.event == "purchase" and e.id in ids]
    seconds, n = WINDOWS[w], len(asked)
    auc = roc_auc_score(y, score)
    figures = {
        "predictions:rate": n / seconds,
        "prediction_errors:ratio": 1 - len(answered) / n,
        "labeled_predictions:count": len(answered),
        "labeled_predictions:accuracy": accuracy_score(y, guess),
        "labeled_predictions:f1_macro": f1_score(y, guess, average="macro"),
        "labeled_predictions:balanced_accuracy": balanced_accuracy_score(y, guess),
        "log_loss:mean": log_loss(y, score),
        "brier_score:mean": brier_score_loss(y, score),
        "clicks:ctr": clicks / len(answered),
        "conversions:cvr": len(bought) / clicks,
        "conversions:per_prediction": len(bought) / n,
        "conversion_value:per_prediction": sum(bought) / n,
    }
    yield from (Expected(f"{S}{name}{w}", value, labels) for name, value in figures.items())
    parts = precision_recall_fscore_support(y, guess, labels=[False, True])
    for name, values in zip(("precision", "recall", "f1_"), parts, strict=False):
        for i, text in enumerate("01"):
            yield Expected(f"{SC}labeled_predictions:{name}{w}", values[i], {**labels, "class": text})
    yield Expected(f"{S}labeled_score:auc{w}", float(auc), labels, within=_bound(y, score))
    yield Expected(f"{S}labeled_score:auc_error_bound{w}", _bound(y, score), labels)


def _bound(y: np.ndarray, score: np.ndarray) -> float:
    """Half the share of pairs that share a coarse bin."""
    edges = replace(PLAN.models["clicks"], coarse=True).score_edges
    bins = np.searchsorted(edges, score, side="left")
    ups, downs = (np.bincount(bins[mask], minlength=edges.size + 1) for mask in (y, ~y))
    return float(ups @ downs) / float(ups.sum() * downs.sum()) / 2


def _labels(key: ModelKey, place: str) -> dict[str, str]:
    return {"model": key.model, "version": key.version, "segment": "country", "value": place}
