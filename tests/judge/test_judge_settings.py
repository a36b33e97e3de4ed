"""The judge's configuration: defaults, what overrides what, and the exact text that each mistake gets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from mlcanary.catalog import OBJECTIVES, Family
from mlcanary.catalog.judge import MARGINS
from mlcanary.errors import ConfigError
from mlcanary.judge.contract import Plan
from mlcanary.judge.settings import MEASURES, PlanSettings, load_settings, parse_settings

CORPUS = yaml.safe_load((Path(__file__).parent / "judge_settings_corpus.yml").read_text())
GOOD = """\
prometheus: {url: "http://127.0.0.1:9090", timeout: 4s}
interval: 15s
forget_after: 2h
select: {namespace: prod}
defaults:
  alpha: 0.02
  warm_up: 2m
  block_seconds: 30s
  tolerances: {errors: 0.001}
  margins: {ctr: 0.04, auc: 0.01}
models:
  clicks:
    weights: {errors: 0.2, quality: 0.5, business: 0.2}
    margins: {ctr: 0.03}
    exclude: [hour]
"""


def test_a_model_overrides_the_defaults_key_by_key_and_measure_by_measure() -> None:
    settings = parse_settings(GOOD, "judge.yml")
    plan = settings.plan("clicks", {"error_rise": 0.5})
    assert (plan.alpha, plan.warm_up, plan.block_seconds, plan.exclude) == (0.02, 120.0, 30.0, ("prediction", "hour"))
    assert plan.weights == {Family.ERRORS: 0.2, Family.QUALITY: 0.5, Family.BUSINESS: 0.2}
    assert plan.tolerances == {"errors": 0.001}
    assert (plan.margins["ctr"], plan.margins["auc"], plan.margins["errors"]) == (0.03, 0.01, 0.5)
    other = settings.plan("other", {})
    assert (other.weights, other.margins["ctr"], other.exclude) == (Plan().weights, 0.04, ("prediction",))
    assert (settings.interval, settings.forget_after, settings.settle) == (15.0, 7200.0, 10.0)
    assert settings.select == (("namespace", "prod"),)


def test_margins_that_nobody_names_are_the_objectives() -> None:
    plan = parse_settings("", "x", "http://p:9090").plan("m", {})
    defaults = {objective.name: objective.default for objective in OBJECTIVES}
    assert plan == Plan(margins={name: defaults[objective] for name, objective in MARGINS.items()})


def test_every_key_of_a_plan_can_be_set_and_nothing_else() -> None:
    assert PlanSettings.__struct_fields__ == Plan.__struct_fields__


def test_the_flag_alone_is_enough_and_wins_over_the_file(tmp_path: Path) -> None:
    assert load_settings(None, "http://p:9090/base").prometheus.url == "http://p:9090/base"
    path = tmp_path / "judge.yml"
    path.write_text(GOOD)
    settings = load_settings(path, "https://q")
    assert (settings.prometheus.url, settings.prometheus.timeout) == ("https://q", 4.0)
    path.write_text("interval: 15s\n")
    with pytest.raises(ConfigError, match=r"judge.yml: prometheus.url: found nothing; allowed: an address"):
        load_settings(path, None)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "absent.yml", None)


@pytest.mark.parametrize("url", ["prometheus:9090", "http://u:p@x", "http://", "ftp://x"])
def test_a_flag_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--prometheus.url: found .*; allowed: http://HOST:PORT"):
        load_settings(None, url)


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["error"][:60])
def test_each_mistake_is_named_with_file_line_key_found_and_allowed(entry: dict[str, str]) -> None:
    assert entry["old"] in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_settings(GOOD.replace(entry["old"], entry["new"], 1), "judge.yml")
    assert str(caught.value) == f"judge.yml:{entry['error']}".replace(
        "MEASURES", ", ".join(sorted(MEASURES["margins"]))
    )


def test_a_plan_survives_being_written_and_read() -> None:
    plan = parse_settings(GOOD, "x").plan("clicks", {})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=Plan) == plan
