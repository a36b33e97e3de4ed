"""What README and guides say is true: links, anchors, tables, configurations, commands and their output."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from guides import DOCS, README, ROOT, anchors, blocks, guide, pages, section
from mlcanary.catalog import CATALOG, INDICATORS, OBJECTIVES, Group, MetricSpec
from mlcanary.cli.main import COMMANDS
from mlcanary.cli.main import cli as program
from mlcanary.documents import Schema, load_document
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.handler.schema import HandlerSettings
from mlcanary.handler.settings import parse_settings
from mlcanary.judge.settings import JudgeSettings
from mlcanary.judge.settings import parse_settings as parse_judge
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.records import Label, Prediction
from mlcanary.settings import ExporterDocument
from mlcanary.webserver.config import WebConfig
from prometheus_tools import LOADED_RULES

TEXT = README.read_text(encoding="utf-8")
BOUNDED = {
    "models": "models of one exporter",
    "versions": "versions of one model",
    "features": "features of one model",
    "classes": "classes of one model",
    "events": "names of business events",
    "reasons": "reasons of failed requests",
    "segment_values": "values of one segment",
    "items": "items kept of a ranking",
    "series": "series of a page, above which it leaves out in a stated order",
    "window_bytes": "memory for the former states of all windows",
}
CONFIGURATIONS: list[type[Schema]] = [ExporterDocument, HandlerSettings, JudgeSettings, WebConfig]
KNOWN_ELSEWHERE = {
    *("approval", "capacity", "served", "target"),  # of a handler's target
    *("rule_files", "scrape_configs"),  # Prometheus
    "metrics",  # Argo Rollouts
}
OF_OTHER_PROGRAMS = ("kubernetes.md", "existing-prometheus.md")
PAGES = [*pages(), ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]


def metric_table() -> str:
    """The metric reference as the guide holds it."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    others = {Group.JUDGE: "The judge:", Group.HANDLER: "The handler:"}
    lines += [_metric_row(spec) for spec in CATALOG if spec.group not in others]
    for group, title in others.items():
        lines += ["", title, "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
        lines += [_metric_row(spec) for spec in CATALOG if spec.group is group]
    return "\n".join(lines)


def _metric_row(spec: MetricSpec) -> str:
    return f"| `{spec.name}` | {spec.kind.value} | {', '.join(spec.labels) or '–'} | {spec.help} |"


def indicator_table() -> str:
    """What users ask for by name, and where it is, as the guide holds it."""
    lines = ["| indicator | metric | recorded series | exact or bound | source |", "|---|---|---|---|---|"]
    for row in INDICATORS:
        metric = f"`mlcanary_{row.metric}`" if row.metric else "–"
        recorded = "<br>".join(f"`{name}`{_only_further(name)}" for name in row.recorded) or "–"
        cells = (row.name, metric, recorded, row.exact, row.source)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def _only_further(name: str) -> str:
    """The marks that the guide explains: ¹ over 5m only by the further rules, ² over each window."""
    loaded = [window for window in ("5m", "1h") if name.replace("<W>", window) in _loaded()]
    return {(): " ²", ("1h",): " ¹"}.get(tuple(loaded), "")


@cache
def _loaded() -> frozenset[str]:
    return frozenset(name for path in LOADED_RULES for name in re.findall(r"record: (\S+)", path.read_text()))


def objective_table() -> str:
    """The limits that rules and judge compare with, as the guide holds them."""
    lines = ["| objective | default | meaning |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {row.default:g} | {row.help} |" for row in OBJECTIVES]
    return "\n".join(lines)


def limit_table() -> str:
    """The caps on what is learnt from a log, as the guide holds them."""
    lines = ["| key of `limits` | default | what it bounds |", "|---|---|---|"]
    defaults = dataclasses.asdict(Limits())
    assert set(defaults) == set(BOUNDED)
    lines += [f"| `{name}` | {defaults[name]:,} | {what} |" for name, what in BOUNDED.items()]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("page", "name", "table"),
    [
        ("metrics", "metrics", metric_table),
        ("metrics", "indicators", indicator_table),
        ("measures", "objectives", objective_table),
        ("configuration", "limits", limit_table),
    ],
)
def test_the_tables_are_those_of_the_catalogue(page: str, name: str, table: Callable[[], str]) -> None:
    """Rewritten by UPDATE_GOLDEN=1, which CI does not set."""
    text = guide(page)
    wanted = f"<!-- {name} -->\n{table()}\n<!-- /{name} -->"
    found = re.search(rf"<!-- {name} -->.*?<!-- /{name} -->", text, flags=re.DOTALL)
    assert found is not None
    if os.environ.get("UPDATE_GOLDEN") and not os.environ.get("CI"):
        (DOCS / f"{page}.md").write_text(text.replace(found[0], wanted), encoding="utf-8")
        return
    assert found[0] == wanted, "run: UPDATE_GOLDEN=1 make test"


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Relative links of a page outside its blocks of code: file and anchor, either may be empty."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield file, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {file}"
        assert target.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name}: {file}#{anchor}"


def test_what_programs_say_of_the_guides_is_there() -> None:
    named = set()
    for folder, suffix in (("exporter", "*.py"), ("rules", "*.yml"), ("grafana", "*.py"), ("alertmanager", "*.y*ml")):
        for file in (ROOT / folder).rglob(suffix):
            named |= set(re.findall(r"mlcanary/blob/main/([\w./-]+)(?:#([\w-]+))?", file.read_text(encoding="utf-8")))
    assert named
    for file_name, anchor in named:
        text = (ROOT / file_name).read_text(encoding="utf-8")
        assert not anchor or anchor in anchors(text), f"{file_name}#{anchor}"


def test_each_guide_says_first_whom_it_is_for_and_what_they_will_have() -> None:
    for page in DOCS.glob("*.md"):
        head = page.read_text(encoding="utf-8").split("\n## ")[0]
        assert re.match(r"# .+\n", head), page.name
        if page.name != "README.md":
            assert "**For** " in head, page.name
            assert "**At its end** " in head, page.name


def test_the_map_of_the_readme_has_every_guide() -> None:
    linked = set(re.findall(r"docs/([\w-]+\.md)", section(TEXT, "The guides")))
    assert linked >= {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def test_the_first_log_gives_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"<!-- first log -->\n(.*?)<!-- /first log -->", TEXT, flags=re.DOTALL)
    assert found is not None
    (lines,), (shown,) = blocks(found[1], "json"), blocks(found[1], "text")
    (tmp_path / "predictions.jsonl").write_text(lines)
    monkeypatch.chdir(tmp_path)
    (command,) = (line for block in blocks(found[1], "sh") for line in block.splitlines())
    result = CliRunner().invoke(program, command.split()[1:])
    assert result.exit_code == 0, result.output
    assert result.output.partition("\n")[2] == shown


def test_the_native_records_are_understood() -> None:
    block = next(b for b in blocks(section(guide("formats"), "Native records"), "json") if '"kind"' in b)
    decoded = NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(block.encode(), 1.8e9)
    assert decoded.rejects == []
    assert [type(record) for record in decoded.records] == [Prediction, Label, Label]
    assert all(json.loads(line)["id"] == "r-1" for line in block.splitlines())


def test_the_configurations_are_valid() -> None:
    exporter = next(b for b in blocks(guide("configuration"), "yaml") if b.startswith("sources:"))
    assert load_document(exporter, "configuration.md", ExporterDocument).models[0].name == "churn"
    handler = next(b for b in blocks(guide("handler"), "yaml") if b.startswith("prometheus:"))
    for text, mode in ((handler, "observe"), (handler.replace("# mode: react", "mode: react"), "react")):
        assert parse_settings(text, "handler.md").targets[0].mode == mode
    judge = next(b for b in blocks(guide("judge"), "yaml") if b.startswith("prometheus:"))
    assert parse_judge(judge, "judge.md").plan("churn", {}).design_effect == 2.0


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_of_yaml_and_json_can_be_read(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(text, "yaml"):
        assert list(yaml.safe_load_all(re.sub(r"(?m)^target:", "- target:", block))), page.name
    for block in blocks(text, "json"):
        with contextlib.suppress(json.JSONDecodeError):  # one document over several lines
            json.loads(block)
            continue
        assert [json.loads(line) for line in block.splitlines()], page.name


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_rows_of_a_table_are_as_wide_as_its_head(page: Path) -> None:
    """A bar inside a cell must be escaped, even in code, or the cell ends there."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", prose, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, f"{page.name}: {table[:200]}"


def documents(page: Path) -> Iterator[dict[str, Any]]:
    """What the blocks of YAML hold, without whole files of handler and judge, which have tests of their own."""
    for block in blocks(page.read_text(encoding="utf-8"), "yaml"):
        for document in yaml.safe_load_all(re.sub(r"(?m)^target:", "- target:", block)):
            if isinstance(document, dict) and not {"targets", "defaults", "apiVersion"} & set(document):
                yield document


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_section_of_a_configuration_has_keys_that_exist(page: Path) -> None:
    """A block is of the process that knows all of its keys at the top; a part of a handler's target of none."""
    ours = page.name not in OF_OTHER_PROGRAMS
    for document in documents(page):
        kinds = [kind for kind in CONFIGURATIONS if set(document) <= set(kind.__struct_fields__)]
        if isinstance(document.get("models"), list) and JudgeSettings in kinds:
            kinds.remove(JudgeSettings)  # models of an exporter are a list, those of a judge have names
        for kind in kinds:
            load_document(json.dumps(document, default=str), page.name, kind)
        assert kinds or not ours or set(document) <= KNOWN_ELSEWHERE, f"{page.name}: {sorted(document)}"


def test_every_target_that_is_shown_is_valid() -> None:
    shown = next(b for b in blocks(guide("handler"), "yaml") if b.startswith("target:")).splitlines()
    assert len(shown) == 12
    for line in shown:
        text = f"prometheus: {{url: http://127.0.0.1:9090}}\ntargets:\n- name: router\n  model: churn\n  {line}\n"
        assert set(parse_settings(text, "handler.md").targets[0].versions) == {"v1", "v2"}


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of `mlcanary` in a block for the shell: page and words."""
    for page in pages():
        for block in blocks(page.read_text(encoding="utf-8"), "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for call in re.findall(r"(?:^|\| )mlcanary ([^|#&]+)", line):
                    yield page.name, call.split()


def test_every_command_that_is_shown_exists_with_its_options() -> None:
    shown = list(shown_commands())
    assert {words[0] for _, words in shown} <= set(COMMANDS)
    for page, words in shown:
        command: click.Command = importlib.import_module(f"mlcanary.cli.{words[0].replace('-', '_')}").command
        known = {option for parameter in command.params for option in parameter.opts}
        if isinstance(command, click.Group) and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in command.commands, f"{page}: {words}"
            known |= {option for parameter in command.commands[words[1]].params for option in parameter.opts}
        asked = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w.=-]*", word)}
        assert asked <= known, f"{page}: mlcanary {' '.join(words)}"
    everything = {line.strip() for block in blocks(TEXT, "sh") for line in block.splitlines()}
    assert {"make demo", "make test"} <= everything
