"""`store:` in the configuration and `mlcanary store export` on the command line."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from mlcanary.app import RunOptions, run_exporter
from mlcanary.cli.main import cli
from mlcanary.errors import ConfigError
from mlcanary.settings import Flags, load_settings
from mlcanary.store import labeled_rows
from stored_log import NOW, StoredLog, joined


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Six predictions, of which the even ones have a label ten seconds later."""
    log = StoredLog(tmp_path / "store")
    log.take(
        [
            {"id": f"r{i}", "ts": NOW + i, "model": "m", "score": 0.5, "features": {"a": i, "city": "u,lm"}}
            for i in range(6)
        ]
    )
    log.take([{"kind": "label", "id": f"r{i}", "ts": NOW + i + 10, "label": 1} for i in range(0, 6, 2)], NOW + 20)
    log.end()
    return tmp_path / "store"


def export(*arguments: object) -> str:
    """The output of a run that must succeed."""
    result = CliRunner().invoke(cli, ["store", "export", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_three_forms_say_the_same(store: Path, tmp_path: Path) -> None:
    out = {suffix: tmp_path / f"rows.{suffix}" for suffix in ("parquet", "csv", "jsonl")}
    for path in out.values():
        assert export(store, path) == f"{path}: 3 rows\n"
    whole = joined(labeled_rows(store))
    assert parquet.read_table(out["parquet"]).to_pylist() == whole
    lines = [json.loads(line) for line in out["jsonl"].read_text().splitlines()]
    assert [(x["id"], x["label"], x["feature_a"], x["feature_city"]) for x in lines] == [
        (f"r{i}", "1", float(i), "u,lm") for i in (0, 2, 4)
    ]
    with out["csv"].open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [(x["id"], x["label"], float(x["feature_a"])) for x in table] == [
        (x["id"], "1", x["feature_a"]) for x in lines
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "rows.jsonl", "rows.parquet", "store"]


def test_the_options_reach_the_window(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert "6 rows" in export(store, out, "--all")
    assert "2 rows" in export(store, out, "--since", str(NOW + 1), "--until", "2030-01-01")
    assert "0 rows" in export(store, out, "--as-of", str(NOW + 19))
    assert out.read_bytes() == b""
    assert "3 rows" in export(store, out, "--as-of", str(NOW + 19), "--clock", "event")
    assert "6 rows" in export(store, out, "--maturity", "1m", "--unlabeled", "0")
    assert "0 rows" in export(store, out, "--model.name", "other")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["out.txt"], "found .txt; allowed: .parquet, .csv, .jsonl"),
        (["out.csv", "--unlabeled", "0"], "needs a --maturity"),
        (["no/such/out.csv"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(store: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    out, *rest = arguments
    result = CliRunner().invoke(cli, ["store", "export", str(store), str(tmp_path / out), *rest])
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)


def test_a_time_is_said_to_be_wrong(store: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["store", "export", str(store), str(tmp_path / "o.csv"), "--since", "yesterday"])
    assert result.exit_code == 2
    assert "is no time such as" in result.output


BASE = "sources: [{path: log.jsonl}]\n"


def load(tmp_path: Path, text: str) -> Any:
    """Settings of a file."""
    file = tmp_path / "mlcanary.yml"
    file.write_text(BASE + text)
    return load_settings(Flags(config_file=file))


def test_the_path_is_relative_to_the_file_and_all_else_has_a_default(tmp_path: Path) -> None:
    assert load(tmp_path, "").store is None
    section = load(tmp_path, "store: {path: kept}").store
    assert (section.path, section.retention, section.user) == (str(tmp_path / "kept"), 7 * 86400, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: {}", "store"),
        ("store: {path: ''}", "store.path: found an empty path; allowed: a directory"),
        ("store: {path: x, retention: 0s}", "store.retention: found 0s; allowed: a duration of at least 1s"),
        ("store: {path: x, include: [a], exclude: [b]}", "store.exclude: found `include` and `exclude`"),
        ("store: {path: x, max_bytes: 5}", "store.max_bytes"),
        ("store: {path: x, retentoin: 7d}", "retentoin"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="no Python package pyarrow") as caught:
        load(tmp_path, "store: {path: x}")
    assert caught.value.hint == "pip install 'mlcanary[parquet]'"


async def test_without_a_state_file_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a state file"):
        await run_exporter(lambda: load(tmp_path, "store: {path: x}"), RunOptions(), lambda _addresses: None)
    assert not (tmp_path / "x").exists()
