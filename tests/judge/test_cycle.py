"""The judge's cycle: which times it reads, who begins and ends, what is left out, what is recorded and shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from judged_release import EPOCH, MemoryPrometheus, Page, Release, scraped, unreachable
from mlcanary.judge.canary import Canary, fold
from mlcanary.judge.contract import CanaryKey, Step
from mlcanary.judge.cycle import Judge
from mlcanary.judge.intake.reading import ReadingError
from mlcanary.judge.records import explain, read_record
from mlcanary.judge.settings import Settings, parse_settings
from mlcanary.judge.store import Store

TEXT = "defaults: {warm_up: 1m, min_age: 5m}\nforget_after: 5m\n"
KEY = CanaryKey("", "", "clicks", "v2", "v1", EPOCH + 30)
BAD = Release(1, (0.2, 0.1), seconds=600, requests=100.0)


@pytest.fixture
def judging(tmp_path: Path) -> Iterator[Callable[..., Judge]]:
    """Makes judges on one state file; the last one is closed."""
    judges: list[Judge] = []

    def make(prometheus: MemoryPrometheus, text: str = TEXT) -> Judge:
        while judges:
            judges.pop().close()
        judges.append(Judge(prometheus, Store(tmp_path / "judge.sqlite"), settings(text), "1.2.3", lambda: 0.0))
        return judges[-1]

    yield make
    while judges:
        judges.pop().close()


def settings(text: str) -> Settings:
    """A configuration."""
    return parse_settings(text, "judge.yml", "http://p:9090")


def until(judge: Judge, prometheus: MemoryPrometheus, second: float) -> None:
    """Judge everything from the start, or since the last time, to a moment."""
    if judge.view.read_at is None:
        prometheus.clock = EPOCH + 40  # a judge without a past begins at the newest grid time
        judge.run_once()
    prometheus.clock = EPOCH + second
    judge.run_once()
    while judge.behind:
        judge.run_once()


def pages(
    prometheus: MemoryPrometheus, begin: int, end: int, show: Callable[[int], Page | None], instance: str
) -> None:
    """Scrape an exporter every 15 seconds."""
    for second in range(begin, end, 15):
        prometheus.scrape(EPOCH + second + 2, instance, show(second))


def a_page(second: int, **roles: str) -> Page:
    """Versions with these roles, each with 10 requests a second, a tenth of them failed."""
    found: Page = {}
    for version, role in roles.items():
        labels = (("model", "clicks"), ("version", version))
        found["mlcanary_model_info", (*labels, ("role", role))] = 1.0
        for predicted, each in (("1", 9), ("none", 1)):
            found["mlcanary_predictions_total", (*labels, ("predicted", predicted))] = float(each * second)
    return found


# --- which times are read


def test_only_grid_times_that_have_settled_are_read(judging: Callable[..., Judge]) -> None:
    prometheus = scraped(BAD)
    judge = judging(prometheus)
    for second in range(0, 200, 5):
        prometheus.clock = EPOCH + second
        judge.run_once()
    assert prometheus.reads == [EPOCH + 30 * k for k in range(-1, 7)]
    assert judge.view.readings == {"ok": 8, "unreachable": 0, "refused": 0}
    until(judge, prometheus, 199)
    assert judge.wait == pytest.approx(21.0)


def test_missed_times_are_caught_up_and_old_ones_left_out(judging: Callable[..., Judge]) -> None:
    prometheus = scraped(BAD)
    judge = judging(prometheus, TEXT + "catch_up: 2m\n")
    until(judge, prometheus, 220)
    until(judge, prometheus, 520)
    read = [round(at - EPOCH) for at in prometheus.reads]
    assert read == [30, 120, 150, 180, 210, 420, 450, 480, 510]
    store = judge._store
    (key,) = judge.view.canaries
    ends = [(step.start - EPOCH, step.end - EPOCH) for step in store.steps(key)]
    assert (210.0, 420.0) in ends
    counted = sum(sum(step.canary.get("requests", ())) for step in store.steps(key))
    truth = BAD.counts()["v2"][..., :2]
    # Exporters are scraped 2 and 5 seconds after every 15th.
    assert counted == sum(
        truth[t1, e].sum() - truth[t0, e].sum() for e, (t0, t1) in enumerate([(107, 497), (110, 500)])
    )


def test_another_interval_goes_on_from_what_was_read(judging: Callable[..., Judge]) -> None:
    prometheus = scraped(BAD)
    judge = judging(prometheus)
    until(judge, prometheus, 130)
    judge.configure(prometheus, settings(TEXT + "interval: 40s\n"))
    until(judge, prometheus, 260)
    steps = [at for at in prometheus.reads if at > EPOCH + 120]
    assert steps == [40.0 * k for k in range(int(steps[0] // 40), int(steps[0] // 40) + len(steps))]
    assert len(steps) == 3


# --- who begins and who ends


def test_a_canary_begins_when_it_is_named_and_ends_when_it_is_gone(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    pages(prometheus, 0, 120, lambda s: a_page(s, v1="baseline"), "a")
    pages(prometheus, 120, 300, lambda s: a_page(s, v1="baseline", v2="canary"), "a")
    pages(prometheus, 300, 1200, lambda s: a_page(s, v1="baseline"), "a")
    pages(prometheus, 1200, 1400, lambda s: a_page(s, v1="baseline", v2="canary"), "a")
    judge = judging(prometheus)
    until(judge, prometheus, 130)
    assert dict(judge.view.canaries) == {}
    until(judge, prometheus, 160)
    (first,) = judge.view.canaries
    assert first == CanaryKey("", "", "clicks", "v2", "v1", EPOCH + 120)
    until(judge, prometheus, 605)  # the last scrape that named it was at 287, so that the times to 300 do
    assert list(judge.view.canaries) == [first]
    until(judge, prometheus, 620)
    assert dict(judge.view.canaries) == {}
    until(judge, prometheus, 1300)
    (second,) = judge.view.canaries
    assert second.start == EPOCH + 1200


def test_a_canary_that_became_the_baseline_is_judged_no_more(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    pages(prometheus, 0, 300, lambda s: a_page(s, v1="baseline", v2="canary"), "a")
    pages(prometheus, 300, 600, lambda s: a_page(s, v2="baseline", v3="canary"), "a")
    judge = judging(prometheus)
    until(judge, prometheus, 500)
    old, new = judge.view.canaries
    assert (old.version, old.baseline, new.version, new.baseline) == ("v2", "v1", "v3", "v2")
    assert judge.view.canaries[old].assessment.judged == EPOCH + 300
    assert judge.view.canaries[new].assessment.judged == EPOCH + 480


def test_another_baseline_is_another_canary_at_once(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    pages(prometheus, 0, 300, lambda s: a_page(s, v1="baseline", v3="canary"), "a")
    pages(prometheus, 300, 600, lambda s: a_page(s, v2="baseline", v3="canary"), "a")
    judge = judging(prometheus)
    until(judge, prometheus, 400)
    assert [(key.version, key.baseline) for key in judge.view.canaries] == [("v3", "v2")]


def test_a_canary_that_is_asked_again_after_a_silence_is_another_one(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()

    def show(second: int) -> Page:
        page = a_page(second, v1="baseline", v2="canary")
        for name, own in page:
            if dict(own)["version"] == "v2" and name.endswith("_total"):
                asked = min(second, 200) + max(0, second - 800)  # silent in between
                page[name, own] = float(asked * (1 if dict(own)["predicted"] == "none" else 9))
        return page

    pages(prometheus, 0, 1000, show, "a")
    judge = judging(prometheus)
    until(judge, prometheus, 790)
    (first,) = judge.view.canaries
    assert judge.view.canaries[first].assessment.reason == "collecting"
    until(judge, prometheus, 960)
    (second,) = judge.view.canaries
    assert second.start > first.start + 700


def test_night_for_both_arms_is_no_silence(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    pages(prometheus, 0, 1000, lambda s: a_page(min(s, 200) + max(0, s - 800), v1="baseline", v2="canary"), "a")
    judge = judging(prometheus)
    until(judge, prometheus, 100)
    before = list(judge.view.canaries)
    until(judge, prometheus, 960)
    assert list(judge.view.canaries) == before


# --- what is left out


def test_steps_under_a_dispute_are_archived_and_not_judged(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    pages(prometheus, 0, 800, lambda s: a_page(s, v1="baseline", v2="canary"), "a")
    pages(prometheus, 300, 420, lambda s: a_page(s, v0="baseline"), "b")
    prometheus.scrape(EPOCH + 422, "b", None)
    judge = judging(prometheus)
    until(judge, prometheus, 400)
    (key,) = judge.view.canaries
    shown = judge.view.canaries[key]
    assert shown.assessment.reason == "role_conflict"
    assert "v0 and v1 are all called the baseline" in shown.assessment.gates[0].why
    until(judge, prometheus, 700)
    assert list(judge.view.canaries) == [key]
    shown = judge.view.canaries[key]
    assert (shown.assessment.gates, shown.skipped) == ((), {"warm_up": 2, "role_conflict": 4})
    assert shown.assessment.steps == len(list(judge._store.steps(key))) == 23


def test_a_broken_source_suspends(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()

    def show(second: int) -> Page:
        up = 0.0 if 300 <= second < 400 else 1.0
        return {**a_page(second, v1="baseline", v2="canary"), ("mlcanary_up", (("source", "/var/log/x"),)): up}

    pages(prometheus, 0, 800, show, "a")
    judge = judging(prometheus)
    until(judge, prometheus, 380)
    (shown,) = judge.view.canaries.values()
    assert (shown.assessment.reason, shown.skipped["source_broken"]) == ("source_broken", 2)
    until(judge, prometheus, 700)
    (shown,) = judge.view.canaries.values()
    assert shown.assessment.gates == ()


# --- problems


def test_a_reading_that_fails_is_counted_told_and_repeated(judging: Callable[..., Judge]) -> None:
    prometheus = scraped(BAD)
    judge = judging(prometheus)
    until(judge, prometheus, 200)
    before = judge.view

    def refuse() -> None:
        raise ReadingError("a partial answer", refused=True)

    for failing in (unreachable, refuse):
        prometheus.failing = failing
        until(judge, prometheus, 400)
        assert judge.view.canaries == before.canaries
        assert judge.view.read_at == before.read_at
        assert judge.view.problem.startswith("Prometheus cannot be read: ")
    prometheus.failing = lambda: None
    until(judge, prometheus, 400)
    assert judge.view.problem == ""
    assert (judge.view.readings["unreachable"], judge.view.readings["refused"]) == (1, 1)
    assert judge.view.read_at == EPOCH + 390


# --- plans, records, restarts


def test_a_plan_is_the_file_and_what_the_exporters_publish_and_stays_with_the_canary(
    judging: Callable[..., Judge],
) -> None:
    prometheus = MemoryPrometheus()

    def show(second: int) -> Page:
        page = a_page(second, v1="baseline", v2="canary")
        limits = {"error_rise": 0.003, "auc_drop": 0.004}
        for name, value in limits.items():
            page["mlcanary_objective_threshold", (("model", "clicks"), ("objective", name))] = value
        return page

    pages(prometheus, 0, 600, show, "a")
    judge = judging(prometheus, TEXT + "models: {clicks: {margins: {auc: 0.05}}}\n")
    until(judge, prometheus, 100)
    (shown,) = judge.view.canaries.values()
    plan = shown.plan
    assert (plan.margins["errors"], plan.margins["auc"], plan.margins["accuracy"]) == (0.003, 0.05, 0.02)
    judge = judging(prometheus, TEXT.replace("min_age: 5m", "min_age: 5m, alpha: 0.2"))
    until(judge, prometheus, 200)
    assert [shown.plan for shown in judge.view.canaries.values()] == [plan]


def test_every_change_of_the_verdict_is_recorded_in_a_chain_that_can_be_explained(
    judging: Callable[..., Judge], tmp_path: Path
) -> None:
    prometheus = scraped(BAD)
    judge = judging(prometheus)
    verdicts, previous = ["no_data"], [""]
    for second in range(0, 600, 30):
        until(judge, prometheus, second)
        for key, shown in judge.view.canaries.items():
            if shown.assessment.verdict != verdicts[-1]:
                assert isinstance(judge._store, Store)
                record = read_record(judge._store.record(key) or b"")
                assert record.assessment == shown.assessment
                assert (record.mlcanary, record.previous, record.plan) == ("1.2.3", previous[-1], shown.plan)
                assert explain(record, lambda k, p, s: fold(k, p, tuple(s))).equal
                verdicts.append(shown.assessment.verdict)
                previous.append(record.hash)
    assert verdicts[-1] == "rollback"


def test_a_restart_folds_only_what_came_after_the_snapshot(
    judging: Callable[..., Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    prometheus = scraped(dataclasses.replace(BAD, seconds=900))
    judge = judging(prometheus)
    until(judge, prometheus, 850)
    before = judge.view.canaries
    asked: list[int] = []
    steps = Store.steps

    def counted(store: Store, key: CanaryKey, after: int = 0) -> Iterator[Step]:
        asked.append(after)
        return steps(store, key, after)

    monkeypatch.setattr(Store, "steps", counted)
    judge = judging(prometheus)
    judge.run_once()
    assert judge.view.canaries == before
    (total,) = {shown.assessment.steps for shown in before.values()}
    assert asked == [total]  # a clean stop leaves nothing to fold
    crashed = judging(prometheus)
    crashed._store.save_snapshots(dict.fromkeys(before, b"of another version"))
    crashed.run_once()
    assert crashed.view.canaries == before
    assert asked == [total, 0]


def test_half_a_step_is_never_saved(judging: Callable[..., Judge], monkeypatch: pytest.MonkeyPatch) -> None:
    prometheus = scraped(BAD)
    judge = judging(prometheus)
    until(judge, prometheus, 250)
    before = judge.view.canaries
    with monkeypatch.context() as bug:
        bug.setattr("mlcanary.judge.cycle.record_hash", lambda _body: 1 / 0)
        bug.setattr(Canary, "verdict", "another")
        with pytest.raises(ZeroDivisionError):
            until(judge, prometheus, 400)
    judge = judging(prometheus)
    prometheus.clock = EPOCH + 250
    assert judge.run_once().canaries == before


# --- A/A


AA = "forget_after: 5m\ndefaults: {warm_up: 0, aa_period: 5m}\n"


def test_an_aa_run_opens_the_gate_after_its_period(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    for instance in "abcdef":
        pages(prometheus, 0, 900, lambda s: a_page(s, v1="baseline", v2="canary"), instance)
    judge = judging(prometheus, AA)
    until(judge, prometheus, 300)
    (shown,) = judge.view.canaries.values()
    assert shown.assessment.reason == "aa_not_passed"
    assert len(judge._load().running) == 2
    judge = judging(prometheus, AA)
    until(judge, prometheus, 500)
    (shown,) = judge.view.canaries.values()
    assert shown.assessment.gates == ()
    assert len(judge._load().running) == 1


def test_an_aa_run_that_fires_keeps_the_gate_closed(
    judging: Callable[..., Judge], caplog: pytest.LogCaptureFixture
) -> None:
    prometheus = MemoryPrometheus()
    for i, instance in enumerate("abcdef"):

        def show(second: int, worse: bool = i % 2 == 1) -> Page:
            page = a_page(second, v1="baseline", v2="canary")
            for name, own in page:
                if worse and dict(own).get("predicted") == "none":
                    page[name, own] *= 4
            return page

        pages(prometheus, 0, 900, show, instance)
    judge = judging(prometheus, AA)
    until(judge, prometheus, 800)
    (shown,) = judge.view.canaries.values()
    fired = [message for message in caplog.messages if message.startswith("the A/A run found a difference")]
    assert shown.assessment.reason == "aa_not_passed"
    assert len(fired) == 1


def test_one_exporter_alone_cannot_be_compared_with_itself(judging: Callable[..., Judge]) -> None:
    prometheus = MemoryPrometheus()
    pages(prometheus, 0, 900, lambda s: a_page(s, v1="baseline", v2="canary"), "a")
    judge = judging(prometheus, AA)
    until(judge, prometheus, 800)
    assert len(judge._load().running) == 1
    (shown,) = judge.view.canaries.values()
    assert shown.assessment.reason == "aa_not_passed"
