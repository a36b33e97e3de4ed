"""`mlcanary replay` says which labels came after their prediction was forgotten, and what keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlcanary.cli.replay import command as replay
from mlcanary.late_labels import Late, LateLabels
from mlcanary.records import Label, ModelKey, Prediction

START, DAY = 1_793_527_200.0, 86_400.0
HINT = (
    "  100 labels of churn came later than label_ttl (24 h), up to 25.2 h after their prediction, which was forgotten "
    "by then: give the model `label_ttl: 26h`, or a maturity of that, in --config.file"
)


def write(path: Path, *, named: bool = True, plain: bool = True) -> Path:
    """100 predictions, 30 s apart, each with a label after 25 to 25.2 hours."""
    lines = []
    for i in range(100):
        more = {} if plain else {"features": {"x": [1]}}
        lines.append({"id": f"p{i}", "ts": START + 30 * i, "model": "churn", "version": "v1", "score": 0.7, **more})
    for i in range(100):
        late = {"kind": "label", "id": f"p{i}", "ts": START + 30 * i + 90_000 + 7.2 * i, "label": 1}
        lines.append(late | ({"model": "churn"} if named else {}))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_labels_after_a_day_are_said_with_their_remedy(tmp_path: Path, named: bool, plain: bool) -> None:
    log = write(tmp_path / "log.jsonl", named=named, plain=plain)
    said = CliRunner().invoke(replay, ["--log.path", str(log)], catch_exceptions=False).output
    assert "100 labels unmatched" in said
    assert HINT in said.splitlines()
    assert "no prediction has a label" not in said


@pytest.mark.parametrize("remedy", ["label_ttl: 26h", "maturity: 26h"])
def test_what_is_said_cures_it(tmp_path: Path, remedy: str) -> None:
    log, config = write(tmp_path / "log.jsonl"), tmp_path / "exporter.yml"
    config.write_text(f"models: [{{name: churn, {remedy}}}]")
    arguments = ["--log.path", str(log), "--config.file", str(config), "--output", "json"]
    found = json.loads(CliRunner().invoke(replay, arguments, catch_exceptions=False).output)
    assert (found["labels_unmatched"], found["labels_late"], found["versions"][0]["labels"]) == (0, {}, 100)


@pytest.mark.parametrize(("policy", "late"), [("maturity: 1m, label_ttl: 26h", True), ("maturity: 26h", False)])
def test_the_column_of_late_labels_is_explained_where_it_counts_any(tmp_path: Path, policy: str, late: bool) -> None:
    log, config = write(tmp_path / "log.jsonl"), tmp_path / "exporter.yml"
    config.write_text(f"models: [{{name: churn, {policy}}}]")
    arguments = ["--log.path", str(log), "--config.file", str(config)]
    said = CliRunner().invoke(replay, arguments, catch_exceptions=False).output.splitlines()
    told = "late: labels that came when the wait for them (maturity, else label_ttl) was over"
    assert (told in said) is late
    assert (int(said[2].split()[4]) > 0) is late


def test_the_judge_s_replay_says_it_too(tmp_path: Path) -> None:
    log, config = write(tmp_path / "log.jsonl"), tmp_path / "exporter.yml"
    with log.open("a") as file:
        for i in range(20):
            other = {
                "id": f"q{i}",
                "ts": START + 2 * DAY + i,
                "model": "churn",
                "version": f"v{1 + i % 2}",
                "score": 0.5,
            }
            file.write(json.dumps(other) + "\n")
    config.write_text("models: [{name: churn, roles: {v1: baseline, v2: canary}}]")
    arguments = ["--judge", "--log.path", str(log), "--config.file", str(config)]
    assert HINT in CliRunner().invoke(replay, arguments, catch_exceptions=False).output.splitlines()


def test_labels_of_predictions_that_were_never_there_are_not_late(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = [
        {"id": "a", "ts": START, "model": "churn", "version": "v1", "score": 0.7},
        {"kind": "label", "id": "b", "ts": START + 2 * DAY, "label": 1},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = CliRunner().invoke(replay, ["--log.path", str(log)], catch_exceptions=False).output
    assert "1 labels unmatched" in said
    assert "label_ttl" not in said
    assert "no prediction has a label" in said


def test_a_share_of_many_ids_stands_for_all() -> None:
    key, late = ModelKey("m", "v"), LateLabels(lambda _model: 10.0, most=2000)
    late.see([Prediction(key, 0.0, f"id-{i}") for i in range(50_000)])
    late.see([Label(f"id-{i}", 20.0 if i % 2 else 5.0) for i in range(50_000)])
    ((model, found),) = late.late(50_000.0).items()
    assert (model, found.longest, found.memory) == ("m", 20.0, 10.0)
    assert found.labels == pytest.approx(25_000, rel=0.12)
    assert late.late(7.0) == {"m": Late(7, 20.0, 10.0)}
    assert late.late(0.0) == {}
