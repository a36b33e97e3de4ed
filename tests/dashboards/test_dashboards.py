"""The shipped dashboards: generated, well formed, and every query answered by a real Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from prometheus_tools import ROOT, get, prometheus, wait_for
from promtool_cases import recorded_names, shipped_groups
from release_history import HISTORY, PLACE, scrapes, write_blocks
from simulated_release import CANARY, MODEL

FOLDER = ROOT / "grafana" / "dashboards"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
WINDOWS = ("5m", "1h")
DRAWN = {
    name
    for dashboard in DASHBOARDS.values()
    for panel in dashboard["panels"]
    for target in panel.get("targets", ())
    for window in WINDOWS
    for name in recorded_names(target["expr"].replace("${window}", window))
}
"""Recorded series that a dashboard reads."""
FURTHER = {"vs baseline": "psi_baseline", "KS": "ks", "chi-square": "chisquare", "distance": "wasserstein"}
"""Columns of drift that the dashboard of features works out itself, by what the further rules alone record."""
INTERVALS = {"__rate_interval": "2m", "__interval": "1m", "__range": "1h"}
CHOSEN = {**PLACE, "model": MODEL, "version": CANARY, "class": "1", "feature": "amount"}
ALL = {**CHOSEN, "cluster": ".*", "namespace": ".*", "version": ".*"}
UNITS = {"none", "short", "percentunit", "s", "reqps", "ops", "bytes"}


OVER_AN_HOUR = ("Drift", "Distribution", "Mean", "Quantiles")
"""Panels about features, which read counters over the hour that rules use too."""


def panels() -> list[Any]:
    """All panels that show something, each with a readable id."""
    return [
        pytest.param(panel, id=f"{name}-{panel['title']}")
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    ]


def filled(text: str, values: Mapping[str, str]) -> str:
    """A query with its variables replaced, as Grafana does."""
    return re.sub(r"\$\{?([a-z_]\w*)\}?", lambda found: values[found[1]], text)


@dataclass(frozen=True)
class Past:
    """A Prometheus, and the moment at which all that is looked for has been recorded: later, history is stale."""

    url: str
    now: float


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """A Prometheus with an hour of history and the shipped rules, once every rule they read has recorded something."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_blocks(folder / "data", scrapes(), time.time())
    hurried = folder / "rules.json"  # without the intervals of slow groups: nobody waits for minutes here
    groups = [{key: value for key, value in group.items() if key != "interval"} for group in shipped_groups()]
    hurried.write_text(json.dumps({"groups": groups}))
    looked_for = DRAWN | {further(kind) for kind in FURTHER.values()}
    configuration = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(hurried)]}
    with prometheus(folder, configuration) as running:

        def missing() -> set[str]:
            names = get(f"{running}/api/v1/label/__name__/values")
            return looked_for - set(names["data"] if names else ())

        wait_for("all recorded series that are looked for", lambda: not missing(), 180.0)
        yield Past(running, time.time())


def test_dashboards_are_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "grafana" / "generate.py", tmp_path], check=True)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.json")} == {
        path.name: path.read_text() for path in FOLDER.glob("*.json")
    }, "run: python grafana/generate.py"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_can_be_provisioned_anywhere(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"mlcanary-{name}"
    assert dashboard["tags"] == ["mlcanary"]
    assert dashboard["editable"] is False
    assert "__inputs" not in dashboard
    assert dashboard["links"]
    first = dashboard["templating"]["list"][0]
    assert (first["name"], first["label"], first["type"]) == ("datasource", "Data source", "datasource")
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["refresh"] == 2, "follows the time range"
            assert variable["datasource"]["uid"] == "${datasource}"
    for mark in dashboard["annotations"]["list"]:
        assert mark["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_fill_their_rows(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("panel", panels())
def test_panel_says_what_it_shows_in_which_unit(panel: Mapping[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "${datasource}"
    defaults = panel["fieldConfig"]["defaults"]
    units = [defaults["unit"]] if "unit" in defaults else []
    units += [
        entry["value"]
        for override in panel["fieldConfig"]["overrides"]
        for entry in override["properties"]
        if entry["id"] == "unit"
    ]
    assert units
    assert set(units) <= UNITS
    assert [target["refId"] for target in panel["targets"]] == sorted({target["refId"] for target in panel["targets"]})


@pytest.mark.parametrize("panel", panels())
def test_queries_follow_the_conventions(panel: Mapping[str, Any]) -> None:
    for target in panel["targets"]:
        expr = target["expr"]
        promql.parse(filled(expr, {**CHOSEN, **INTERVALS, "window": "5m"}))
        assert target["datasource"]["uid"] == "${datasource}"
        assert 'cluster=~"$cluster", namespace=~"$namespace"' in expr
        for counter in re.findall(r"\bmlcanary_\w+_(?:total|bucket)\b", expr):
            over = r"\$__rate_interval" if panel["title"] not in OVER_AN_HOUR else "1h"
            assert re.search(rf"(?:rate|increase)\({counter}\{{[^}}]*\}}\[{over}\]\)", expr), counter
        assert "topk" not in expr or target.get("instant") or "@ end()" in expr, "a line of topk flickers"


@pytest.mark.parametrize("choice", [CHOSEN, ALL], ids=["one version", "all"])
@pytest.mark.parametrize("panel", panels())
def test_every_query_has_an_answer(past: Past, panel: Mapping[str, Any], choice: Mapping[str, str]) -> None:
    for target in panel["targets"]:
        for window in WINDOWS:
            expr = filled(target["expr"], {**choice, **INTERVALS, "window": window})
            expr = re.sub(r" offset \d+[hdm]", "", expr)  # the rules have not recorded for so long
            assert _answer(past, expr, instant=target.get("instant", False)), expr


@pytest.mark.parametrize(("column", "recorded"), list(FURTHER.items()))
def test_what_the_dashboard_of_features_asks_itself_is_what_the_further_rules_record(
    past: Past, column: str, recorded: str
) -> None:
    """But for the second by which the rules are older."""
    (drift,) = [panel.values[0] for panel in panels() if panel.id == "drift-Drift"]
    names = {of["refId"]: of["expr"] for of in drift["targets"]}
    renamed = next(of["options"]["renameByName"] for of in drift["transformations"] if of["id"] == "organize")
    (ref,) = [key.removeprefix("Value #") for key, name in renamed.items() if name == column]
    values = {**ALL, **INTERVALS}
    asked = by_feature(past, filled(names[ref], values))
    kept = by_feature(past, f'{further(recorded)}{{model="{ALL["model"]}"}}')
    assert asked.keys() == kept.keys() != set()
    assert asked == pytest.approx(kept, rel=0.02, abs=0.002)


def further(kind: str) -> str:
    """The series in which the further rules record a kind of drift."""
    return f"model_version_feature:mlcanary_feature:{kind}1h"


def by_feature(past: Past, expr: str) -> dict[tuple[str, str], float]:
    """The answer at the moment of the past, by version and feature."""
    found = get(f"{past.url}/api/v1/query", query=expr, time=str(past.now))["data"]["result"]
    return {(row["metric"]["version"], row["metric"]["feature"]): float(row["value"][1]) for row in found}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_mark_has_an_answer(past: Past, name: str) -> None:
    for mark in DASHBOARDS[name]["annotations"]["list"]:
        assert _answer(past, filled(mark["expr"], {**CHOSEN, **INTERVALS}), instant=False), mark["name"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_has_values(past: Past, name: str) -> None:
    asked = 0
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            query = filled(variable["query"]["query"], {**ALL, "window": "5m"})
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            assert found, query
            values = get(f"{past.url}/api/v1/label/{found[2]}/values", **{"match[]": found[1]})["data"]
            assert CHOSEN[variable["name"]] in values
            asked += 1
    assert asked >= 2


@pytest.mark.parametrize("panel", [p for p in panels() if p.values[0]["type"] == "table"])
def test_columns_of_a_table_can_be_merged(past: Past, panel: Mapping[str, Any]) -> None:
    """Their names are gone, and the rows of all columns differ in the same labels; a column without a name has more."""
    answers = {
        target["refId"]: _answer(past, filled(target["expr"], {**ALL, **INTERVALS, "window": "5m"}), instant=True)
        for target in panel["targets"]
    }
    labels = {key: {frozenset(series["metric"]) for series in answer} for key, answer in answers.items()}
    (common,) = set.union(*(labels[key] for key in labels if f"Value #{key}" in _named(panel)))
    assert {"cluster", "namespace", "model"} <= common
    assert all(common <= each for key in labels for each in labels[key])


def _named(panel: Mapping[str, Any]) -> Mapping[str, str]:
    names: dict[str, str] = panel["transformations"][1]["options"]["renameByName"]
    return names


@pytest.mark.parametrize("panel", [p for p in panels() if p.values[0]["type"] in {"timeseries", "bargauge"}])
def test_an_empty_panel_says_why(panel: Mapping[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["noValue"].endswith((".", "?"))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_lead_to_dashboards_that_take_the_choice(name: str) -> None:
    text = json.dumps(DASHBOARDS[name])
    for board, variable in re.findall(r"/d/mlcanary-(\w+)\?var-(\w+)=", text):
        assert variable in {each["name"] for each in DASHBOARDS[board]["templating"]["list"]}


def test_provisioning_points_at_the_folder_and_at_prometheus() -> None:
    folder = ROOT / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    providers = yaml.safe_load((folder / "dashboards" / "mlcanary.yml").read_text())
    assert sources["apiVersion"] == providers["apiVersion"] == 1
    assert [source["type"] for source in sources["datasources"]] == ["prometheus"]
    assert providers["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"


def _answer(past: Past, expr: str, *, instant: bool) -> list[Any]:
    if instant:
        answer = get(f"{past.url}/api/v1/query", query=expr, time=str(past.now))
    else:
        span = {"start": str(past.now - HISTORY + 600), "end": str(past.now), "step": "60"}
        answer = get(f"{past.url}/api/v1/query_range", query=expr, **span)
    assert answer["status"] == "success", (expr, answer)
    result: list[Any] = answer["data"]["result"]
    return result
