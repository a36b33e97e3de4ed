"""`mlcanary replay` on a log of 100,000 lines full of trouble equals scikit-learn and scipy on the raw events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import ks_2samp
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from mlcanary.cli.profile import command as profile
from mlcanary.cli.replay import command as replay
from prediction_log import Truth, hundred_thousand_lines


@pytest.fixture(scope="module")
def reference_rows() -> dict[str, Any]:
    random = np.random.default_rng(7)
    logit = random.normal(size=20_000) + 1.6 * (random.random(20_000) < 0.3) - 1.0
    return {
        "a": random.normal(size=20_000).round(4),
        "b": np.exp(random.normal(size=20_000)).round(4),
        "score": (1 / (1 + np.exp(-logit))).round(6),
    }


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory, reference_rows: dict[str, Any]) -> tuple[dict[str, Any], Truth]:
    directory = tmp_path_factory.mktemp("replay")
    lines, truth = hundred_thousand_lines()
    (directory / "log.jsonl").write_bytes(b"".join(lines))
    assert len(lines) == truth.lines
    assert truth.lines > 100_000
    table = directory / "reference.csv"
    names = list(reference_rows)
    rows = [",".join(names), *(",".join(map(str, row)) for row in zip(*reference_rows.values(), strict=True))]
    table.write_text("\n".join(rows) + "\n")
    made = CliRunner().invoke(profile, [str(table), "-o", str(directory / "profile.json")])
    assert made.exit_code == 0, made.output
    arguments = ["--log.path", str(directory / "log.jsonl"), "--reference.path", str(directory / "profile.json")]
    result = CliRunner().invoke(replay, [*arguments, "--output", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output), truth


def versions(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["version"]: row for row in result["versions"]}


def test_every_line_is_accounted_for_exactly(replayed: tuple[dict[str, Any], Truth]) -> None:
    result, truth = replayed
    assert result["lines"] == truth.lines
    assert result["rejected"] == dict(truth.rejected)
    assert result["labels_unmatched"] == truth.unmatched


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_counts_are_exact(replayed: tuple[dict[str, Any], Truth], version: str) -> None:
    result, truth = replayed
    row = versions(result)[version]
    assert row["predictions"] == truth.predictions[version]
    assert row["duplicate_predictions"] == truth.duplicates[version]
    assert row["labels"] == len(truth.actual[version])
    names = ("matched", "assumed", "late", "duplicate", "expired", "evicted")
    joins = {name: truth.joins[version, name] for name in names}
    assert row["label_joins"] == joins


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_quality_equals_scikit_learn(replayed: tuple[dict[str, Any], Truth], version: str) -> None:
    result, truth = replayed
    row = versions(result)[version]
    actual, predicted, score = truth.actual[version], truth.predicted[version], truth.score[version]
    assert row["accuracy"] == pytest.approx(accuracy_score(actual, predicted), rel=1e-9)
    assert row["precision"] == pytest.approx(precision_score(actual, predicted), rel=1e-9)
    assert row["recall"] == pytest.approx(recall_score(actual, predicted), rel=1e-9)
    assert row["f1"] == pytest.approx(f1_score(actual, predicted), rel=1e-9)
    assert row["log_loss"] == pytest.approx(log_loss(actual, score), rel=1e-9)
    assert row["positive_class"] == "1"
    of_zero = precision_score(actual, predicted, pos_label=type(actual[0])(0))
    assert row["class_precision"] == pytest.approx({"0": of_zero, "1": row["precision"]}, rel=1e-9)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_auc_lies_inside_its_bound_and_close(replayed: tuple[dict[str, Any], Truth], version: str) -> None:
    result, truth = replayed
    row = versions(result)[version]
    exact = roc_auc_score(truth.actual[version], truth.score[version])
    assert abs(row["auc"] - exact) <= row["auc_error_bound"]
    assert abs(row["auc"] - exact) < 0.001


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("feature", ["a", "b"])
def test_ks_brackets_the_exact_distance(
    replayed: tuple[dict[str, Any], Truth], reference_rows: dict[str, Any], version: str, feature: str
) -> None:
    result, truth = replayed
    row = versions(result)[version]
    exact = ks_2samp(truth.features[version][feature], reference_rows[feature]).statistic
    assert row["feature_ks"][feature] <= exact + 1e-12
    assert exact <= row["feature_ks_upper_bound"][feature] + 1e-12
    assert row["feature_ks_upper_bound"][feature] - row["feature_ks"][feature] < 0.06


def test_the_table_says_of_which_class_precision_and_recall_are(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"id": "a", "score": 0.7, "label": "churned"}\n{"id": "b", "score": 0.2, "label": "stayed"}\n')
    config = tmp_path / "exporter.yml"
    config.write_text("models: [{name: churn, positive_class: churned, negative_class: stayed}]")
    arguments = ["--log.path", str(log), "--model.name", "churn", "--config.file", str(config)]
    result = CliRunner().invoke(replay, arguments, catch_exceptions=False)
    assert (
        "\nprecision, recall and f1 are of the positive class, churned; --output json has every class" in result.output
    )


def test_a_log_that_cannot_be_read_is_named() -> None:
    result = CliRunner().invoke(replay, ["--log.path", "/nowhere/log.jsonl"])
    assert result.exit_code != 0
    assert str(result.exception) == "/nowhere/log.jsonl: cannot be read: No such file or directory"


def test_a_log_without_any_time_is_replayed(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"id": "a", "score": 0.7, "label": 1, "user": "u"}\n' * 2)
    result = CliRunner().invoke(replay, ["--log.path", str(log), "--output", "json"])
    assert result.exit_code == 0, result.output
    assert versions(json.loads(result.output))["unknown"]["duplicate_predictions"] == 1


def test_a_table_in_which_no_answer_can_be_right_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"id": "a", "score": 0.7, "label": "yes"}\n{"id": "b", "score": 0.2, "label": "no"}\n')
    result = CliRunner().invoke(replay, ["--log.path", str(log)], catch_exceptions=False)
    assert "no answer can be right: answers are called 0, 1, labels no, yes; set positive_class" in result.output
