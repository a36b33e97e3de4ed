"""What both arms gained, against plain event lists: splits, restarts, scrapes that fail or come twice, late pages."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from judge_world import BASELINE, CANARY, MODEL, Sidecar, World
from mlcanary.errors import StateError
from mlcanary.judge import reading as read
from mlcanary.judge.contract import Structure
from mlcanary.judge.counters import KEPT, ArmGains, Counters
from mlcanary.judge.reading import Reading, Sample
from mlcanary.judge.roles import Arms, find_arms, split_arms

ARMS = Arms("", "", MODEL, CANARY, BASELINE)


@dataclass
class Watch:
    """A world with sidecars that play both roles, read every 30 seconds."""

    sidecars: list[Sidecar]
    world: World = field(default_factory=World)
    counters: Counters = field(default_factory=Counters)
    at: float = 0.0

    @classmethod
    def of(cls, count: int = 1) -> Watch:
        """Sidecars that have both versions; the first reading has been taken."""
        sidecars = [Sidecar(f"pod-{i}:10877") for i in range(count)]
        for each in sidecars:
            each.play(BASELINE, "baseline")
            each.play(CANARY, "canary")
        return cls(sidecars)

    def step(self, *failed: Sidecar, skipped: Sequence[Sidecar] = ()) -> ArmGains:
        """Scrape and read; the gains of the one pair of arms."""
        self.at += 30.0
        for each in self.sidecars:
            if each not in skipped:
                self.world.scrape(self.at - 10.0, each, failed=each in failed)
        reading = self.world.read(self.at)
        (gains,) = self.counters.take(reading, find_arms(reading) or [ARMS])
        return gains


def test_first_reading_is_where_counting_starts() -> None:
    watch = Watch.of()
    watch.sidecars[0].requests(BASELINE, 900, 100)
    watch.sidecars[0].requests(CANARY, 40, 2)
    first = watch.step()
    assert (first.start, first.end, first.canary, first.baseline) == (None, 30.0, {}, {})
    assert first.born["requests"] == Structure(("answered", "failed"), (900.0, 100.0))
    assert list(first.born) == ["requests", "latency"]
    assert first.pages == (1, 1)
    watch.sidecars[0].requests(CANARY, 7, 1)
    second = watch.step()
    assert (second.start, second.end, second.born) == (30.0, 60.0, {})
    assert second.canary["requests"] == (7.0, 1.0)
    assert second.baseline == {}


def test_latency_is_per_bucket() -> None:
    watch = Watch.of()
    structure = watch.step().born["latency"]
    watch.sidecars[0].requests(CANARY, 5, 2)
    counts = dict(zip(structure.cells, watch.step().canary["latency"], strict=True))
    assert {edge: n for edge, n in counts.items() if n} == {"0.025": 5.0, "2.5": 2.0}
    assert structure.cells[0] == "0.001"
    assert structure.cells[-1] == "+Inf"


def test_classes_are_those_known_at_birth() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.labeled(BASELINE, "10", "9", 3)
    side.labeled(BASELINE, "cat", "cat", 2)
    first = watch.step()
    assert first.born["confusion"].cells == ("1", "9", "10", "cat", "other")
    history = first.born["confusion"].history
    assert len(history) == 5 * 6
    assert (history[2 * 6 + 1], history[3 * 6 + 3], sum(history)) == (3.0, 2.0, 5.0)
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


def business(side: Sidecar) -> None:
    """Events of both versions, born at zero."""
    for version in (BASELINE, CANARY):
        side.add(read.MATURE, 0, version=version)
        side.add(read.MATURE_BOTH, 0, version=version)
        for event in ("click", "purchase"):
            side.add(read.MATURE_EVENTS, 0, version=version, event=event)
        side.add(read.MATURE_SQUARES, 0, version=version, event="purchase")
        for sign in ("positive", "negative"):
            side.add(read.MATURE_VALUE, 0, version=version, event="purchase", sign=sign)


def test_business_is_known_once_events_have_a_meaning_and_stays_so() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    business(side)
    side.add(read.MATURE, 50, version=BASELINE)
    assert "mature" not in watch.step().born
    side.say(read.EVENT, model=MODEL, event="click", meaning="click")
    side.say(read.EVENT, model=MODEL, event="purchase", meaning="conversion")
    assert watch.step().born["mature"].history == (50, 0, 0, 0, 0, 0)
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
    business(side)
    side.say(read.EVENT, model=MODEL, event="click", meaning="click")
    side.say(read.EVENT, model=MODEL, event="purchase", meaning="conversion")
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
        side.labeled(BASELINE, "1", "1", 0)
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
    assert third.facts.edges_mismatch
    assert third.dropped == {"edges_mismatch": 1}
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


def test_restart_resets_every_counter_of_the_page() -> None:
    watch = Watch.of(2)
    one, two = watch.sidecars
    for side in watch.sidecars:
        side.requests(CANARY, 100, 1)
    watch.step()
    one.restart()
    one.requests(CANARY, 20, 5)  # failures have outgrown their last value, answers have not
    two.requests(CANARY, 3, 0)
    assert watch.step().canary["requests"] == (23.0, 5.0)
    assert watch.counters.resets == 1


def test_missed_scrape_is_made_up_for_and_a_doubled_one_changes_nothing() -> None:
    watch = Watch.of(2)
    one, two = watch.sidecars
    watch.step()
    one.requests(CANARY, 10, 0)
    two.requests(CANARY, 5, 0)
    assert watch.step(one).canary["requests"] == (5.0, 0.0)
    one.requests(CANARY, 1, 0)
    watch.world.scrape(watch.at + 5.0, one, two)
    assert watch.step().canary["requests"] == (11.0, 0.0)
    assert watch.step(skipped=watch.sidecars).canary == {}


def test_page_that_is_new_brings_history_and_one_that_left_is_no_loss() -> None:
    watch = Watch.of(1)
    watch.step()
    late = Sidecar("pod-late:10877")
    late.play(BASELINE, "baseline")
    late.play(CANARY, "canary")
    late.requests(CANARY, 1000, 1000)
    watch.sidecars.append(late)
    assert watch.step().canary == {}
    late.requests(CANARY, 2, 1)
    gains = watch.step()
    assert gains.canary["requests"] == (2.0, 1.0)
    assert gains.pages == (2, 2)
    gone = watch.sidecars.pop(0)
    gone.requests(CANARY, 7, 7)
    watch.world.scrape(watch.at, gone, failed=True)
    gains = watch.step()
    assert (gains.canary, gains.pages) == ({}, (1, 1))


def test_series_born_on_a_known_page_counts_from_zero() -> None:
    watch = Watch.of()
    watch.sidecars[0].labeled(BASELINE, "1", "1")
    watch.step()
    watch.sidecars[0].labeled(CANARY, "0", "1", 9)
    counts = watch.step().canary["confusion"]
    assert counts == (0.0, 0.0, 0.0, 9.0, 0.0, 0.0)  # row "other": the class 0 was not known at birth


def test_feature_that_comes_back_with_an_old_total_is_left_out() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    side.feature(BASELINE, "age", "+Inf", 0)
    watch.step()
    side.requests(CANARY, 10, 0)
    side.feature(CANARY, "age", "+Inf", 5000)
    gains = watch.step()
    assert gains.dropped == {"inconsistent": 1}
    assert gains.canary["requests"] == (10.0, 0.0)
    side.requests(CANARY, 10, 0)
    side.feature(CANARY, "age", "+Inf", 9)
    assert watch.step().canary["feature/age"] == (9, 0)


def test_more_events_than_trials_are_left_out_for_both_arms() -> None:
    watch = Watch.of()
    side = watch.sidecars[0]
    business(side)
    side.say(read.EVENT, model=MODEL, event="click", meaning="click")
    watch.step()
    side.add(read.MATURE, 10, version=BASELINE)
    side.add(read.MATURE, 3, version=CANARY)
    side.add(read.MATURE_EVENTS, 4, version=CANARY, event="click")
    gains = watch.step()
    assert gains.dropped == {"inconsistent": 1}
    assert "mature" not in {**gains.canary, **gains.baseline}


def test_reading_again_gains_nothing() -> None:
    watch = Watch.of()
    watch.step()
    watch.sidecars[0].requests(CANARY, 5, 0)
    reading = watch.world.read(watch.at)
    again = watch.counters.take(reading, [ARMS])[0]
    assert (again.canary, again.born, again.start) == ({}, {}, None)


def test_page_that_was_away_for_a_day_starts_anew() -> None:
    watch = Watch.of(2)
    watch.step()
    one, two = watch.sidecars
    watch.step(one)
    one.requests(CANARY, 1000, 0)
    watch.at += KEPT + 60.0
    watch.step(one)
    assert watch.step().canary == {}
    one.requests(CANARY, 3, 0)
    two.requests(CANARY, 1, 0)
    assert watch.step().canary["requests"] == (4.0, 0.0)


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


SPLITS = (1, 7, 50)


def stream(pages: int, seed: int) -> list[ArmGains]:
    """Gains of one stream of events, each event on the page that chance gives it."""
    events, places = random.Random(seed), random.Random(seed * 100 + pages)
    watch = Watch.of(pages)
    for side in watch.sidecars:
        for version in (BASELINE, CANARY):
            side.labeled(version, "0", "0", 0)
            side.loss(version, 0.5, 0)
            for label in ("0.5", "1.5", "+Inf"):
                side.feature(version, "age", label, 0)
    found = [watch.step()]
    for _ in range(6):
        for _ in range(60):
            side = places.choice(watch.sidecars)
            version = events.choice((BASELINE, CANARY))
            side.requests(version, 1, events.random() < 0.1)
            side.labeled(version, events.choice("01"), events.choice("01"))
            side.loss(version, events.randrange(640) / 64)
            side.feature(version, "age", events.choice(("0.5", "1.5", "+Inf", None)))
        found.append(watch.step())
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_number_of_replicas_changes_no_bit(seed: int) -> None:
    whole, *splits = ([(g.canary, g.baseline, g.born) for g in stream(pages, seed)] for pages in SPLITS)
    assert len(whole) == 7
    assert all(set(gains[0]) == {"requests", "latency", "confusion", "log_loss", "feature/age"} for gains in whole[1:])
    for split in splits:
        assert split == whole


def test_sums_of_numbers_are_rounded_once() -> None:
    watch = Watch.of(10)
    for side in watch.sidecars:
        side.loss(BASELINE, 0.0, 0)
        side.loss(CANARY, 1e16, 1)
    watch.step()
    for side in watch.sidecars:
        side.loss(CANARY, 0.1, 1)
    watch.sidecars[0].restart()
    watch.sidecars[0].loss(CANARY, 0.1, 1)
    assert watch.step().canary["log_loss"][1] == 0.1  # the other pages' sums are too large to hold it


@settings(max_examples=30, stateful_step_count=30, deadline=None)
class Replay(RuleBasedStateMachine):
    """Requests, restarts, failed and skipped scrapes, pages that come and leave, and a judge that restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.watch = Watch.of(2)
        self.lives: dict[str, list[list[tuple[str, bool]]]] = {}
        """Events by page, one list for each life of its exporter."""
        self.seen: dict[str, tuple[int, int]] = {}
        """Life, and number of its events, when the page was last in a reading."""
        for side in self.watch.sidecars:
            self.lives[side.labels["instance"]] = [[]]
        self.failing: set[str] = set()

    @rule(
        page=st.integers(0, 5), version=st.sampled_from((BASELINE, CANARY)), failed=st.booleans(), n=st.integers(1, 9)
    )
    def request(self, page: int, version: str, failed: bool, n: int) -> None:
        side = self.watch.sidecars[page % len(self.watch.sidecars)]
        side.requests(version, n * (not failed), n * failed)
        self.lives[side.labels["instance"]][-1] += [(version, failed)] * n

    @rule(page=st.integers(0, 5))
    def restart(self, page: int) -> None:
        side = self.watch.sidecars[page % len(self.watch.sidecars)]
        side.restart()
        self.lives[side.labels["instance"]].append([])

    @precondition(lambda self: len(self.watch.sidecars) < 4)
    @rule()
    def arrive(self) -> None:
        side = Sidecar(f"pod-{len(self.lives)}:10877")
        side.play(BASELINE, "baseline")
        side.play(CANARY, "canary")
        self.watch.sidecars.append(side)
        self.lives[side.labels["instance"]] = [[]]

    @rule(page=st.integers(0, 5))
    def fail_once(self, page: int) -> None:
        self.failing.add(self.watch.sidecars[page % len(self.watch.sidecars)].labels["instance"])

    @rule()
    def restart_judge(self) -> None:
        self.watch.counters = Counters.from_state(self.watch.counters.state())

    @rule()
    def judge(self) -> None:
        failing = [side for side in self.watch.sidecars if side.labels["instance"] in self.failing]
        self.failing.clear()
        gains = self.watch.step(*failing)
        expected: dict[str, Counter[bool]] = {BASELINE: Counter(), CANARY: Counter()}
        for side in self.watch.sidecars:
            if side not in failing:
                self._expect(side.labels["instance"], expected)
        for counts, version in ((gains.canary, CANARY), (gains.baseline, BASELINE)):
            found = expected[version]
            wanted = (float(found[False]), float(found[True]))
            assert counts.get("requests", (0.0, 0.0)) == wanted

    def _expect(self, page: str, expected: dict[str, Counter[bool]]) -> None:
        lives = self.lives[page]
        life, count = self.seen.get(page, (None, 0))
        self.seen[page] = len(lives) - 1, len(lives[-1])
        if life is None:
            return
        before, now = Counter(lives[life][:count]), Counter(lives[-1])
        for version, found in expected.items():
            own = [(version, failed) for failed in (False, True)]
            anew = any(now[key] < before[key] for key in own) or _slower(before, now, version)
            for key in own:
                found[key[1]] += now[key] - (0 if anew else before[key])

    @invariant()
    def resets_are_no_more_than_restarts(self) -> None:
        restarts = sum(len(lives) - 1 for lives in self.lives.values())
        assert self.watch.counters.resets <= 2 * restarts


def _slower(before: Counter[tuple[str, bool]], now: Counter[tuple[str, bool]], version: str) -> bool:
    """Whether the number of all requests of a version, a bucket of its latency, fell."""
    own = [(version, failed) for failed in (False, True)]
    return sum(now[key] for key in own) < sum(before[key] for key in own)


TestReplay = Replay.TestCase


def test_state_goes_on_bit_for_bit() -> None:
    watch, other = Watch.of(3), Watch.of(3)
    chance = random.Random(5)
    for i in range(12):
        for one, two in zip(watch.sidecars, other.sidecars, strict=True):
            n, value = chance.randrange(50), chance.random()
            for side in (one, two):
                side.requests(CANARY, n, n // 3)
                side.loss(BASELINE, value, n)
                side.loss(CANARY, value, n)
                side.feature(BASELINE, f"f{i}", "+Inf", n)
        other.counters = Counters.from_state(other.counters.state())
        assert watch.step() == other.step()
        assert watch.counters.state() == other.counters.state()


@pytest.mark.parametrize("data", [b"", b"\x93\x00", b"\xff" * 40])
def test_state_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="saved counters"):
        Counters.from_state(data)


def wide_reading(at: float, models: int, step: int) -> Reading:
    """Models with two versions, 30 features of 22 bins and about 240 other series each, on one page."""
    found = []
    for m in range(models):
        place = {"instance": "pod-0:10877", "job": "mlcanary", "model": f"model-{m}"}
        for version, role in ((BASELINE, "baseline"), (CANARY, "canary")):
            own = {**place, "version": version}
            found.append(Sample(read.INFO, {**own, "role": role}, 1.0))
            found += [
                Sample(read.BINS, {"bin": str(b) if b < 21 else "+Inf", "feature": f"f{f}", **own}, 10.0 * step)
                for f in range(30)
                for b in range(22)
            ]
            found += [
                Sample(read.SCORES, {"actual": actual, "bin": str(b), **own}, 3.0 * step)
                for actual in ("positive", "negative")
                for b in range(104)
            ]
            found += [Sample(read.LATENCY, {"le": str(b), **own}, 10.0 * b * step) for b in range(14)]
            found.append(Sample(read.PREDICTIONS, {"predicted": "1", **own}, 220.0 * step))
            found += [
                Sample(f"mlcanary_log_loss{part}", own, 1.5 * step) for part in ("_count", "_sum", "_squares_total")
            ]
    spelled = [msgspec.json.encode({"__name__": x.name, **x.labels}) for x in found]
    return Reading(at, [Sample(x.name, x.labels, x.value, key) for x, key in zip(found, spelled, strict=True)])


def test_twenty_five_wide_models_take_a_quarter_of_a_second_and_a_half() -> None:
    counters = Counters()
    took = []
    for step in range(4):
        reading = wide_reading(30.0 * step, 25, step)
        arms = find_arms(reading)
        begun = time.process_time()
        gains = counters.take(reading, arms)
        took.append(time.process_time() - begun)
        assert len(gains) == 25
        assert len(gains[0].canary) == (34 if step else 0)
    assert min(took[2:]) < 1.5 / 4, took
