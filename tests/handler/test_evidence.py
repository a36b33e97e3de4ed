"""The query templates, and what happens to answers that prove nothing."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import AsyncIterator

import promql_parser
import pytest
from aiohttp import web

from handler_world import BAD, GOOD, QueryAPI, Release, configuration, free_port
from loopback_server import loopback
from mlcanary.catalog import BY_NAME
from mlcanary.handler.core.policy import Evidence
from mlcanary.handler.evidence import gather as evidence
from mlcanary.handler.evidence import missed, readings
from mlcanary.handler.evidence.gather import Case
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus, only_value, selector
from mlcanary.handler.evidence.recorded import RECORDED
from mlcanary.handler.intake.payload import Measure, Window
from mlcanary.handler.schema import PrometheusSettings
from mlcanary.handler.settings import TargetPlan, parse_settings

LINK = "{type: file, path: /srv/current, values: {v1: a, v2: b}}"
EVERY_CASE = [
    *itertools.product(RECORDED, (Window.FAST, Window.SLOW)),
    (Measure.VERDICT, Window.JUDGE),
]


def target_plan(extra: str = "") -> TargetPlan:
    (plan,) = parse_settings(configuration("http://127.0.0.1:1", LINK, extra=extra), "x").targets
    return plan


async def asked(plan: TargetPlan, case: Case) -> list[str]:
    """Every query of a case and of a reading."""
    async with QueryAPI(Release(lambda: {GOOD: 0.9, BAD: 0.1})).serving() as api:
        client = Prometheus(PrometheusSettings(url=api.url))
        await evidence.gather(client, plan, case, 10)
        await readings.read(client, plan, BAD, 0.0)
        await missed.firing(client, plan)
        return api.queries


def families(text: str) -> set[str]:
    """Names of the series that a query reads."""
    words = (
        text.replace("{", " {")
        .replace("[", " [")
        .replace("(", " ")
        .replace(")", " ")
        .replace('"', " ")
        .replace("|", " ")
        .split()
    )
    return {word for word in words if word.startswith(("mlcanary_", "model_version:"))}


@pytest.mark.parametrize(("measure", "window"), EVERY_CASE)
async def test_every_template_is_promql_and_reads_families_that_exist(measure: Measure, window: Window) -> None:
    for text in await asked(target_plan(), Case(BAD, measure, window)):
        promql_parser.parse(text)
        for name in families(text):
            base = name.removesuffix("_sum").removesuffix("_count")
            assert name.startswith("model_version:mlcanary_") or base in BY_NAME, name


async def test_the_labels_of_a_target_select_its_series_everywhere() -> None:
    plan = target_plan("  labels: {cluster: west-1}\n")
    cases = (Case(BAD, Measure.ACCURACY, Window.FAST), Case(BAD, Measure.VERDICT, Window.JUDGE))
    for text in [text for case in cases for text in await asked(plan, case)]:
        assert 'cluster="west-1"' in text, text


async def test_the_window_of_the_alert_chooses_series_and_limit() -> None:
    slow = " ".join(await asked(target_plan(), Case(BAD, Measure.AUC, Window.SLOW)))
    assert "mlcanary_labeled_score:auc_delta1h" in slow
    assert 'objective="auc_drop"' in slow
    fast = " ".join(await asked(target_plan(), Case(BAD, Measure.AUC, Window.FAST)))
    assert "mlcanary_labeled_score:auc_zscore5m" in fast
    assert 'objective="auc_drop_fast"' in fast


def test_literals_are_escaped() -> None:
    text = selector("m", (("a", 'x"} or vector(1) #'), ("b", "\\"), ("c", "\n")))
    assert text == 'm{a="x\\"} or vector(1) #",b="\\\\",c="\\n"}'
    promql_parser.parse(text)


async def gathered(measure: Measure = Measure.ACCURACY, **changes: object) -> Evidence:
    release = Release(lambda: {GOOD: 0.9, BAD: 0.1})
    for name, value in changes.items():
        setattr(release, name, value)
    async with QueryAPI(release).serving() as api:
        client = Prometheus(PrometheusSettings(url=api.url))
        window = Window.JUDGE if measure is Measure.VERDICT else Window.FAST
        return await evidence.gather(client, target_plan(), Case(BAD, measure, window), 10)


async def test_a_change_counts_in_the_direction_that_is_worse() -> None:
    assert (await gathered(delta=-0.3, zscore=-12.0)).violated
    assert not (await gathered(delta=0.3, zscore=12.0)).violated
    assert (await gathered(Measure.LOG_LOSS, delta=0.3, zscore=12.0)).violated
    assert not (await gathered(Measure.LOG_LOSS, delta=-0.3, zscore=-12.0)).violated
    assert (await gathered(Measure.ERRORS, delta=0.06, zscore=7.0)).violated
    assert not (await gathered(Measure.ERRORS, delta=0.04, zscore=7.0)).violated


async def test_a_baseline_that_fell_too_is_a_shared_cause_only_beyond_noise() -> None:
    assert not (await gathered(baseline=0.90, past=0.95)).shared_cause
    assert (await gathered(baseline=0.70, past=0.95)).shared_cause
    assert not (await gathered(baseline=0.95, past=0.70)).shared_cause
    assert not (await gathered(baseline=0.70, past=None)).shared_cause


async def test_a_verdict_stands_unless_its_cause_is_shared() -> None:
    found = await gathered(Measure.VERDICT)
    assert (found.violated, found.fresh, found.shared_cause, found.judged) == (True, True, False, False)
    assert {"log_e_quality": 9.0, "threshold_quality": 6.2, "read_age": 20.0}.items() <= dict(found.values).items()
    for verdict in (0.0, None):
        assert not (await gathered(Measure.VERDICT, verdict=verdict)).violated
    later = await gathered(Measure.VERDICT, gates=["design_effect", "shared_cause"])
    assert (later.violated, later.shared_cause) == (True, False)
    assert dict(later.values)["gate_design_effect"] == 1.0
    both = await gathered(Measure.VERDICT, measures={"accuracy": 8.0}, baseline=0.7, past=0.95)
    assert (both.violated, both.shared_cause) == (True, True)
    better = await gathered(Measure.VERDICT, measures={"accuracy": 8.0}, baseline=0.95, past=0.7)
    assert not better.shared_cause


@pytest.mark.parametrize(
    "change", [{"verdict_age": 121.0}, {"verdict_age": None}, {"judge_read": 301.0}, {"judge_read": None}]
)
async def test_a_verdict_of_a_judge_that_does_not_read_or_lead_is_old(change: dict[str, float | None]) -> None:
    assert not (await gathered(Measure.VERDICT, **change)).fresh


async def test_an_ambiguous_verdict_is_no_evidence() -> None:
    with pytest.raises(EvidenceError, match="NaN"):
        await gathered(Measure.VERDICT, verdict=math.nan)


@pytest.mark.parametrize(
    ("measures", "recovery"),
    [
        ({"accuracy": 1.0, "log_loss": 10.0}, Measure.LOG_LOSS),
        ({"accuracy": 8.0, "log_loss": 1.0}, Measure.ACCURACY),
        ({"errors": 8.0, "log_loss": 1.0}, Measure.ERRORS),
        ({"auc": 8.0, "errors": 6.1}, Measure.LOG_LOSS),
        ({}, Measure.LOG_LOSS),
    ],
)
async def test_recovery_from_a_verdict_is_read_from_what_asked_for_it(
    measures: dict[str, float], recovery: Measure
) -> None:
    found = await gathered(Measure.VERDICT, measures=measures)
    assert found.recovery == recovery
    assert dict(found.values)["reference"] == 0.9


async def test_a_verdict_on_a_model_without_such_measures_has_no_reference() -> None:
    found = await gathered(Measure.VERDICT, baseline=None)
    assert (found.violated, found.recovery, "reference" in dict(found.values)) == (True, "", False)


async def test_a_judge_of_the_version_speaks_for_it_alone() -> None:
    assert (await gathered(judged=True)).judged
    assert not (await gathered(judged=False)).judged
    assert not (await gathered(Measure.VERDICT, judged=True)).judged


@contextlib.asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[Prometheus]:
    """A client of a server that always gives the same answer."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "/x"})

    async with loopback(web.get("/api/v1/query", answer)) as url:
        yield Prometheus(PrometheusSettings(url=f"{url}/"))


def answer_of(result: bytes, extra: bytes = b"") -> bytes:
    return b'{"status":"success"' + extra + b',"data":{"resultType":"vector","result":[' + result + b"]}}"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b'{"status":"error","data":{"resultType":"vector","result":[]}}'),
        (200, b'{"status":"success","data":{"resultType":"scalar","result":[]}}'),
        (200, answer_of(b"", b',"warnings":["a store did not answer"]')),
        (200, answer_of(b'{"metric":{"version":"\xff"},"value":[1,"1"]}')),
        (200, b"[" * 100_000),
        (200, answer_of(b'{"metric":{},"value":[1,"many"]}')),
        (302, b""),
        (401, b""),
        (422, b'{"status":"error"}'),
        (503, b""),
    ],
)
async def test_an_answer_that_is_not_complete_is_no_evidence(status: int, body: bytes) -> None:
    async with answering(status, body) as client:
        with pytest.raises(EvidenceError):
            await client.query("up")


async def test_a_complete_answer_is_read() -> None:
    async with answering(200, answer_of(b'{"metric":{"version":"v1"},"value":[1.5,"+Inf"]}')) as client:
        (sample,) = await client.query("up")
        assert (sample.label("version"), sample.label("none"), sample.value) == ("v1", "", float("inf"))
        with pytest.raises(EvidenceError, match="2 series where one is expected"):
            only_value([sample, sample], "delta")
        assert only_value([], "delta") is None
    async with answering(200, answer_of(b'{"metric":{},"value":[1,"NaN"]}')) as client:
        with pytest.raises(EvidenceError, match="delta: NaN"):
            only_value(await client.query("up"), "delta")


async def test_a_nan_counts_only_where_it_is_asked_for() -> None:
    idle = {GOOD: 0.9, BAD: 0.1, "v0": math.nan}
    found = await gathered(route=lambda: idle, others={"v0": math.nan})
    assert found.violated
    assert found.serving == {GOOD, BAD}
    for name in ("delta", "zscore", "baseline", "past"):
        with pytest.raises(EvidenceError, match="NaN"):
            await gathered(Measure.ACCURACY, **{name: math.nan})


async def test_a_reading_leaves_out_what_holds_a_nan() -> None:
    release = Release(lambda: {GOOD: 0.9, BAD: 0.1})
    release.labeled = {(GOOD, "1", "1"): 5.0, (BAD, "1", "1"): 5.0, (BAD, "1", "0"): math.nan}
    async with QueryAPI(release).serving() as api:
        client = Prometheus(PrometheusSettings(url=api.url))
        found = await readings.read(client, target_plan(), BAD, 1000.0)
        assert {key[0] for key in found.labeled} == {GOOD}
        assert (found.up, found.fresh, found.sampled) == (True, True, 1000.0 - 0.1)
        release.sample_age = 121.0
        assert not (await readings.read(client, target_plan(), BAD, 1000.0)).fresh
        release.counters["v0"] = math.nan
        with pytest.raises(EvidenceError, match="NaN"):
            await readings.read(client, target_plan(), BAD, 1000.0)


async def test_nobody_there_is_no_evidence() -> None:
    with pytest.raises(EvidenceError):
        await Prometheus(PrometheusSettings(url=f"http://127.0.0.1:{free_port()}")).query("up")
