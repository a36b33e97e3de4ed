"""What the README says is true: links, anchors, tables, configuration and log lines."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcanary.catalog import CATALOG, INDICATORS, Group, MetricSpec
from mlcanary.cli.main import COMMANDS
from mlcanary.documents import load_document
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.handler.settings import parse_settings
from mlcanary.judge.settings import parse_settings as parse_judge
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, Prediction
from mlcanary.settings import ExporterDocument

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PAGES = [README, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]


def blocks(language: str) -> list[str]:
    """Code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def metric_table() -> str:
    """The metric reference as the README holds it."""
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
    """What users ask for by name, and where it is, as the README holds it."""
    lines = ["| indicator | metric | recorded series | exact or bound | source |", "|---|---|---|---|---|"]
    for row in INDICATORS:
        metric = f"`mlcanary_{row.metric}`" if row.metric else "–"
        recorded = "<br>".join(f"`{name}`" for name in row.recorded) or "–"
        cells = (row.name, metric, recorded, row.exact, row.source)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


@pytest.mark.parametrize(("name", "table"), [("metrics", metric_table), ("indicators", indicator_table)])
def test_the_tables_are_those_of_the_catalogue(name: str, table: Callable[[], str]) -> None:
    """Rewritten by UPDATE_GOLDEN=1, which CI does not set."""
    text = README.read_text(encoding="utf-8")
    wanted = f"<!-- {name} -->\n{table()}\n<!-- /{name} -->"
    found = re.search(rf"<!-- {name} -->.*?<!-- /{name} -->", text, flags=re.DOTALL)
    assert found is not None
    if os.environ.get("UPDATE_GOLDEN") and not os.environ.get("CI"):
        README.write_text(text.replace(found[0], wanted), encoding="utf-8")
        return
    assert found[0] == wanted, "run: UPDATE_GOLDEN=1 make test"


def test_every_relative_link_leads_to_a_file() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_link_inside_a_page_leads_to_a_heading() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_the_log_lines_are_understood() -> None:
    block = next(b for b in blocks("json") if '"kind"' in b)
    decoded = NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(block.encode(), 1.8e9)
    assert decoded.rejects == []
    assert [type(record) for record in decoded.records] == [Prediction, Label, Label]
    assert all(json.loads(line)["id"] == "r-1" for line in block.splitlines())


def test_the_configurations_are_valid() -> None:
    exporter = next(b for b in blocks("yaml") if b.startswith("sources:"))
    assert load_document(exporter, "README.md", ExporterDocument).models[0].name == "churn"
    handler = next(b for b in blocks("yaml") if b.startswith("prometheus:") and "targets:" in b)
    assert parse_settings(handler, "README.md").targets[0].mode == "react"
    judge = next(b for b in blocks("yaml") if b.startswith("prometheus:") and "models:" in b)
    assert parse_judge(judge, "README.md").plan("churn", {}).design_effect == 2.0


def test_every_target_that_is_shown_is_valid() -> None:
    shown = next(b for b in blocks("yaml") if b.startswith("target:")).splitlines()
    assert len(shown) == 12
    for line in shown:
        text = f"prometheus: {{url: http://127.0.0.1:9090}}\ntargets:\n- name: router\n  model: churn\n  {line}\n"
        assert set(parse_settings(text, "README.md").targets[0].versions) == {"v1", "v2"}


def test_every_command_that_is_shown_exists() -> None:
    shown = re.findall(r"^mlcanary ([a-z-]+)", "\n".join(blocks("sh")), flags=re.MULTILINE)
    assert shown
    assert set(shown) <= set(COMMANDS)
    assert {"make demo", "make test"} <= {line.strip() for block in blocks("sh") for line in block.splitlines()}
