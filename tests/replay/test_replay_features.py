"""`mlcanary replay` says which features are missing, of another type, in no record or not in the profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mlcanary.cli.profile import command as profile
from mlcanary.cli.replay import command as replay


def rows(seed: int, n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"age": a, "util": b, "plan": c}
        for (a, b), c in zip(rng.normal(size=(n, 2)), rng.choice(["a", "b"], n), strict=True)
    ]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    table, made = tmp_path / "validation.jsonl", tmp_path / "churn.json"
    table.write_text("".join(json.dumps(row | {"gone": 1.5 * i}) + "\n" for i, row in enumerate(rows(1, 2000))))
    result = CliRunner().invoke(profile, [str(table), "-o", str(made)])
    assert result.exit_code == 0, result.output
    return made


def told(folder: Path, reference: Path | None, live: list[dict[str, Any]], *flags: str) -> str:
    log = folder / "log.jsonl"
    records = [
        {"id": str(i), "ts": 1_793_527_200 + i, "model": "churn", "version": "v2", "score": 0.5, "features": row}
        for i, row in enumerate(live)
    ]
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    path = ["--reference.path", str(reference)] if reference else []
    result = CliRunner().invoke(replay, ["--log.path", str(log), *path, *flags], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_missing_mistyped_absent_and_new_features_are_said(tmp_path: Path, reference: Path) -> None:
    live = rows(2, 1000)
    for i, row in enumerate(live):
        if i % 5 == 0:
            row["util"] = None
        if i >= 350:
            row["age"] = str(row["age"])
        if i % 4 == 0:
            row["fresh"] = 1
    said = told(tmp_path, reference, live).splitlines()
    assert "churn/v2 beyond chance: gone in no record; age 65 % text; util missing 0 % → 20 %" in said
    assert "churn/v2 not in the profile: fresh (250 records)" in said


def test_a_healthy_log_is_said_to_be_one(tmp_path: Path, reference: Path) -> None:
    said = told(tmp_path, reference, [row | {"gone": 3.0 * i} for i, row in enumerate(rows(3, 1000))])
    assert "churn/v2: no feature is beyond chance; the furthest is " in said
    assert " beyond chance: " not in said


def test_without_a_profile_nothing_is_said_of_features(tmp_path: Path) -> None:
    assert "chance" not in told(tmp_path, None, rows(3, 300))


def test_the_json_holds_what_the_lines_say(tmp_path: Path, reference: Path) -> None:
    live = [row | {"age": [1], "fresh": 1} for row in rows(2, 100)]
    (found,) = json.loads(told(tmp_path, reference, live, "--output", "json"))["versions"]
    assert found["feature_mistyped"] == {"age": 1.0, "util": 0.0, "plan": 0.0}
    assert found["feature_kinds"] == {"age": {"other": 100.0}}
    assert found["features_not_in_the_reference"] == {"fresh": 100.0}
    assert found["feature_missing"]["gone"] == 1.0
