"""Gains against plain event lists: splits, restarts, scrapes that fail or come twice, pages that come late or leave."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from judge_world import ARMS, BASELINE, CANARY, Sidecar, Watch
from mlcanary.errors import StateError
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.counters import KEPT, ArmGains, Counters
from mlcanary.judge.intake.reading import Reading, Sample
from mlcanary.judge.intake.roles import find_arms
from work import calls


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
    watch.sidecars[0].labeled(BASELINE, "1", "1", 200)
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
    side.business(BASELINE, CANARY)
    side.add(read.MATURE, 200, version=BASELINE)
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


SPLITS = (1, 7, 50)


def stream(pages: int, seed: int) -> list[ArmGains]:
    """Gains of one stream of events, each event on the page that chance gives it."""
    events, places = random.Random(seed), random.Random(seed * 100 + pages)
    watch = Watch.of(pages)
    watch.sidecars[0].requests(BASELINE, 200, 0)
    watch.sidecars[-1].labeled(BASELINE, "1", "1", 200)
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
            found += [Sample(read.LATENCY, {"le": str(b), **own}, 20.0 * b * (step + 1)) for b in range(14)]
            found.append(Sample(read.PREDICTIONS, {"predicted": "1", **own}, 220.0 * step))
            found += [
                Sample(f"mlcanary_log_loss{part}", own, 1.5 * step) for part in ("_count", "_sum", "_squares_total")
            ]
    spelled = [msgspec.json.encode({"__name__": x.name, **x.labels}) for x in found]
    return Reading(at, [Sample(x.name, x.labels, x.value, key) for x, key in zip(found, spelled, strict=True)])


def test_the_cost_of_wide_models_grows_with_their_number_alone() -> None:
    costs = []
    for models in (5, 25):
        counters = Counters()
        for step in range(3):
            reading = wide_reading(30.0 * step, models, step)
            gains, cost = calls(counters.take, reading, find_arms(reading))
            assert len(gains) == models
            assert len(gains[0].canary) == (34 if step else 0)
        costs.append(cost)
    few, many = costs
    assert many < 5.5 * few
