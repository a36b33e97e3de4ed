"""`mlcanary replay` prints the figures of the task that the log belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    mean_absolute_error,
    ndcg_score,
    r2_score,
    roc_auc_score,
)

from mlcanary.cli.replay import command as replay


def run(folder: Path, task: str, requests: list[tuple[dict[str, Any], object]], output: str) -> str:
    """What `replay` prints of requests with their labels."""
    lines = []
    for i, (answer, right) in enumerate(requests):
        lines.append({"id": i, "ts": 1_793_527_200 + i, "model": "m", "version": "v", **answer})
        lines.append({"kind": "label", "id": i, "ts": 1_793_527_201 + i, "label": right})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["--model.task", task, "--log.path", str(folder / "log.jsonl"), "--output", output]
    result = CliRunner().invoke(replay, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def header(table: str) -> list[str]:
    """Names of the columns of a printed table after the counts."""
    return table.splitlines()[1].split()[6:]


def test_errors_of_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y, e = rng.normal(100, 10, 300), rng.normal(1, 3, 300)
    requests: list[tuple[dict[str, Any], object]] = [
        ({"prediction": a + b}, a) for a, b in zip(y.tolist(), e.tolist(), strict=True)
    ]
    (row,) = json.loads(run(tmp_path, "regression", requests, "json"))["versions"]
    assert row["labels"] == 300
    assert row["mae"] == pytest.approx(mean_absolute_error(y, y + e), rel=1e-9)
    assert row["r2"] == pytest.approx(r2_score(y, y + e), rel=1e-9)
    table = run(tmp_path, "regression", requests, "table")
    assert header(table) == ["mae", "rmse", "bias", "r2", "quantile_loss"]
    assert "no prediction has a label" not in table


def test_worth_of_rankings(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random((200, 12)) < 0.3).astype(float)
    truth[:, 0] = 1.0
    orders = [rng.permutation(12).tolist() for _ in truth]
    requests: list[tuple[dict[str, Any], object]] = [
        ({"items": order}, np.flatnonzero(right).tolist()) for order, right in zip(orders, truth, strict=True)
    ]
    (row,) = json.loads(run(tmp_path, "ranking", requests, "json"))["versions"]
    shown = np.array([right[order] for order, right in zip(orders, truth, strict=True)])
    places = np.broadcast_to(np.arange(12, 0, -1), shown.shape)
    assert row["labels"] == 200
    assert row["ndcg@10"] == pytest.approx(ndcg_score(shown, places, k=10), rel=1e-9)
    table = run(tmp_path, "ranking", requests, "table")
    assert header(table) == ["mrr", "ndcg@10", "recall@10", "hit@10", "precision@10"]


def test_classes_keep_their_columns(tmp_path: Path) -> None:
    table = run(tmp_path, "binary", [({"score": 0.5}, 1)], "table")
    assert header(table) == ["accuracy", "precision", "recall", "f1", "auc", "log_loss"]


def test_many_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    truth, scores = rng.integers(0, 3, 400), rng.dirichlet((1, 1, 1), 400)
    scores[np.arange(400), truth] += 0.4
    scores /= scores.sum(axis=1, keepdims=True)
    requests: list[tuple[dict[str, Any], object]] = [
        ({"scores": dict(zip("abc", row, strict=True))}, "abc"[i])
        for row, i in zip(scores.tolist(), truth.tolist(), strict=True)
    ]
    (row,) = json.loads(run(tmp_path, "multiclass", requests, "json"))["versions"]
    said = scores.argmax(axis=1)
    assert row["f1_macro"] == pytest.approx(f1_score(truth, said, average="macro"), rel=1e-9)
    assert row["f1_weighted"] == pytest.approx(f1_score(truth, said, average="weighted"), rel=1e-9)
    assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said), rel=1e-9)
    assert row["matthews_correlation"] == pytest.approx(matthews_corrcoef(truth, said), rel=1e-9)
    area = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert abs(row["auc_macro"] - area) <= row["auc_macro_error_bound"] + 1e-9
    assert row["class_auc"].keys() == row["class_auc_error_bound"].keys() == {"a", "b", "c"}
    table = run(tmp_path, "multiclass", requests, "table")
    assert header(table) == ["accuracy", "balanced_accuracy", "f1_macro", "auc_macro", "log_loss"]
    assert f" ±{row['auc_macro_error_bound']:.4f}" in table
    assert "-" not in table.splitlines()[2].split()


ANSWERS: dict[str, tuple[str, Callable[[int], dict[str, Any]], Callable[[int], object]]] = {
    "multiclass": (
        "more than two classes",
        lambda i: {"scores": {"a": 0.5, "b": 0.3 + i % 2 / 10, "c": 0.2 - i % 2 / 10}},
        lambda i: "abc"[i % 3],
    ),
    "regression": ("amounts as answers, no classes", lambda i: {"prediction": 100.5 + i}, lambda i: 100.0 + i),
    "ranking": ("`items`", lambda i: {"items": [f"{i}", "x", "y"]}, lambda i: ["x"]),
}


@pytest.mark.parametrize("task", ANSWERS)
def test_a_log_of_another_task_is_told_with_the_flag_that_reads_it(tmp_path: Path, task: str) -> None:
    looks, answer, right = ANSWERS[task]
    requests = [(answer(i), right(i)) for i in range(60)]
    run(tmp_path, task, requests, "json")
    log, config = str(tmp_path / "log.jsonl"), tmp_path / "exporter.yml"
    hint = (
        f"m was read as binary, but its predictions have {looks}: "
        f"--model.task {task}, or `task: {task}` of the model in --config.file"
    )
    said = CliRunner().invoke(replay, ["--log.path", log], catch_exceptions=False).output
    assert hint in said.splitlines()
    assert "no prediction has a label" not in said
    assert "was read as binary" not in run(tmp_path, task, requests, "table")
    config.write_text(f"models: [{{name: m, task: {task}}}]")
    said = CliRunner().invoke(replay, ["--log.path", log, "--config.file", str(config)], catch_exceptions=False).output
    assert "was read as binary" not in said


def test_the_judge_s_replay_tells_it_too(tmp_path: Path) -> None:
    log, config = tmp_path / "log.jsonl", tmp_path / "exporter.yml"
    rows = [
        {"id": i, "ts": 1_793_527_200 + i, "model": "m", "version": f"v{1 + i % 2}", "prediction": 9.5 + i, "label": i}
        for i in range(120)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config.write_text("models: [{name: m, roles: {v1: baseline, v2: canary}}]")
    arguments = ["--judge", "--log.path", str(log), "--config.file", str(config)]
    said = CliRunner().invoke(replay, arguments, catch_exceptions=False).output
    assert "m was read as binary, but its predictions have amounts as answers, no classes: --model.task" in said


def test_a_binary_log_is_not_told_to_be_another_task(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for answer in ({"score": 0.7}, {"prediction": "yes"}, {"prediction": 1}):
        log.write_text("".join(json.dumps({"id": str(i), "ts": 1_793_527_200 + i, **answer}) + "\n" for i in range(50)))
        said = CliRunner().invoke(replay, ["--log.path", str(log)], catch_exceptions=False).output
        assert "was read as" not in said
        assert "no prediction has a label: give the file with the labels by another --log.path" in said


def test_where_nothing_was_read_no_labels_are_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("no record\n" * 3)
    said = CliRunner().invoke(replay, ["--log.path", str(log)], catch_exceptions=False).output
    assert "3 rejected" in said
    assert "no prediction has a label" not in said


@pytest.mark.parametrize("judge", [(), ("--judge",)])
def test_the_first_reject_of_each_reason_is_explained(tmp_path: Path, judge: tuple[str, ...]) -> None:
    log, config = tmp_path / "log.jsonl", tmp_path / "exporter.yml"
    rows: list[dict[str, Any]] = [
        {"id": str(i), "ts": 1_793_527_200 + i, "model": "m", "version": f"v{1 + i % 2}", "score": 0.01 * i}
        for i in range(77)
    ]
    rows += [row | {"id": f"{row['id']}%", "score": 77.0 + i} for i, row in enumerate(rows)]
    rows += [{"kind": "label", "label": 1}, {"id": "x", "ts": "to\u001bday", "score": 0.5}]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config.write_text("models: [{name: m, roles: {v1: baseline, v2: canary}}]")
    arguments = [*judge, "--log.path", str(log), "--config.file", str(config)]
    said = CliRunner().invoke(replay, arguments, catch_exceptions=False).output
    assert said.splitlines()[1:4] == [
        "  no_id: 1, the first: a label needs the id of its prediction",
        "  score: 77, the first: score 77.0 lies outside 0..1",
        "  timestamp: 1, the first: 'to\\x1bday' is no RFC 3339 time",
    ]


def test_scores_in_percent_are_no_reason_to_ask_for_labels(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = [{"id": str(i), "ts": 1_793_527_200 + i, "score": 1.5 + i} for i in range(9)]
    rows += [{"kind": "label", "id": str(i), "ts": 1_793_527_300 + i, "label": 1} for i in range(9)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = CliRunner().invoke(replay, ["--log.path", str(log)], catch_exceptions=False).output
    assert "  score: 9, the first: score 1.5 lies outside 0..1" in said.splitlines()
    assert "no prediction has a label" not in said
