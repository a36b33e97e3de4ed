"""Names in the judge's file that nothing bears are told once, beside the one that may be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from judged_release import EPOCH, MemoryPrometheus, Page
from mlcanary.judge.cycle import Judge
from mlcanary.judge.settings import parse_settings, unused_names
from mlcanary.judge.store import Store

TEXT = "defaults: {exclude: [colour, customer_id]}\nmodels: {click: {alpha: .01}}"


def page(second: int) -> Page:
    """Two versions with a feature of names."""
    found: Page = {}
    for version, role in (("v1", "baseline"), ("v2", "canary")):
        labels = (("model", "clicks"), ("version", version))
        found["mlcanary_model_info", (*labels, ("role", role))] = 1.0
        found["mlcanary_predictions_total", (*labels, ("predicted", "1"))] = 10.0 * second
        for color in ("red", "other"):
            found["mlcanary_feature_bin_total", (*labels, ("feature", "color"), ("bin", color))] = 5.0 * second
    return found


def test_names_that_look_misspelt_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prometheus = MemoryPrometheus()
    for second in range(0, 300, 15):
        prometheus.scrape(EPOCH + second + 2, "exporter", page(second))
    settings = parse_settings(TEXT, "judge.yml", "http://p:9090")
    judge = Judge(prometheus, Store(tmp_path / "judge.sqlite"), settings, "1.2.3", lambda: 0.0)
    for second in range(40, 300, 30):
        prometheus.clock = EPOCH + second
        judge.run_once()
    judge.close()
    assert [message for message in caplog.messages if "did you mean" in message] == [
        "exclude: the canary has no feature colour (did you mean color?)",
        "models: none is called clicks, so the defaults hold (did you mean click?)",
    ]


def test_a_name_is_held_against_all_that_the_canary_has_not_only_what_is_new() -> None:
    plan = parse_settings("defaults: {exclude: [color]}", "judge.yml", "http://p:9090").plan("clicks", {})
    born, known = {"feature/colors"}, {"feature/color"}
    assert [*unused_names(plan, "clicks", born, ())] == [
        "exclude: the canary has no feature color (did you mean colors?)"
    ]
    assert [*unused_names(plan, "clicks", born, (), known)] == []
