"""Lines of a log in, gauges of the page out, for each task: the same figures as scikit-learn on the raw values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    ndcg_score,
    r2_score,
)

from mlcanary.catalog import Task
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Sample
from monitored_traffic import START, value

PLAN = MonitorPlan(
    models={
        "churn": ModelPlan(task=Task.BINARY),
        "pets": ModelPlan(task=Task.MULTICLASS),
        "price": ModelPlan(task=Task.REGRESSION, quantile=0.8),
        "feed": ModelPlan(task=Task.RANKING, ranks=(3,)),
    }
)
N, NOW = 200, START + 250.0
Line = dict[str, Any]


def page(lines: Sequence[Line]) -> list[Sample]:
    """What a sidecar shows that has read these lines."""
    monitor = Monitor(PLAN, START)
    block = "".join(json.dumps(line) + "\n" for line in lines).encode()
    found = NativeFormat(RowReader(PLAN.model)).decode_block(block, NOW)
    assert found.rejects == []
    monitor.feed(found.records, NOW)
    monitor.advance(NOW, NOW)
    return list(monitor.samples(NOW))


def request(model: str, i: int, **fields: Any) -> Line:
    """A prediction line."""
    return {"id": f"{model}-{i}", "ts": START + i, "model": model, "version": "v1", **fields}


def label(model: str, i: int, right: object) -> Line:
    """A label line."""
    return {"kind": "label", "id": f"{model}-{i}", "ts": START + i + 1, "model": model, "label": right}


def lines_of_all_tasks(rng: np.random.Generator) -> tuple[list[Line], dict[str, list[Any]]]:
    """Lines of four models, mixed, and the raw values: (prediction, what was right)."""
    raw: dict[str, list[Any]] = {"churn": [], "pets": [], "price": [], "feed": []}
    lines: list[Line] = []
    for i in range(N):
        score, truth = round(float(rng.random()), 3), int(rng.random() < 0.4)
        raw["churn"].append((int(score >= 0.5), truth))
        lines += [request("churn", i, score=score), label("churn", i, truth)]
        p = rng.dirichlet([1, 1, 1]).tolist()
        pet = ("ant", "bee", "cat")[int(rng.integers(3))]
        raw["pets"].append((("ant", "bee", "cat")[int(np.argmax(p))], pet))
        lines += [request("pets", i, scores=dict(zip(("ant", "bee", "cat"), p, strict=True))), label("pets", i, pet)]
        price = float(rng.normal(1e6, 30))
        raw["price"].append((price + float(rng.normal(1, 9)), price))
        lines += [request("price", i, prediction=raw["price"][-1][0]), label("price", i, price)]
        items, grades = rng.permutation(6), {int(j): int(rng.integers(1, 4)) for j in rng.choice(6, 2, replace=False)}
        raw["feed"].append((items.tolist(), grades))
        lines += [request("feed", i, items=items.tolist()), label("feed", i, {str(j): g for j, g in grades.items()})]
    return lines, raw


def test_each_task_has_its_figures_from_log_to_page() -> None:
    lines, raw = lines_of_all_tasks(np.random.default_rng(5))
    samples = page(lines)

    def gauge(model: str, name: str, *labels: str) -> float | None:
        return value(samples, f"window_{name}", model, "v1", "5m", *labels)

    for model in ("churn", "pets"):
        predicted, right = zip(*raw[model], strict=True)
        assert gauge(model, "accuracy_ratio") == pytest.approx(accuracy_score(right, predicted), abs=1e-12)
    f, y = (np.array(column) for column in zip(*raw["price"], strict=True))
    assert gauge("price", "mean_absolute_error") == pytest.approx(mean_absolute_error(y, f), rel=1e-9)
    assert gauge("price", "mean_squared_error") == pytest.approx(mean_squared_error(y, f), rel=1e-9)
    assert gauge("price", "root_mean_squared_error") == pytest.approx(np.sqrt(mean_squared_error(y, f)), rel=1e-9)
    assert gauge("price", "bias") == pytest.approx(np.mean(f - y), rel=1e-9)
    assert gauge("price", "r2_ratio") == pytest.approx(r2_score(y, f), rel=1e-9)
    assert gauge("price", "quantile_loss") == pytest.approx(mean_pinball_loss(y, f, alpha=0.8), rel=1e-9)
    truth = np.array([[grades.get(item, 0) for item in items] for items, grades in raw["feed"]])
    order = np.broadcast_to(np.arange(6, 0, -1), truth.shape)
    assert gauge("feed", "ndcg_ratio", "3") == pytest.approx(ndcg_score(truth, order, k=3), rel=1e-9)
    assert gauge("feed", "recall_at_ratio", "3") == pytest.approx(np.mean((truth[:, :3] > 0).sum(axis=1) / 2))
    assert gauge("feed", "hit_ratio", "3") == pytest.approx(np.mean((truth[:, :3] > 0).any(axis=1)))
    assert gauge("feed", "precision_at_ratio", "3") == pytest.approx(np.mean(truth[:, :3] > 0))
    reciprocal = np.max((truth > 0) / np.arange(1, 7), axis=1)
    assert gauge("feed", "reciprocal_rank_ratio") == pytest.approx(np.mean(reciprocal))


def test_each_task_has_no_figures_of_another() -> None:
    lines, _ = lines_of_all_tasks(np.random.default_rng(6))
    shown = {(s.labels[0], s.name) for s in page(lines) if s.labels}
    for name, owners in (
        ("mlcanary_window_accuracy_ratio", {"churn", "pets"}),
        ("mlcanary_window_auc_ratio", {"churn"}),
        ("mlcanary_window_r2_ratio", {"price"}),
        ("mlcanary_window_ndcg_ratio", {"feed"}),
    ):
        assert {model for model, family in shown if family == name} == owners
    for model in PLAN.models:
        assert (model, "mlcanary_predictions_total") in shown
        assert (model, "mlcanary_label_joins_total") in shown


def test_a_label_without_the_name_of_its_model_is_counted_as_broken_where_it_cannot_be_used() -> None:
    lines = [request("price", 1, prediction=2.5), request("feed", 2, items=["a"])]
    for model, i in (("price", 1), ("feed", 2)):
        nameless = label(model, i, "cat")
        del nameless["model"]
        lines.append(nameless)
    samples = page(lines)
    assert value(samples, "regression_unusable_total", "price", "v1", "broken_label") == 1.0
    assert value(samples, "ranking_unusable_total", "feed", "v1", "broken_label") == 1.0
    assert value(samples, "window_r2_ratio", "price", "v1", "5m") is None
