"""`mlcanary replay --judge`: what would have been decided on finished logs, and when."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mlcanary.cli import replay_verdicts
from mlcanary.cli.explain import command as explain
from mlcanary.cli.profile import command as profile
from mlcanary.cli.replay import as_json
from mlcanary.cli.replay import command as replay
from mlcanary.errors import ConfigError, InputError
from mlcanary.judge.settings import parse_settings
from mlcanary.judged_replay.run import JudgedReplay, judged_replay
from mlcanary.settings import ExporterSettings, Flags, load_settings
from released_log import CONFIGURATION, EPOCH, Line, ReleasedLog
from work import calls

LOG = ReleasedLog(1, "errors")


def write(folder: Path, *files: list[Line], configuration: str = CONFIGURATION) -> list[str]:
    """Arguments that name these files and a configuration, all written into the folder."""
    folder.mkdir(exist_ok=True)
    (folder / "exporter.yml").write_text(configuration)
    arguments = ["--config.file", str(folder / "exporter.yml")]
    for number, lines in enumerate(files):
        path = folder / f"log{number}.jsonl"
        path.write_bytes(b"".join(data for _, data in lines))
        arguments += ["--log.path", str(path)]
    return arguments


def settings(folder: Path) -> ExporterSettings:
    """Those of the first log of a folder."""
    return load_settings(Flags(config_file=folder / "exporter.yml", log_paths=[str(folder / "log0.jsonl")]))


def run(arguments: list[str], *more: str) -> Result:
    """The command with `--judge`; our own errors escape."""
    return CliRunner().invoke(replay, ["--judge", *arguments, *more], catch_exceptions=False)


def judged(arguments: list[str], *more: str) -> dict[str, Any]:
    """The one canary of a log."""
    result = run(arguments, "--output", "json", *more)
    assert result.exit_code == 0, result.output
    (canary,) = json.loads(result.output)["judge"]["canaries"]
    assert isinstance(canary, dict)
    return canary


def when(second: float) -> str:
    """A second of the log as the table has it."""
    return datetime.fromtimestamp(EPOCH + second, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def by_name(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Measures, families or features by their names."""
    return {each["name"]: each for each in found}


@dataclass(frozen=True)
class Faulty:
    """A log whose canary begins to fail, and what one replay of it gave."""

    arguments: list[str]
    result: JudgedReplay
    document: dict[str, Any]

    @property
    def canary(self) -> dict[str, Any]:
        """The one canary."""
        (found,) = self.document["judge"]["canaries"]
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """Replayed once for all tests that only look."""
    folder = tmp_path_factory.mktemp("faulty")
    arguments = write(folder, LOG.lines())
    result = replay_verdicts.run(settings(folder), None, time.time(), lambda _lines, _done: None)
    return Faulty(arguments, result, json.loads(replay_verdicts.as_document(result, as_json(result.replay))))


def test_a_planted_fault_is_rolled_back_after_it_began_and_named(faulty: Faulty) -> None:
    canary = faulty.canary
    assert canary["verdict"] == canary["assessment"]["verdict"] == "rollback"
    assert (canary["key"]["version"], canary["key"]["baseline"]) == ("v2", "v1")
    decision = canary["decision"]
    assert EPOCH + LOG.faulty < decision["at"] <= EPOCH + LOG.faulty + 180
    assert decision["leading"] == "errors"
    assert "errors" in decision["text"]
    assert decision["hours"] == pytest.approx((decision["at"] - canary["key"]["start"]) / 3600)
    # The usual figures stand beside the verdict.
    assert {row["version"] for row in faulty.document["versions"]} == {"v1", "v2"}
    assert faulty.document["lines"] == 2 * LOG.seconds * LOG.requests


def test_the_counts_of_the_decision_are_those_of_the_log(faulty: Faulty) -> None:
    decision = faulty.canary["decision"]
    first = faulty.canary["key"]["start"] + 30.0  # what was counted at the first look is where counting starts
    rows = [json.loads(data) for _, data in LOG.lines()]
    seen = [row["version"] for row in rows if "version" in row and first < row["ts"] <= decision["at"]]
    assert decision["requests"] == [seen.count("v2"), seen.count("v1")]


def test_the_table_tells_when_and_why(faulty: Faulty) -> None:
    lines = list(replay_verdicts.told(faulty.result))
    text = "\n".join(lines)
    assert re.search(r"^recall of [01] ", text, re.MULTILINE)
    assert re.search(r"^precision of [01] ", text, re.MULTILINE)
    assert re.search(r"^accuracy  ", text, re.MULTILINE)
    assert "log ended" not in text  # there is a decision
    assert f"looks, 30 s apart\n\nchurn: v2 against v1\nverdict    rollback (worse) at {when(LOG.faulty)[:15]}" in text
    assert "\nleading    errors\nwhy        Roll back v2 of churn" in text
    assert lines[-1].startswith("joint features: log E")
    assert max(map(len, lines)) < 300


def test_the_same_log_gives_the_same_records_and_they_are_recomputed(faulty: Faulty, tmp_path: Path) -> None:
    again = run(faulty.arguments, "--output", "json", "--records", str(tmp_path / "records"))
    assert json.loads(again.output) == faulty.document
    written = sorted((tmp_path / "records").iterdir())
    assert [path.read_bytes() for path in written] == [record.body for record in faulty.result.records]
    assert written[-1].name.endswith("churn-v2-rollback.json")
    previous = ""
    for path in written:
        told = CliRunner().invoke(explain, [str(path), "--output", "json"], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        document = json.loads(told.output)
        assert document["equal"]
        assert document["previous"] == previous
        previous = document["hash"]


def halves(lines: list[Line]) -> list[list[Line]]:
    """Every other line: two replicas."""
    return [lines[::2], lines[1::2]]


def labels_apart(lines: list[Line]) -> list[list[Line]]:
    """Labels in a file of their own."""
    return [[line for line in lines if (b'"label"' in line[1]) is apart] for apart in (True, False)]


def rotated(lines: list[Line]) -> list[list[Line]]:
    """One file after the other."""
    return [lines[:7000], lines[7000:]]


@pytest.mark.parametrize("split", [halves, labels_apart, rotated])
def test_a_log_in_two_files_gives_the_same_verdict(
    split: Callable[[list[Line]], list[list[Line]]], faulty: Faulty, tmp_path: Path
) -> None:
    whole, found = faulty.canary, judged(write(tmp_path, *split(LOG.lines())))
    for part in ("verdict", "leading", "at", "requests"):
        assert found["decision"][part] == whole["decision"][part]
    assert found["requests"] == whole["requests"]
    errors = by_name(whole["assessment"]["measures"])["errors"]
    assert by_name(found["assessment"]["measures"])["errors"] == errors


def test_a_healthy_canary_is_promoted_by_the_plan_of_its_file_and_never_rolled_back(tmp_path: Path) -> None:
    plan = tmp_path / "judge.yml"
    margins = "margins: {auc: 0.2, log_loss: 0.2, accuracy: 0.1, slow: 0.1}"
    plan.write_text(f"interval: 60s\ndefaults: {{warm_up: 1m, min_age: 10m, {margins}}}\n")
    canary = judged(write(tmp_path, ReleasedLog(2, joins=30).lines()), "--judge.config.file", str(plan))
    assert canary["decision"]["verdict"] == "promote"
    assert canary["plan"]["min_age"] == 600
    assert "rollback" not in {change["verdict"] for change in canary["changes"]}
    assert canary["joint_features"]["log_e"] < 3.0
    assert canary["joint_features"]["features"] == ["age", "tenure"]


def test_objectives_of_the_exporter_are_the_margins(tmp_path: Path) -> None:
    objectives = CONFIGURATION + "    objectives: {accuracy_drop: 0.123}\n"
    canary = judged(write(tmp_path, ReleasedLog(2, seconds=500).lines(), configuration=objectives))
    assert canary["plan"]["margins"]["accuracy"] == 0.123
    assert canary["decision"] is None


def test_what_harms_both_versions_is_no_rollback(tmp_path: Path) -> None:
    canary = judged(write(tmp_path, ReleasedLog(3, "shared").lines()))
    assert canary["verdict"] == "hold"
    assert canary["decision"] is None


def test_a_shuffled_column_shows_in_the_joint_test_alone(tmp_path: Path) -> None:
    canary = judged(write(tmp_path, ReleasedLog(4, "shuffled").lines()))
    assert canary["joint_features"]["log_e"] > 20
    assert canary["joint_features"]["auc"] > 0.55
    assert all(feature["log_e"] < 4 for feature in canary["assessment"]["features"])


def profiled(folder: Path) -> str:
    """The configuration with a profile of a healthy log."""
    rows = [json.loads(data)["features"] for _, data in ReleasedLog(10).lines() if b"features" in data]
    table, made = folder / "validation.jsonl", folder / "churn.json"
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert CliRunner().invoke(profile, [str(table), "-o", str(made)]).exit_code == 0
    return f"{CONFIGURATION}    reference: {made}\n"


def test_a_number_that_becomes_a_text_is_rolled_back_by_its_feature(tmp_path: Path) -> None:
    canary = judged(write(tmp_path, ReleasedLog(5, "text").lines(), configuration=profiled(tmp_path)))
    assert canary["verdict"] == "rollback"
    assert EPOCH + LOG.faulty < canary["decision"]["at"] <= EPOCH + LOG.faulty + 180
    assert canary["decision"]["leading"] == "age"


def test_names_that_the_file_of_the_judge_misspells_are_said(tmp_path: Path) -> None:
    (tmp_path / "judge.yml").write_text(
        "defaults: {exclude: [agee, customer_id, plan]}\nmodels: {chrun: {alpha: .01}, fraud: {alpha: .01}}\n"
    )
    arguments = write(tmp_path, ReleasedLog(6, seconds=240.0).lines(), configuration=profiled(tmp_path))
    said = run(arguments, "--judge.config.file", str(tmp_path / "judge.yml")).output.splitlines()
    assert [line for line in said if line.startswith("not used")] == [
        "not used   exclude: the canary has no feature agee (did you mean age?)",
        "not used   models: none is called churn, so the defaults hold (did you mean chrun?)",
    ]


def test_a_version_that_comes_back_is_another_canary(tmp_path: Path) -> None:
    away = range(int(EPOCH) + 300, int(EPOCH) + 600)
    lines = [line for line in ReleasedLog(9).lines() if not (b'"v2"' in line[1] and int(line[0]) in away)]
    (tmp_path / "judge.yml").write_text("forget_after: 2m\ndefaults: {warm_up: 1m}")
    more = ("--output", "json", "--judge.config.file", str(tmp_path / "judge.yml"))
    document = json.loads(run(write(tmp_path, lines), *more).output)
    first, second = document["judge"]["canaries"]
    assert first["ended"] == "silent"
    assert second["ended"] == ""
    assert first["assessment"]["judged"] < second["key"]["start"] + 60
    assert first["assessment"]["steps"] > 0
    assert first["requests"][0] > 1000
    assert second["requests"][0] > 1000


def test_the_replay_ends_with_the_log_and_says_what_it_ended_before(tmp_path: Path) -> None:
    mature = CONFIGURATION + "    maturity: 5m\n"
    log = ReleasedLog(5, seconds=600)
    write(tmp_path, log.lines(), configuration=mature)
    result = replay_verdicts.run(settings(tmp_path), None, time.time(), lambda _lines, _done: None)
    (canary,) = result.canaries
    newest = EPOCH + 600 + 60  # the last label
    assert newest <= result.last == canary.assessment.judged < newest + result.interval
    assert canary.decision is None
    rows = [json.loads(data) for _, data in log.lines()]
    waiting = [row["version"] for row in rows if "score" in row and row["ts"] > result.last - 300]
    text = "\n".join(replay_verdicts.told(result))
    outcomes = f"{waiting.count('v2'):,} predictions of v2 and {waiting.count('v1'):,} of v1 had their outcome"
    assert f"\nlog ended  before {outcomes} (maturity 5 min)\n" in text
    assert "log ended  before the canary was 60 min old (min_age), it was 10 min\n" in text
    assert "log ended  before this was shown to be not worse by its margin: " in text
    (told,) = json.loads(replay_verdicts.as_document(result, {}))["judge"]["canaries"]
    assert told["missing"] == list(canary.missing)


def test_labels_that_go_on_without_requests_leave_the_verdict_without_traffic(tmp_path: Path) -> None:
    lines = ReleasedLog(5, seconds=400).lines()
    late = [
        (at + 1200, re.sub(rb'"ts": [0-9.]+', b'"ts": %f' % (at + 1200), data)) if b'"label"' in data else (at, data)
        for at, data in lines
    ]
    write(tmp_path, sorted(late))
    result = replay_verdicts.run(settings(tmp_path), None, time.time(), lambda _lines, _done: None)
    (canary,), told = result.canaries, "\n".join(replay_verdicts.told(result))
    assert canary.assessment.reason == "no_canary_traffic"
    assert (
        "\nverdict    no_data (no_canary_traffic) at the end\nbefore     hold (collecting) until 2025-10-09 09:15:"
        in told
    )
    assert canary.missing[0].startswith("v2 was asked again: its last request came by 2025-10-09 09:00:")


@pytest.mark.parametrize("maturity", ["", "    maturity: 5m\n", "    maturity: 3h\n"])
def test_the_figures_beside_the_verdict_are_those_of_a_replay_without_the_judge(tmp_path: Path, maturity: str) -> None:
    lines = ReleasedLog(5, seconds=300).lines()
    arguments = write(tmp_path, *labels_apart(lines), configuration=CONFIGURATION + maturity)
    alone = CliRunner().invoke(replay, [*arguments, "--output", "json"], catch_exceptions=False)
    beside = json.loads(run(arguments, "--output", "json").output)
    del beside["judge"]
    expected = json.loads(alone.output)
    for row in [*beside["versions"], *expected["versions"]]:
        row |= {key: round(value, 12) for key, value in row.items() if isinstance(value, float)}  # the order of a sum
    assert beside == expected
    assert all(row["labels"] > 0 for row in beside["versions"])


def test_years_between_two_lines_are_not_looked_at(tmp_path: Path) -> None:
    lines = ReleasedLog(6, seconds=300).lines()
    ancient = (0.0, lines[0][1].replace(b"17600000", b"13600000"))
    (tmp_path / "judge.yml").write_text("catch_up: 10m")
    arguments = write(tmp_path, [ancient] * 5 + lines)
    more = ("--output", "json", "--judge.config.file", str(tmp_path / "judge.yml"))
    document = json.loads(run(arguments, *more).output)
    assert document["judge"]["last"] - document["judge"]["first"] > 10 * 365 * 86400
    assert document["judge"]["looks"] == pytest.approx(20 + 12, abs=4)


def test_a_clock_that_runs_ahead_moves_nobody_else(faulty: Faulty, tmp_path: Path) -> None:
    lines = LOG.lines()
    ahead = b'{"ts": %d, "model": "churn", "version": "v3", "features": {"age": 1}}\n' % (EPOCH + 5 * 86400)
    moved = judged(write(tmp_path, [*lines[:5000], (0.0, ahead), *lines[5000:]]))
    assert moved["decision"]["at"] == faulty.canary["decision"]["at"]
    assert moved["requests"] == faulty.canary["requests"]


def test_without_roles_it_says_how_to_give_them(tmp_path: Path) -> None:
    nobody = write(tmp_path / "none", ReleasedLog(7, seconds=200).lines(), configuration="models: [{name: churn}]")
    with pytest.raises(InputError, match=r"churn/v1 is unassigned, churn/v2 is unassigned") as found:
        run(nobody)
    assert "roles: {v1: baseline, v2: canary}" in found.value.hint
    both = CONFIGURATION.replace("v1: baseline", "v1: baseline, v3: baseline")
    with pytest.raises(ConfigError, match=r"models\.0\.roles: found v1 and v3 all called baseline"):
        run(write(tmp_path / "two", ReleasedLog(7, seconds=200).lines(), configuration=both))


def test_a_log_without_times_cannot_be_judged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record tells a time"):
        run(write(tmp_path, [(0.0, b'{"model": "churn", "version": "v1", "score": 0.5}\n')] * 9))


def test_flags_of_the_judge_need_the_judge(tmp_path: Path) -> None:
    arguments = write(tmp_path, ReleasedLog(7, seconds=10).lines())
    result = CliRunner().invoke(replay, [*arguments, "--records", str(tmp_path / "r")])
    assert result.exit_code == 2
    assert "belong to --judge" in result.output
    with pytest.raises(ConfigError, match="found files; allowed: a new directory"):
        run(arguments, "--records", str(tmp_path))


def test_a_log_twice_as_long_costs_twice_as_much(tmp_path: Path) -> None:
    judge = parse_settings("defaults: {warm_up: 1m}", "judge.yml", "http://127.0.0.1:9090")
    costs = []
    for seconds in (300, 600):
        folder = tmp_path / str(seconds)
        write(folder, ReleasedLog(8, joins=10, seconds=seconds, requests=20).lines())
        _, cost = calls(judged_replay, settings(folder), judge, EPOCH + 9000)
        costs.append(cost)
    short, long = costs
    assert long < 2.2 * short
