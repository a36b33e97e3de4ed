"""The judge's page for Prometheus: the catalogue's rows, all of them and no other, and nothing twice."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

import judge_views as views
from mlcanary.catalog import CATALOG, Family, Gate, Group, Verdict
from mlcanary.judge.contract import CanaryKey
from mlcanary.judge.publish.metrics import READINGS, render
from mlcanary.judge.publish.view import JudgedCanary, View
from prometheus_tools import program, run

Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]
ROWS = {row.name: row for row in CATALOG if row.group is Group.JUDGE}


def page(view: View) -> Page:
    """Series of a page; fails if one comes twice."""
    found: Page = {}
    for family in text_string_to_metric_families(render(view).decode()):
        for sample in family.samples:
            series = (sample.name.removeprefix("mlcanary_judge_"), tuple(sorted(sample.labels.items())))
            assert series not in found
            found[series] = sample.value
    return found


def value(found: Page, name: str, key: CanaryKey | None = None, **labels: str) -> float | None:
    """One series, None if it is absent."""
    if key is not None:
        labels |= {name: getattr(key, name) for name in ("cluster", "namespace", "model", "version")}
    return found.get((name, tuple(sorted(labels.items()))))


def test_every_row_of_the_catalogue_is_there_and_no_other() -> None:
    seen = set()
    for family in text_string_to_metric_families(render(views.view()).decode()):
        row = ROWS[f"{family.name}_total" if family.type == "counter" else family.name]
        seen.add(row.name)
        assert (family.type, family.documentation) == (str(row.kind), row.help)
        assert family.samples
        for sample in family.samples:
            assert sample.name == row.name
            assert sorted(sample.labels) == sorted(row.labels)
    assert seen == set(ROWS)


def test_a_verdict_is_a_state_set() -> None:
    found = page(views.view())
    for key, verdict in (
        (views.BAD, Verdict.ROLLBACK),
        (views.GOOD, Verdict.PROMOTE),
        (views.HELD, Verdict.HOLD),
        (views.NEW, Verdict.NO_DATA),
    ):
        assert [value(found, "verdict", key, verdict=v) for v in Verdict] == [float(v is verdict) for v in Verdict]
    assert value(found, "reason", views.BAD, verdict="rollback", reason="worse") == 1.0
    assert [v for (name, _), v in found.items() if name == "reason"] == [1.0] * 4


def test_gates_and_readings_are_there_before_anything_happens() -> None:
    found = page(views.view())
    suspended = {Gate.SPLIT_MISMATCH, Gate.SHARED_CAUSE}
    for gate in Gate:
        assert value(found, "gate", views.HELD, gate=gate) == float(gate in suspended)
        assert value(found, "gate", views.GOOD, gate=gate) == 0.0
    assert [value(found, "readings_total", result=r) for r in READINGS] == [300.0, 4.0, 0.0]


def test_figures_and_thresholds_are_the_assessment_s() -> None:
    found, bad = page(views.view()), views.bad().assessment
    for family in bad.families:
        assert value(found, "family_log_evalue", views.BAD, family=family.name) == family.log_e
        assert value(found, "family_log_evalue_threshold", views.BAD, family=family.name) == family.threshold
    loss = next(m for m in bad.measures if m.name == "log_loss")
    for name, expected in (
        ("measure_log_evalue", loss.log_e),
        ("noninferior_log_evalue", loss.log_e_noninferior),
        ("difference", loss.difference),
        ("difference_lower", loss.lower),
        ("difference_upper", loss.upper),
        ("margin", 0.02),
        ("tolerance", 0.0),
        ("design_effect", 1.37),
        ("change_log_r", loss.change_log_r),
    ):
        assert value(found, name, views.BAD, measure="log_loss") == expected
    assert value(found, "trials", views.BAD, measure="log_loss", arm="canary") == 5210.0
    assert value(found, "trials", views.BAD, measure="log_loss", arm="baseline") == 46_890.0
    assert value(found, "canary_start_timestamp_seconds", views.BAD, baseline="v1") == views.START
    assert value(found, "noninferior_log_evalue_threshold", views.BAD) == -math.log(0.05)
    assert value(found, "deadline_seconds", views.BAD) == 86400.0
    assert value(found, "feature_log_evalue", views.BAD, feature="device_type") == 9.71
    assert value(found, "steps_skipped_total", views.BAD, reason="source_broken") == 2.0


def test_what_is_not_known_is_absent() -> None:
    found = page(views.view())
    assert value(found, "measure_log_evalue", views.BAD, measure="auc") == 0.0
    for name in ("difference", "difference_lower", "difference_upper", "margin", "change_log_r"):
        assert value(found, name, views.BAD, measure="auc") is None
    assert value(found, "eta_seconds", views.BAD) is None
    assert value(found, "eta_seconds", views.HELD) == 5400.0
    first = page(View(leader=True))
    assert value(first, "read_timestamp_seconds") is None
    assert value(first, "cycle_duration_seconds") is None
    assert not any(math.isnan(v) for v in found.values())


def test_numbers_keep_all_their_bits() -> None:
    exact = struct.unpack("<d", bytes.fromhex("9a9999999999b93f"))[0] / 3.0
    measure = msgspec.structs.replace(views.measure("errors", Family.ERRORS, (0.1, 0.1), 0.1, exact))
    found = msgspec.structs.replace(views.bad().assessment, measures=(measure,))
    shown = page(View(leader=True, canaries={views.BAD: JudgedCanary(found, views.PLAN)}))
    assert value(shown, "measure_log_evalue", views.BAD, measure="errors") == exact


def test_odd_names_and_infinite_numbers_are_read_back() -> None:
    key = msgspec.structs.replace(views.BAD, model='a "b"\\\n{c="d"}', version="v ü\\n")
    measure = msgspec.structs.replace(views.UNKNOWN, log_e=-math.inf, lower=-math.inf, upper=math.inf)
    found = msgspec.structs.replace(views.bad().assessment, measures=(measure,))
    shown = page(View(leader=True, canaries={key: JudgedCanary(found, views.PLAN)}))
    assert value(shown, "verdict", key, verdict="rollback") == 1.0
    assert value(shown, "measure_log_evalue", key, measure="auc") == -math.inf
    assert value(shown, "difference_upper", key, measure="auc") == math.inf


def test_a_standby_has_no_canaries_but_says_how_it_is() -> None:
    found = page(View(leader=False))
    assert value(found, "leader") == 0.0
    names = {name for name, _ in found}
    assert names == {
        *("build_info", "leader", "readings_total", "resets_total", "series_read", "state_errors_total"),
    }


def test_a_version_that_comes_back_is_shown_once() -> None:
    again = msgspec.structs.replace(views.BAD, start=views.START + 900.0)
    for canaries in (
        {views.BAD: views.bad(), again: JudgedCanary(views.assessment(again, Verdict.HOLD), views.PLAN)},
        {again: JudgedCanary(views.assessment(again, Verdict.HOLD), views.PLAN), views.BAD: views.bad()},
    ):
        found = page(View(leader=True, canaries=canaries))
        assert value(found, "verdict", views.BAD, verdict="hold") == 1.0
        assert value(found, "verdict", views.BAD, verdict="rollback") == 0.0


def test_a_family_without_a_weight_has_no_threshold() -> None:
    family = msgspec.structs.replace(views.bad().assessment.families[0], threshold=None)
    found = msgspec.structs.replace(views.bad().assessment, families=(family,))
    shown = page(View(leader=True, canaries={views.BAD: JudgedCanary(found, views.PLAN)}))
    assert value(shown, "family_log_evalue", views.BAD, family=family.name) == family.log_e
    assert value(shown, "family_log_evalue_threshold", views.BAD, family=family.name) is None


def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    assert program("promtool")
    path = tmp_path / "page"
    path.write_bytes(render(views.view()))
    status, output = run("sh", "-c", f"promtool check metrics < {path}")
    assert (status, output) == (0, "")
