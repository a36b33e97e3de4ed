"""`mlcanary doctor` on the command line: text, JSON, exit status, standard input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from doctor.samples import records, write
from formats.same_traffic import native_labels, native_predictions, traffic
from mlcanary.cli.doctor import command
from mlcanary.errors import ConfigError, InputError
from mlcanary.settings import Flags, load_settings

CALLS = traffic(12)
LINES = [*native_predictions(CALLS), *native_labels(CALLS)]


def test_the_report_shows_what_was_understood_and_the_configuration(tmp_path: Path) -> None:
    path = write(tmp_path, LINES)
    answer = CliRunner().invoke(command, ["--log.path", str(path)])
    assert answer.exit_code == 0
    for part in ("format: native (understands 100%", "call-1 ", "2026-11-01 08:00:07Z", "100.0%  id", "roles: {v1: "):
        assert part in answer.output
    yaml = answer.output.partition("mlcanary.yml):\n\n")[2]
    (tmp_path / "mlcanary.yml").write_text(yaml)
    assert load_settings(Flags(config_file=tmp_path / "mlcanary.yml")).patterns == (str(path),)


def test_json_says_the_same(tmp_path: Path) -> None:
    answer = CliRunner().invoke(command, ["--log.path", str(write(tmp_path, LINES)), "--output", "json"])
    document = json.loads(answer.output)
    assert (document["exit_code"], document["sources"][0]["format"]) == (0, "native")
    assert document["coverage"]["id"]["having"] == document["coverage"]["id"]["of"]
    assert document["records"][0]["version"] == "v2"
    assert document["configuration"].startswith("sources:\n")


def test_standard_input_gives_a_piped_source() -> None:
    answer = CliRunner().invoke(command, ["--log.path", "-"], input=b"\n".join(LINES))
    assert answer.exit_code == 0
    assert "  - stdin: true\n    format: native\n" in answer.output


def test_a_version_that_is_given_makes_figures_possible(tmp_path: Path) -> None:
    path = write(tmp_path, records({"id": str(i), "ts": 1.79e9 + i, "score": 0.5} for i in range(20)))
    flags = ["--log.path", str(path)]
    assert CliRunner().invoke(command, flags).exit_code == 1
    answer = CliRunner().invoke(command, [*flags, "--model.version", "v7", "--model.name", "churn"])
    assert answer.exit_code == 0
    assert "version: v7" in answer.output
    assert "model: churn" in answer.output


def test_a_configuration_is_held_against_its_logs(tmp_path: Path) -> None:
    write(tmp_path, LINES, "a.jsonl")
    write(tmp_path, [b"r-1;0.5;yes", b"r-2;0.7;no"], "b.csv")
    mapping = "{csv: [id, score, churned], delimiter: ';', label: churned, id: id, score: churned}"
    text = f"sources:\n  - path: a.jsonl\n  - {{path: b.csv, format: mapping, version: v1, mapping: {mapping}}}\n"
    (tmp_path / "mlcanary.yml").write_text(text)
    answer = CliRunner().invoke(command, ["--config.file", str(tmp_path / "mlcanary.yml"), "--output", "json"])
    document = json.loads(answer.output)
    assert answer.exit_code == 1
    assert [source["format"] for source in document["sources"]] == ["native", "mapping"]
    assert document["configuration"] == ""
    assert document["findings"][0]["what"] == "no line of 2 gave a record in the format mapping"
    (tmp_path / "mlcanary.yml").write_text("sources: [{stdin: true}]\n")
    with pytest.raises(ConfigError, match="no source that reads files"):
        CliRunner().invoke(command, ["--config.file", str(tmp_path / "mlcanary.yml")], catch_exceptions=False)


def test_a_terminal_obeys_no_log(tmp_path: Path) -> None:
    lines = records({"id": f"\x1b[31m{i}\x07", "version": "v1", "score": 0.5, "ts": 1.79e9} for i in range(3))
    answer = CliRunner().invoke(command, ["--log.path", str(write(tmp_path, lines))])
    assert "?[31m0?" in answer.output
    assert "\x1b" not in answer.output


def test_what_cannot_be_read_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file of this name"):
        CliRunner().invoke(command, ["--log.path", str(tmp_path / "none")], catch_exceptions=False)
    for flags in ([], ["--chain", "--log.path", "x"], ["--chain", "--judge.url", "judge:1"]):
        with pytest.raises(ConfigError):
            CliRunner().invoke(command, flags, catch_exceptions=False)
