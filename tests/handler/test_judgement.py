"""The judge's word as the handler reads it: what is stale, absent, ambiguous or no number is no data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import promql_parser
import pytest

from handler_world import BAD, GOOD, QueryAPI, Release, configuration
from mlcanary.catalog import BY_NAME
from mlcanary.handler.core.judgement import Judgement, Word
from mlcanary.handler.evidence.judgement import find, judge_of, queries
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus, Sample
from mlcanary.handler.schema import PrometheusSettings
from mlcanary.handler.settings import TargetPlan, parse_settings

SECTION = "{type: file, path: /srv/current, values: {v1: a, v2: b}}"
Answers = dict[str, list[Sample]]


def target_plan() -> TargetPlan:
    text = configuration("http://127.0.0.1:1", SECTION, extra="  labels: {cluster: eu}\n")
    (plan,) = parse_settings(text, "x").targets
    return plan


def sample(value: float = 1.0, **labels: str) -> Sample:
    return Sample(tuple(sorted(labels.items())), value)


def answers(**changes: list[Sample]) -> Answers:
    sound: Answers = {
        "verdict": [sample(verdict="promote")], "age": [sample(5.0)], "read": [sample(20.0)], "expand": [sample()],
        "trials": [sample(4000.0)], "judged": [sample(1_700_000_000.0)], "eta": [], "gates": [],
        "roles": [sample(version="v1", role="baseline"), sample(version="v2", role="canary")],
        "serving": [sample(90.0, version="v1"), sample(0.0, version="v2")], "up": [sample()], "firing": [],
    }  # fmt: skip
    return {**sound, **changes}


def found(**changes: list[Sample]) -> Judgement:
    return find(answers(**changes), max_age=120.0)


def test_templates_are_promql_read_families_that_exist_and_carry_the_configured_labels() -> None:
    for name, text in queries(target_plan(), BAD).items():
        promql_parser.parse(text)
        assert 'cluster="eu"' in text, name
        for family in re.findall(r"\bmlcanary_\w+", text):
            assert family in BY_NAME, family


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ("promote", Word.HEALTHY),
        ("rollback", Word.UNHEALTHY),
        ("hold", Word.INCONCLUSIVE),
        ("no_data", Word.NO_DATA),
    ],
)
def test_the_words(verdict: str, word: Word) -> None:
    told = found(verdict=[sample(verdict=verdict)])
    assert (told.word, told.known, told.may_expand, told.trials) == (word, True, True, 4000.0)
    assert (told.why != "") == (word is Word.NO_DATA)


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": []},
        {"verdict": [sample(verdict="promote"), sample(verdict="hold")]},
        {"verdict": [sample(verdict="promote", cluster="a"), sample(verdict="promote", cluster="b")]},
        {"verdict": [sample(verdict="fine")]},
        {"age": [sample(121.0)]},
        {"age": []},
        {"age": [sample(math.nan)]},
        {"read": [sample(301.0)]},
        {"read": []},
        {"expand": [sample(math.nan)]},
        {"trials": [sample(1.0, cluster="a"), sample(2.0, cluster="b")]},
        {"trials": [sample(math.nan)]},
        {"judged": [sample(math.nan)]},
    ],
)
def test_what_does_not_count_is_no_data_and_says_why(changes: dict[str, list[Sample]]) -> None:
    told = found(**changes)
    assert (told.word, told.known, told.may_expand) == (Word.NO_DATA, False, False)
    assert (told.trials, told.judged, told.eta) == (0.0, 0.0, None)
    assert told.why


def test_a_judge_without_a_figure_yet_has_none() -> None:
    told = found(expand=[], trials=[], judged=[], verdict=[sample(verdict="no_data")])
    assert (told.known, told.may_expand, told.trials, told.judged) == (True, False, 0.0, 0.0)


def test_the_ground_is_told_beside_the_word() -> None:
    told = found(
        gates=[sample(gate="label_coverage")], firing=[sample(measure="auc")], up=[sample(0.0)], eta=[sample(60.0)]
    )
    assert (told.gates, told.firing, told.sources_up, told.eta) == (("label_coverage",), ("auc",), False, 60.0)
    assert told.roles == (("v1", "baseline"), ("v2", "canary"))
    assert told.serving == frozenset({"v1"})
    assert not found(up=[]).sources_up
    with pytest.raises(EvidenceError):
        found(up=[sample(1.0), sample(1.0)])


class Told(Prometheus):
    """A judge that has judged up to five seconds ago, by Prometheus's clock."""

    async def query_all(self, expressions: Mapping[str, str]) -> dict[str, list[Sample]]:
        return {name: answers(lag=[sample(5.0)])[name] for name in expressions}


async def test_the_time_of_a_judgement_is_told_in_the_clock_of_who_asks() -> None:
    told = await judge_of(Told(PrometheusSettings(url="http://127.0.0.1:9")), target_plan(), BAD, now=1_000.0)
    assert told.judged == 995.0


async def test_a_judge_is_read_over_http() -> None:
    async with QueryAPI(Release(lambda: {GOOD: 0.9, BAD: 0.1}, rate=0.0, firing=False, word="hold")).serving() as api:
        told = await judge_of(Prometheus(PrometheusSettings(url=api.url)), target_plan(), BAD)
        assert (told.word, told.trials) == (Word.INCONCLUSIVE, api.release.counters[BAD])
        api.broken = True
        with pytest.raises(EvidenceError):
            await judge_of(Prometheus(PrometheusSettings(url=api.url)), target_plan(), BAD)
