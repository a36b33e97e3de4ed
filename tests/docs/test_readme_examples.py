"""Examples of the guides are run: a target of one's own, the settings with their defaults, queries, scrape jobs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import promql_parser as promql
import pytest
import yaml

from guides import DOCS, blocks, guide, section
from mlcanary.catalog import CATALOG, Gate
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.command import CommandSettings, CommandTarget
from mlcanary.handler.targets.contract import ConflictError, Guard, State
from mlcanary.judge.settings import PlanSettings
from mlcanary.judge.settings import parse_settings as parse_judge
from prometheus_tools import ROOT, run
from promtool_cases import shipped_groups

ONE_TARGET = """\
prometheus: {url: http://127.0.0.1:9090}
targets:
- {name: router, model: churn, target: {type: external, versions: [v1, v2]}}
"""


def test_the_guide_has_every_dashboard_and_every_rule_file() -> None:
    dashboards = section(guide("bundle"), "The dashboards")
    titles = {
        json.loads(path.read_text(encoding="utf-8"))["title"].removeprefix("mlcanary / ")
        for path in (ROOT / "grafana" / "dashboards").glob("*.json")
    }
    assert set(re.findall(r"^\| ([A-Z][\w ]*) \|", dashboards, flags=re.MULTILINE)) == titles
    named = set(re.findall(r"`([a-z-]+)(?:\.recording|\.alerts)?(?:\.yml)?`", section(guide("bundle"), "The rules")))
    assert {path.name.partition(".")[0] for path in (ROOT / "rules").glob("*.yml")} <= named


async def test_the_target_of_ones_own_sets_and_shows(tmp_path: Path) -> None:
    text = guide("handler").partition("<!-- own target -->")[2].partition("<!-- /own target -->")[0]
    (code,), weights = blocks(text, "python"), tmp_path / "weights.json"
    assert code.startswith("#!/usr/bin/python3\n")
    script = tmp_path / "route"
    script.write_text(
        f"#!{sys.executable}\n" + code.partition("\n")[2].replace("/srv/router/weights.json", str(weights))
    )
    script.chmod(0o755)
    weights.write_text(json.dumps({"v1": 90, "v2": 10}))
    target = CommandTarget(
        CommandSettings(argv=(str(script),), observe=(str(script), "--show"), versions=("v1", "v2"), weighted=True)
    )
    before, desired = await target.observe(), State.of({"v1": 100, "v2": 0})
    assert before == State.of({"v1": 90, "v2": 10})
    for _ in range(2):  # a repeated action ends where the first one did
        await target.apply(desired, Guard("a", before))
        assert await target.observe() == desired
    weights.write_text(json.dumps({"v1": 1, "v2": 1}))
    with pytest.raises(ConflictError):
        await target.apply(desired, Guard("b", before))


def test_the_settings_of_the_handler_are_shown_with_their_defaults() -> None:
    (shown,) = blocks(section(guide("handler"), "All settings, with their defaults"), "yaml")
    plain, told = parse_settings(ONE_TARGET, "plain"), parse_settings(ONE_TARGET + shown, "shown")
    assert told.targets[0].configuration != plain.targets[0].configuration
    for field in plain.targets[0].__dataclass_fields__:
        if field != "configuration":
            assert getattr(told.targets[0], field) == getattr(plain.targets[0], field), field


def test_the_settings_of_the_judge_are_shown_with_their_defaults() -> None:
    text = guide("judge").partition("<!-- judge settings -->")[2].partition("<!-- /judge settings -->")[0]
    (shown,) = blocks(text, "yaml")
    plain, told = (parse_judge(text, "judge.md", "http://127.0.0.1:9090") for text in ("", shown))
    assert set(yaml.safe_load(shown)["defaults"]) == set(PlanSettings.__struct_fields__)
    assert told.plan("churn", {}) == plain.plan("churn", {})
    for field in ("interval", "settle", "catch_up", "forget_after", "retention", "select"):
        assert getattr(told, field) == getattr(plain, field), field


def test_the_guide_has_every_gate() -> None:
    table = section(guide("judge"), "What suspends a decision")
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(Gate)


def test_queries_of_the_guides_ask_for_what_there_is() -> None:
    known = {row.name for row in CATALOG} | {
        rule.get("record", "") for group in shipped_groups() for rule in group["rules"]
    }
    queries = [query for page in DOCS.glob("*.md") for query in blocks(page.read_text(encoding="utf-8"), "promql")]
    assert queries
    for query in queries:
        promql.parse(query)
        assert set(re.findall(r"\b(?:mlcanary_\w+|\w+:mlcanary_[\w:]+)", query)) <= known, query


def test_prometheus_takes_the_scrape_jobs(tmp_path: Path) -> None:
    (block,) = (block for block in blocks(guide("bundle"), "yaml") if block.startswith("rule_files:"))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "prometheus").write_text("token of a test\n")
    (tmp_path / "prometheus.yml").write_text(block.replace("/etc/mlcanary/rules", str(ROOT / "rules")))
    status, said = run("promtool", "check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    assert status == 0, said
