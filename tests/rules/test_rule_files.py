"""The shipped rule files: sound, complete, generated where they say so, and in step with catalogue and runbooks."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from guides import guide
from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK, CATALOG, INDICATORS, OBJECTIVES, Group, Kind
from mlcanary.catalog.judge import MARGINS
from mlcanary.judge.intake import reading
from prometheus_tools import LOADED_RULES, ROOT, RULE_FILES, RULES, run
from promtool_cases import asks_for_rollback, recorded_names, shipped_groups, told_by

RULE_LIST = [rule for group in shipped_groups() for rule in group["rules"]]
ALERTS = [rule for rule in RULE_LIST if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in RULE_LIST if "record" in rule}
FOREIGN = {"up", "ALERTS"}
"""Series that Prometheus makes itself."""

DASHBOARDS = tuple(sorted((ROOT / "grafana" / "dashboards").glob("*.json")))
SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.SUMMARY: ("_sum", "_count")}


def wire_names(groups: tuple[Group, ...] = tuple(Group)) -> dict[str, str]:
    """Names of series as scraped, with the family each belongs to."""
    return {
        row.name + suffix: row.name
        for row in CATALOG
        if row.group in groups
        for suffix in SUFFIXES.get(row.kind, ("",))
    }


def rules_of(path: Path) -> list[dict[str, Any]]:
    """The rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def selectors(node: Any) -> Iterator[promql.VectorSelector]:
    """Every selector of a parsed expression."""
    if isinstance(node, promql.VectorSelector):
        yield node
        return
    for part in ("expr", "lhs", "rhs", "param", "vector_selector"):
        yield from selectors(found) if (found := getattr(node, part, None)) is not None else ()
    for argument in getattr(node, "args", None) or ():
        yield from selectors(argument)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_what_a_text_looks_up_is_of_the_same_place(alert: Mapping[str, Any]) -> None:
    """Two namespaces may have a model of one name: a query in a text names the place too."""
    texts = " ".join([*alert["annotations"].values(), *alert["labels"].values()])
    queries = re.findall(r'[^"\s{]*model=%q', texts)
    assert set(queries) <= {"cluster=%q,namespace=%q,model=%q"}


def test_promtool_finds_nothing_to_complain_about() -> None:
    status, output = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert status == 0, output


def test_the_recording_rules_are_what_the_generator_writes() -> None:
    written = runpy.run_path(str(RULES / "generate.py"))["render"]()
    kept = {str(p.relative_to(RULES)): p.read_text() for p in RULE_FILES if p.name.endswith(".recording.yml")}
    assert kept == written, "run: python rules/generate.py"


def test_the_example_configuration_of_prometheus_loads_all_rule_files_but_the_further_ones() -> None:
    path = RULES / "example" / "prometheus.yml"
    status, output = run("promtool", "check", "config", "--syntax-only", path)
    assert status == 0, output
    patterns = yaml.safe_load(path.read_text())["rule_files"]
    assert sorted(found.resolve() for pattern in patterns for found in path.parent.glob(pattern)) == list(LOADED_RULES)


def test_group_names_are_unique() -> None:
    names = [group["name"] for group in shipped_groups()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule.get("record") or rule["alert"])
def test_every_name_and_label_in_a_rule_is_in_the_catalogue_or_recorded(rule: Mapping[str, Any]) -> None:
    wire = wire_names()
    labels = {row.name: {*row.labels, "le"} for row in CATALOG}
    for found in selectors(promql.parse(rule["expr"])):
        assert found.name in {*wire, *RECORDED, *FOREIGN}, found.name
        matched = {matcher.name for matcher in found.matchers.matchers}
        if found.name in wire:
            assert matched <= labels[wire[found.name]], found.prettify()


def test_every_recorded_series_is_read_somewhere() -> None:
    readers = [*RECORDED.values(), *map(told_by, ALERTS)]
    read = {name for text in readers for name in recorded_names(text)} | _drawn(recorded_names)
    told = {name.replace("<W>", window) for row in INDICATORS for name in row.recorded for window in ("5m", "1h")}
    long = {name for name in RECORDED if re.sub(r"(6h|1d)$", "1h", name) in read | told}
    assert told - set(RECORDED) == set(), "the table of indicators names a series that no rule records"
    assert set(RECORDED) - read - told - long == set()


def test_every_contract_family_is_used_by_a_rule_a_panel_or_the_judge() -> None:
    def scraped(text: str) -> set[str]:
        return set(re.findall(r"\bmlcanary_[a-z0-9_]+", text))

    wire = wire_names((Group.CONTRACT,))
    used = {name for rule in RULE_LIST for name in scraped(rule["expr"])} | _drawn(scraped)
    used |= {*reading.COUNTERS, *reading.FACTS, *reading.REFERENCES}
    told = {f"mlcanary_{row.metric}" for row in INDICATORS}
    assert set(wire.values()) - {wire[name] for name in used if name in wire} - told == set()


def test_every_objective_is_the_limit_of_an_alert_of_a_comparison_or_of_the_judge() -> None:
    text = " ".join(rule["expr"] for rule in RULE_LIST)
    of_rules = set(re.findall(r'objective="([a-z_]+)"', text))
    assert of_rules | set(MARGINS.values()) == {row.name for row in OBJECTIVES}


def test_every_limit_of_single_features_counts_in_each_alert_that_reads_that_of_the_model() -> None:
    """And nowhere else: the one takes out what the other is for."""
    own = "model_feature_objective:mlcanary_feature_objective_threshold:max"
    of_model, of_feature = (
        Counter(name for rule in ALERTS for name in re.findall(rf'\b{kind}{{objective="([a-z_]+)"}}', rule["expr"]))
        for kind in ("model_objective:mlcanary_objective_threshold:max", own)
    )
    per_feature = {row.name for row in OBJECTIVES if row.per_feature}
    assert set(of_feature) == per_feature
    assert dict(of_feature) == {name: 2 * times for name, times in of_model.items() if name in per_feature}


def test_every_alert_tells_what_why_and_where_to_read_on() -> None:
    headings = re.findall(r"^### (\w+)$", guide("runbooks"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    for rule in ALERTS:
        assert rule["alert"].startswith("MLCanary")
        assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url"}
        assert annotations["summary"][0].isupper()
        assert annotations["summary"].endswith(".")
        page, _, anchor = annotations["runbook_url"].partition("#")
        assert page == "https://github.com/mlcanary/mlcanary/blob/main/docs/runbooks.md"
        assert anchor == rule["alert"].lower()
        assert rule["alert"] in headings, f"docs/runbooks.md has no runbook for {rule['alert']}"


def test_templates_do_not_read_labels_that_the_rule_itself_adds() -> None:
    """They are added after the texts are rendered, so `$labels.window` would print nothing."""
    for rule in ALERTS:
        asked = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert asked & set(rule["labels"]) == set(), rule["alert"]


def test_rules_that_ask_for_a_rollback_compare_with_the_live_baseline_and_say_all_the_handler_needs() -> None:
    asking = [rule for rule in ALERTS if asks_for_rollback(rule) and rule["labels"]["window"] != "judge"]
    assert {(rule["labels"]["measure"], rule["labels"]["window"]) for rule in asking} == {
        (measure, window) for measure in ("accuracy", "auc", "log_loss", "errors") for window in ("5m", "1h")
    }
    for rule in asking:
        window = rule["labels"]["window"]
        assert rule["labels"]["severity"] == "critical"
        assert f"_delta{window}" in rule["expr"]
        assert f"_zscore{window}" in rule["expr"]
        assert f":comparable{window}" in rule["expr"]
        assert rule["labels"][ACTION_LABEL] == asking[0]["labels"][ACTION_LABEL], "one template chooses the tier"
    others = [rule for rule in ALERTS if not asks_for_rollback(rule)]
    assert all(set(rule["labels"]) & {"measure", "window"} == set() for rule in others)


def test_alerts_need_no_file_that_may_be_left_out() -> None:
    """What is named after a kind of model is optional; and in `canary` is only what somebody reads."""
    read = _closed({name for rule in ALERTS for name in recorded_names(told_by(rule))})
    optional = ("estimated", "joint", "labels", "multiclass", "ranking", "regression", "segments", "values")
    for path in LOADED_RULES:
        records = {rule["record"] for rule in rules_of(path) if "record" in rule}
        if path.name.startswith(optional):
            assert records & read == set(), path.name
        if path.name == "canary.recording.yml":
            drawn = _closed({name.replace("${window}", "1h") for name in _drawn(recorded_names)} | read)
            assert {name for name in records - drawn if "_stderr" not in name and not name.endswith("5m")} == set()


def test_no_rule_sets_counters_of_now_against_what_another_group_has_recorded() -> None:
    """Groups run up to four minutes apart: a share made of both would go beyond 1 while traffic grows."""
    for group in (group for path in LOADED_RULES for group in yaml.safe_load(path.read_text())["groups"]):
        own = {rule.get("record") for rule in group["rules"]}
        for rule in group["rules"]:
            foreign = {name for name in recorded_names(rule["expr"]) - own if re.search(r"\d[mhd]$", name)}
            assert not (foreign and "record" in rule and "rate(" in rule["expr"]), rule["record"]


def test_nothing_that_is_loaded_reads_what_is_further() -> None:
    texts = [*map(told_by, ALERTS), *(rule["expr"] for path in LOADED_RULES for rule in rules_of(path))]
    read = {name for text in texts for name in recorded_names(text)} | _drawn(recorded_names)
    further = {rule["record"] for path in RULE_FILES if path not in LOADED_RULES for rule in rules_of(path)}
    assert further
    assert further & read == set()


def test_one_rule_asks_for_a_rollback_whoever_else_may_and_only_while_a_judge_judges() -> None:
    (verdict,) = [rule for rule in ALERTS if rule["labels"].get(ACTION_LABEL) == ACTION_ROLLBACK]
    assert (verdict["labels"]["measure"], verdict["labels"]["window"]) == ("verdict", "judge")
    assert "and model_version:mlcanary_judge:active" in verdict["expr"]
    (file,) = [path for path in RULE_FILES if "record: model_version:mlcanary_judge:active" in path.read_text()]
    assert verdict["alert"] in file.read_text(), "who loads one without the other has no tier that acts, or two"


def _closed(names: set[str]) -> set[str]:
    """These and all that they are made of."""
    while more := {name for known in names for name in recorded_names(RECORDED.get(known, ""))} - names:
        names = names | more
    return names


def _drawn(names: Any) -> set[str]:
    """Names in the queries of the dashboards, for each window that can be chosen there."""
    texts = [path.read_text().replace("${window}", window) for path in DASHBOARDS for window in ("5m", "1h")]
    return {name for text in texts for name in names(text)}
