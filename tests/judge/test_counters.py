"""What the counts of each input mean, what is born with which cells, and whose counts are whose."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from judge_world import ARMS, BASELINE, CANARY, MODEL, Watch
from mlcanary.judge.contract import Structure
from mlcanary.judge.intake import layouts
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.counters import Counters
from mlcanary.judge.intake.reading import Reading, Sample
from mlcanary.judge.intake.roles import find_arms, split_arms

GOLDEN = Path(__file__).parents[1] / "golden/exposition/small.txt"


def test_first_reading_is_where_counting_starts() -> None:
    watch = Watch.of()
    watch.sidecars[0].requests(BASELINE, 900, 100)
    watch.sidecars[0].requests(CANARY, 40, 2)
    first = watch.step()
    assert (first.start, first.end, first.canary, first.baseline) == (None, 30.0, {}, {})
    assert first.born["requests"] == Structure(("answered", "failed"), (900.0, 100.0))
    assert list(first.born) == ["requests", "latency"]
    assert sum(first.born["latency"].history) == 1000.0
    assert first.pages == (1, 1)
    watch.sidecars[0].requests(CANARY, 7, 1)
    second = watch.step()
    assert (second.start, second.end, second.born) == (30.0, 60.0, {})
    assert second.canary["requests"] == (7.0, 1.0)
    assert second.baseline == {}


def test_latency_is_per_bucket() -> None:
    watch = Watch.of()
    watch.sidecars[0].requests(BASELINE, 200, 0)
    structure = watch.step().born["latency"]
    watch.sidecars[0].requests(CANARY, 5, 2)
    counts = dict(zip(structure.cells, watch.step().canary["latency"], strict=True))
    assert {edge: n for edge, n in counts.items() if n} == {"0.025": 5.0, "2.5": 2.0}
    assert structure.cells[0] == "0.001"
    assert structure.cells[-1] == "+Inf"


def test_classes_are_those_known_at_birth() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.labeled(BASELINE, "10", "9", 150)
    side.labeled(BASELINE, "cat", "cat", 50)
    first = watch.step()
    assert first.born["confusion"].cells == ("1", "9", "10", "cat", "other")
    history = first.born["confusion"].history
    assert len(history) == 5 * 6
    assert (history[2 * 6 + 1], history[3 * 6 + 3], sum(history)) == (150.0, 50.0, 200.0)
    side.labeled(CANARY, "new", "new", 4)  # right, although no cell has its name
    side.labeled(CANARY, "new", "newer", 5)
    side.labeled(CANARY, "other", "other (wrong)", 6)
    side.labeled(CANARY, "other", "other", 7)
    side.labeled(CANARY, "cat", "new", 8)
    counts = watch.step().canary["confusion"]
    assert {i: n for i, n in enumerate(counts) if n} == {4 * 6 + 4: 4 + 7, 4 * 6 + 5: 5 + 6, 3 * 6 + 4: 8}


def test_losses_residuals_and_rankings_are_triples() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    for version in (BASELINE, CANARY):
        side.loss(version, 0.5, 0)
        side.loss(version, 0.5, 0, name="brier_score")
        side.add(read.RESIDUALS, 0, version=version)
        for k in ("all", "5", "10"):
            side.add(read.RANKINGS, 0, version=version, k=k)
            side.add(read.FIGURES, 0, version=version, k=k, figure="reciprocal_rank" if k == "all" else "ndcg")
    born = watch.step().born
    assert born["log_loss"].cells == ("count", "sum", "squares")
    assert born["ndcg"].cells == ("count@10", "sum@10", "squares@10")
    side.loss(CANARY, 0.5, 3)
    side.loss(CANARY, 0.25, 2, name="brier_score")
    side.add(read.RESIDUALS, 4, version=CANARY)
    side.add(read.RESIDUAL_SQUARES, 2.5, version=CANARY, sign="over")
    side.add(read.RESIDUAL_SQUARES, 1.5, version=CANARY, sign="under")
    side.add(read.RESIDUAL_POWERS, 9.0, version=CANARY)
    for k in ("5", "10"):
        side.add(read.RANKINGS, 2, version=CANARY, k=k)
        side.add(read.FIGURES, 1.5 + (k == "10"), version=CANARY, k=k, figure="ndcg")
        side.add(read.FIGURE_SQUARES, 1.25, version=CANARY, k=k, figure="ndcg")
    canary = watch.step().canary
    assert canary["log_loss"] == (3.0, 1.5, 0.75)
    assert canary["brier_score"] == (2.0, 0.5, 0.125)
    assert canary["squared_error"] == (4.0, 4.0, 9.0)
    assert canary["ndcg"] == (2.0, 2.5, 1.25)


def test_scores_are_positives_then_negatives_in_ascending_order() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    for label in ("+Inf", "0.5", "0.05", "1e-05"):
        for actual in ("positive", "negative"):
            side.add(read.SCORES, 0, version=BASELINE, actual=actual, bin=label)
    assert watch.step().born["scores"].cells == ("1e-05", "0.05", "0.5", "+Inf")
    side.add(read.SCORES, 2, version=CANARY, actual="positive", bin="0.5")
    side.add(read.SCORES, 3, version=CANARY, actual="negative", bin="1e-05")
    assert watch.step().canary["scores"] == (0, 0, 2, 0, 3, 0, 0, 0)


def test_cells_that_depend_on_what_was_counted_wait_for_two_hundred_trials_of_the_baseline() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.business(BASELINE, CANARY)
    side.requests(BASELINE, 199, 0)
    side.labeled(BASELINE, "1", "1", 199)
    side.add(read.MATURE, 199, version=BASELINE)
    side.labeled(CANARY, "1", "1", 5000)
    assert list(watch.step().born) == ["requests"]
    side.labeled(BASELINE, "0", "1", 1)
    gains = watch.step()
    assert gains.born["confusion"] == Structure(("0", "1", "other"), (0, 1, 0, 0, 0, 199, 0, 0, 0, 0, 0, 0))
    assert list(gains.born) == ["confusion"]
    assert "confusion" not in gains.baseline  # counted before the cells were settled
    side.requests(BASELINE, 1, 0)
    assert list(watch.step().born) == ["latency"]
    side.add(read.MATURE, 1, version=BASELINE)
    assert list(watch.step().born) == ["mature"]


def test_business_is_known_once_events_have_a_meaning_and_stays_so() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.business(BASELINE, CANARY, known=False)
    side.add(read.MATURE, 500, version=BASELINE)
    assert "mature" not in watch.step().born
    side.business(known=True)
    assert watch.step().born["mature"].history == (500, 0, 0, 0, 0, 0)
    side.facts = {key: value for key, value in side.facts.items() if key[0] != read.EVENT}  # a restart forgets them
    side.add(read.MATURE, 10, version=CANARY)
    side.add(read.MATURE_EVENTS, 4, version=CANARY, event="click")
    side.add(read.MATURE_EVENTS, 2, version=CANARY, event="purchase")
    side.add(read.MATURE_EVENTS, 9, version=CANARY, event="refund")
    side.add(read.MATURE_BOTH, 1, version=CANARY)
    side.add(read.MATURE_VALUE, 30.5, version=CANARY, event="purchase", sign="positive")
    side.add(read.MATURE_VALUE, 40.0, version=CANARY, event="purchase", sign="negative")
    side.add(read.MATURE_SQUARES, 900.25, version=CANARY, event="purchase")
    assert watch.step().canary["mature"] == (10, 4, 2, 1, -9.5, 900.25)


def test_users_are_five_rows_of_buckets_and_come_before_mature() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.business(BASELINE, CANARY)
    side.add(read.MATURE, 200, version=BASELINE)
    for bucket in ("0", "1", "10", "2"):
        side.add(read.USERS, 0, version=BASELINE, bucket=bucket)
    born = watch.step().born
    assert list(born)[-2:] == ["users", "mature"]
    assert born["users"].cells == ("0", "1", "2", "10")
    side.add(read.USERS, 5, version=CANARY, bucket="10")
    side.add(read.USER_EVENTS, 3, version=CANARY, bucket="10", event="click")
    side.add(read.USER_EVENTS, 1, version=CANARY, bucket="10", event="purchase")
    side.add(read.USER_VALUE, 7.5, version=CANARY, bucket="10", sign="positive")
    side.add(read.USER_SQUARES, 56.25, version=CANARY, bucket="10")
    assert watch.step().canary["users"] == (0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 7.5, 0, 0, 0, 56.25)


@pytest.mark.parametrize("maturity", [0.0, 600.0])
def test_coverage_is_of_cohorts_of_equal_age(maturity: float) -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.say(read.MATURITY, maturity, model=MODEL)
    for version in (BASELINE, CANARY):
        for result in ("matched", "assumed", "late", "duplicate", "expired", "evicted"):
            side.add(read.JOINS, 0, version=version, result=result)
        side.add(read.COHORT, 0, version=version)
        for age in ("60", "300", "86400"):
            side.add(read.COHORT_LABELED, 0, version=version, age=age)
    assert watch.step().born["coverage"].cells == (("cohort", "labeled@86400"), ("decided", "labeled"))[maturity > 0]
    for result, count in (("matched", 5), ("assumed", 4), ("late", 3), ("expired", 2), ("evicted", 1)):
        side.add(read.JOINS, count, version=CANARY, result=result)
    side.add(read.COHORT, 8, version=CANARY)
    side.add(read.COHORT_LABELED, 6, version=CANARY, age="86400")
    assert watch.step().canary["coverage"] == ((8, 6), (12, 9))[maturity > 0]


def test_features_have_cells_kind_history_and_the_counts_of_the_profile() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.requests(BASELINE, 100, 0)
    for label, count in (("+Inf", 3), ("10.5", 2), ("-1.0", 1)):
        side.feature(BASELINE, "age", label, count)
        side.say(read.REFERENCE, count / 6, model=MODEL, feature="age", bin=label)
    side.say(read.ROWS, 600.0, model=MODEL, feature="age")
    side.say(read.MISSING, 0.25, model=MODEL, feature="age")
    side.feature(BASELINE, "age", None, 4)
    for label in ("other", "PL", "DE", "missing"):
        side.feature(BASELINE, "country", label, 5)
    born = watch.step().born
    assert born["feature/age"] == Structure(
        ("-1.0", "10.5", "+Inf", "missing"), (1, 2, 3, 4), "numeric", (100, 200, 300, 200)
    )
    assert born["feature/country"] == Structure(
        ("DE", "PL", "missing", "other", "missing"), (5, 5, 5, 5, 0), "categorical", ()
    )
    side.requests(CANARY, 3, 0)
    side.feature(CANARY, "age", "10.5", 2)
    side.feature(CANARY, "age", None, 1)
    side.feature(CANARY, "country", "missing", 3)
    canary = watch.step().canary
    assert canary["feature/age"] == (0.0, 2.0, 0.0, 1.0)
    assert canary["feature/country"] == (0.0, 0.0, 3.0, 0.0, 0.0)


def test_different_edges_keep_scores_and_features_out_until_they_agree() -> None:
    watch = Watch.of(2)
    for i, side in enumerate(watch.sidecars):
        side.say(read.EDGES, model=MODEL, edges=f"hash-{i}")
        side.feature(BASELINE, "age", "+Inf", 0)
        side.labeled(BASELINE, "1", "1", 100)
    first = watch.step()
    assert first.facts.edges_mismatch
    assert "feature/age" not in first.born
    assert "confusion" in first.born
    watch.sidecars[1].facts = {k: v for k, v in watch.sidecars[1].facts.items() if k[0] != read.EDGES}
    watch.sidecars[1].say(read.EDGES, model=MODEL, edges="hash-0")
    second = watch.step()
    assert not second.facts.edges_mismatch
    assert list(second.born) == ["feature/age"]
    for side in watch.sidecars:
        side.facts = {k: v for k, v in side.facts.items() if k[0] != read.EDGES}
        side.say(read.EDGES, model=MODEL, edges="hash-2")  # all agree, but on others than those of the cells
        side.requests(CANARY, 1, 0)
        side.feature(CANARY, "age", "+Inf", 1)
    third = watch.step()
    assert not third.facts.edges_mismatch
    assert third.dropped == {"other_edges": 1}
    assert "feature/age" not in third.canary


def test_facts_name_broken_sources_and_the_configured_share() -> None:
    watch = Watch.of(2)
    one, two = watch.sidecars
    one.say(read.UP, 1.0, source="/logs/a.jsonl")
    two.say(read.UP, 0.0, source="/logs/b.jsonl")
    one.say(read.SHARE, 0.6, model=MODEL, version=BASELINE)
    one.say(read.SHARE, 0.2, model=MODEL, version=CANARY)
    facts = watch.step().facts
    assert facts.sources_broken == ("/logs/b.jsonl",)
    assert facts.expected_share == pytest.approx(0.25)
    two.say(read.SHARE, 0.3, model=MODEL, version=CANARY)
    two.say(read.UP, 1.0, source="/logs/b.jsonl")
    facts = watch.step().facts
    assert facts.sources_broken == ()
    assert facts.expected_share is None


def test_conflict_is_told_and_nothing_is_counted() -> None:
    watch = Watch.of(2)
    watch.step()
    watch.sidecars[1].play(CANARY, "shadow")
    watch.sidecars[0].requests(CANARY, 5, 5)
    gains = watch.step()
    assert gains.facts.conflict == "exporters call v2 canary and shadow"
    assert (gains.canary, gains.baseline) == ({}, {})
    watch.sidecars[1].play(CANARY, "canary")
    watch.sidecars[0].requests(CANARY, 1, 0)
    assert watch.step().canary["requests"] == (1, 0)


def test_several_canaries_have_the_same_baseline_and_can_be_forgotten() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.play("v3", "canary")
    watch.world.scrape(10.0, side)
    reading = watch.world.read(30.0)
    both = find_arms(reading)
    watch.counters.take(reading, both)
    side.requests(BASELINE, 10, 1)
    side.requests("v3", 5, 2)
    watch.world.scrape(50.0, side)
    second, third = watch.counters.take(watch.world.read(60.0), both)
    assert second.baseline == third.baseline
    assert (second.canary, third.canary["requests"]) == ({}, (5, 2))
    watch.counters.forget(both[1])
    side.requests("v3", 5, 2)
    watch.world.scrape(80.0, side)
    _, third = watch.counters.take(watch.world.read(90.0), both)
    assert third.start is None
    assert third.born["requests"].history == (10, 1)


def test_split_arms_share_the_pages_of_the_baseline() -> None:
    watch = Watch.of(4)
    watch.world.scrape(10.0, *watch.sidecars)
    reading = watch.world.read(30.0, [MODEL])
    arms = split_arms(reading)
    assert [(each.canary, each.baseline) for each in arms] == [("v1 (A/A)", "v1")]
    (first,) = watch.counters.take(reading, arms)
    assert first.pages == (2, 2)
    for i, side in enumerate(watch.sidecars):
        side.requests(BASELINE, 10**i, 0)
    watch.world.scrape(50.0, *watch.sidecars)
    (gains,) = watch.counters.take(watch.world.read(60.0, [MODEL]), arms)
    found = sorted([gains.canary["requests"][0], gains.baseline["requests"][0]])
    assert found == [101.0, 1010.0]


def test_order_of_the_series_changes_nothing() -> None:
    watch, found = Watch.of(5), []
    watch.world.scrape(10.0, *watch.sidecars)
    first = watch.world.read(30.0)
    for i, side in enumerate(watch.sidecars):
        side.requests(BASELINE, 10**i, 0)
        side.requests(CANARY, i, 1)
    watch.world.scrape(50.0, *watch.sidecars)
    second = watch.world.read(60.0)
    arms = [*find_arms(first), *split_arms(first)]
    for seed in range(20):
        chance, counters = random.Random(seed), Counters()
        shuffled = [Reading(each.at, chance.sample(each.series, len(each.series))) for each in (first, second)]
        found.append([counters.take(each, arms) for each in shuffled])
    assert all(each == found[0] for each in found)
    assert found[0][1][1].baseline["requests"] == (10101.0, 0.0)


def test_page_of_the_exporter_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "ENOUGH", 1.0)
    page = [
        Sample(sample.name, {**sample.labels, "instance": "pod-0:10877"}, sample.value)
        for family in text_string_to_metric_families(GOLDEN.read_text(encoding="utf-8"))
        for sample in family.samples
    ]
    counters = Counters()
    (first,) = counters.take(Reading(30.0, page), [ARMS])
    assert set(first.born) == {
        *("requests", "latency", "confusion", "log_loss", "brier_score", "scores", "coverage"),
        *("feature/age", "feature/plan", "feature/prediction"),
    }
    assert len(first.born["scores"].cells) == 54
    assert first.born["confusion"].cells == ("0", "1", "other")  # only the canary said maybe
    assert [name for name, found in first.born.items() if name.startswith("feature/") and not found.reference] == []
    grown = [
        msgspec.structs.replace(sample, value=2 * sample.value) if sample.name in read.COUNTERS else sample
        for sample in page
    ]
    (second,) = counters.take(Reading(60.0, grown), [ARMS])
    assert second.dropped == {}
    for name, counts in second.baseline.items():
        assert counts == first.born[name].history, name
    assert second.canary["requests"] == (2.0, 0.0)
    assert second.facts.expected_share is not None
