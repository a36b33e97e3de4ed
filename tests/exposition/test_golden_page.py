"""The page of a small log, byte for byte but for the last bits of sums, which depend on the processor.

`UPDATE_GOLDEN=1` rewrites it; read the difference before you commit it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mlcanary.catalog import BY_NAME, CATALOG, Group, Kind, Role
from mlcanary.exposition.families import families
from mlcanary.exposition.text import TextRenderer
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, categorical_reference, numeric_reference
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from prometheus_tools import program

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "exposition"
START = 1_793_527_200.0


def small_plan() -> MonitorPlan:
    """Few bins, so that the page can be read."""
    reference = Reference(
        {
            "age": numeric_reference(np.arange(20.0, 60.0, 0.25), 3, missing=2.0),
            "plan": categorical_reference(["free", "free", "pro"], 2),
        },
        numeric_reference(np.linspace(0.05, 0.95, 181).round(3), 3),
        rows=42,
        model="churn",
    )
    churn = ModelPlan(
        reference=reference,
        roles={"v1": Role.BASELINE, "v2": Role.CANARY},
        join=JoinPolicy(0.0, 3600.0),
        split={"v1": 0.9, "v2": 0.1},
        feature_objectives={"age": {"feature_psi": 0.5}},
    )
    return MonitorPlan(models={"churn": churn})


def rendered() -> dict[str, bytes]:
    """Both forms of the page after the fixture log, on a fixed clock."""
    plan = small_plan()
    monitor = Monitor(plan, START)
    decoded = NativeFormat(RowReader(plan.model)).decode_block((GOLDEN / "small.jsonl").read_bytes(), START + 60)
    assert [reject.reason for reject in decoded.rejects] == ["json"]
    monitor.feed(decoded.records, START, decoded.predictions, decoded.labels)
    monitor.advance(START + 60, START + 60)
    text, openmetrics = TextRenderer().render(families(monitor.samples(START + 60)))
    return {"small.txt": text, "small.openmetrics.txt": openmetrics}


@pytest.mark.parametrize("name", ["small.txt", "small.openmetrics.txt"])
def test_the_page_of_a_small_log_has_not_changed(name: str) -> None:
    page = rendered()[name]
    if os.environ.get("UPDATE_GOLDEN") == "1":
        assert os.environ.get("CI") != "true", "golden files are rewritten by people, who read the difference"
        (GOLDEN / name).write_bytes(page)
    made, kept = (text.split("\n") for text in (page.decode(), (GOLDEN / name).read_text()))
    assert [line for line in made if line not in kept and not _almost_in(line, kept)] == []
    assert [line.rsplit(" ", 1)[0] for line in made] == [line.rsplit(" ", 1)[0] for line in kept]


def _almost_in(line: str, kept: list[str]) -> bool:
    """Whether the series is there with the same fraction to twelve digits."""
    series, value = line.rsplit(" ", 1)
    found = next((other.rsplit(" ", 1)[1] for other in kept if other.startswith(f"{series} ")), "")
    return "." in value and "." in found and float(value) == pytest.approx(float(found), rel=1e-12)


def test_the_fixture_shows_every_family_of_a_model() -> None:
    """Those of a version are held to the measures that make them, by `measures/test_measure_contract.py`."""
    shown = {line.split()[2] for line in rendered()["small.txt"].decode().splitlines() if line.startswith("# TYPE")}
    groups = {Group.CONTRACT, Group.WINDOW}
    wanted = {row.name for row in CATALOG if row.group in groups and "version" not in row.labels}
    of_peers, of_spikes = {"mlcanary_merged_crossover_users_ratio"}, {"mlcanary_feature_reference_point"}
    assert wanted - shown == of_peers | of_spikes
    assert shown <= set(BY_NAME)


def test_prometheus_finds_nothing_to_complain_about() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=rendered()["small.txt"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_help_and_type_come_once_and_before_their_samples() -> None:
    lines = rendered()["small.txt"].decode().splitlines()
    seen: set[str] = set()
    for i, line in enumerate(lines):
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in seen
            assert lines[i + 1] == f"# TYPE {name} {BY_NAME[name].kind}"
            seen.add(name)
    assert seen


def test_histograms_are_cumulative_and_end_in_infinity() -> None:
    lines = rendered()["small.txt"].decode().splitlines()
    for spec in (row for row in CATALOG if row.kind is Kind.HISTOGRAM):
        labels = '{model="churn",version="v1"'
        of_one = [line for line in lines if line.startswith(f"{spec.name}_bucket{labels}")]
        values = [float(line.rsplit(" ", 1)[1]) for line in of_one]
        assert values == sorted(values)
        assert 'le="+Inf"' in of_one[-1]
        count = next(line for line in lines if line.startswith(f"{spec.name}_count{labels}"))
        assert float(count.rsplit(" ", 1)[1]) == values[-1]
