"""The watch on the baseline: shared causes are named, healthy days and faults of the canary alone are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mlcanary.catalog import Gate, Verdict
from mlcanary.judge import snapshots
from mlcanary.judge.canary import Canary
from mlcanary.judge.contract import CanaryKey, Counts, Plan, Step, Structure
from mlcanary.judge.gates.baseline_watch import LASTING, BaselineWatch
from sim.bars import SEED

STEP = 30.0
CLASSES = ("no", "yes", "other")
EDGES = ("0.05", "0.1", "0.2", "0.5", "+Inf")
HISTORY = {
    "requests": Structure(("answered", "failed"), (198_000.0, 2_000.0)),
    "latency": Structure(EDGES, (100_000.0, 60_000.0, 30_000.0, 9_000.0, 1_000.0)),
    "confusion": Structure(CLASSES, (80_000.0, 10_000.0, 0, 0, 10_000.0, 100_000.0, 0, 0, 0, 0, 0, 0)),
    "log_loss": Structure((), (200_000.0, 80_000.0, 64_000.0)),
    "mature": Structure((), (200_000.0, 20_000.0, 4_000.0, 4_000.0, 8_000.0, 80_000.0)),
    "coverage": Structure(("decided", "labelled"), (200_000.0, 180_000.0)),
    "feature/age": Structure(("<= 30", "> 30", "missing"), (99_000.0, 99_000.0, 2_000.0), "numeric"),
}
USUAL = {
    "failed": 0.01,
    "latency": (0.5, 0.3, 0.15, 0.045, 0.005),
    "wrong": 0.1,
    "loss": 0.4,
    "click": 0.1,
    "label": 0.9,
    "missing": 0.01,
}


def counts(rng: np.random.Generator, n: int, **changes: object) -> Counts:
    """What one arm gains in a step of n requests."""
    now = {**USUAL, **changes}
    failed = int(rng.binomial(n, float(now["failed"])))  # type: ignore[arg-type]  # shares, but for the latency
    labels = int(rng.binomial(n, float(now["label"])))  # type: ignore[arg-type]
    wrong = int(rng.binomial(labels, float(now["wrong"])))  # type: ignore[arg-type]
    losses = rng.exponential(float(now["loss"]), size=labels)  # type: ignore[arg-type]
    clicks = int(rng.binomial(n, float(now["click"])))  # type: ignore[arg-type]
    bought = int(rng.binomial(clicks, 0.2))
    missing = int(rng.binomial(n, float(now["missing"])))  # type: ignore[arg-type]
    return {
        "requests": (float(n - failed), float(failed)),
        "latency": tuple(rng.multinomial(n, now["latency"]).astype(float).tolist()),  # type: ignore[arg-type]
        "confusion": (labels - wrong, wrong, 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        "log_loss": (float(labels), float(losses.sum()), float((losses**2).sum())),
        "mature": (float(n), float(clicks), float(bought), float(bought), 2.0 * bought, 20.0 * bought),
        "coverage": (float(n), float(labels)),
        "feature/age": (float((n - missing) // 2), float(n - missing - (n - missing) // 2), float(missing)),
    }


def story(
    parts: list[tuple[int, dict[str, object], dict[str, object]]],
    rate: Callable[[float], float] = lambda _: 300.0,
    born: dict[str, Structure] = HISTORY,
) -> Iterator[tuple[int, Step]]:
    """Steps of a story: number of steps, then what changes at the canary, at the baseline; part and step."""
    rng, end = np.random.default_rng(SEED), 0.0
    for number, (length, canary, baseline) in enumerate(parts):
        for _ in range(length):
            arms = [
                counts(rng, int(rng.poisson(rate(end) * share)), **changes)
                for share, changes in ((0.1, canary), (0.9, baseline))
            ]
            end += STEP
            yield number, Step(end - STEP, end, arms[0], arms[1], born if end == STEP else {})


FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "a dependency that refuses": ({"failed": 0.08}, "failed requests"),
    "a slow dependency": ({"latency": (0.3, 0.3, 0.2, 0.15, 0.05)}, "slow requests"),
    "upstream nulls": ({"missing": 0.3}, "feature age missing"),
    "nulls that cost quality": ({"missing": 0.3, "wrong": 0.25, "loss": 0.9}, "wrong predictions"),
    "a season": ({"click": 0.06}, "CTR"),
    "a label outage": ({"label": 0.3}, "label coverage"),
    "worse probabilities": ({"loss": 0.8}, "log loss"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_shared_cause_is_named_and_forgotten_when_it_is_over(fault: str) -> None:
    change, words = FAULTS[fault]
    watch, told = BaselineWatch(), {0: 0, 1: 0, 2: 0}
    named: set[str] = set()
    for part, step in story([(60, {}, {}), (40, change, change), (100, {}, {})]):
        watch.update(step)
        found = watch.degraded()
        told[part] += bool(found)
        named |= {text for text in found if text.startswith(words)}
        if step.end == STEP * (60 + 10):
            assert any(text.startswith(words) for text in found), "five minutes should do"
    assert told[0] == 0
    assert told[1] >= 30
    assert named
    assert watch.degraded() == ()


@pytest.mark.parametrize("fault", ["nulls that cost quality", "a season", "a label outage"])
def test_a_shared_cause_is_the_reason_of_the_verdict_and_no_rollback(fault: str) -> None:
    change, words = FAULTS[fault]
    canary = Canary(CanaryKey("", "", "churn", "v2", "v1", -STEP), Plan(warm_up=0.0))
    for _, step in story([(10, {}, {}), (15, change, change)]):
        canary.advance(step)
        assert canary.assess().verdict is Verdict.HOLD
    found = canary.assess()
    causes = [gate.why for gate in found.gates if gate.gate is Gate.SHARED_CAUSE]
    assert found.reason == Gate.SHARED_CAUSE
    assert words in causes[0]
    assert words in found.text


def test_what_lasts_is_the_new_past_and_what_comes_on_top_of_it_is_told() -> None:
    watch, told = BaselineWatch(), [0, 0]
    drifted: dict[str, object] = {"wrong": 0.15}
    for part, step in story([(1000, drifted, drifted), (20, drifted, {"wrong": 0.25})]):
        watch.update(step)
        told[part] += bool(watch.degraded())
    assert LASTING / STEP - 5 <= told[0] <= LASTING / STEP + 30
    assert told[1] >= 15


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_canary_alone_is_no_shared_cause(fault: str) -> None:
    watch = BaselineWatch()
    for _, step in story([(20, {}, {}), (100, FAULTS[fault][0], {})]):
        watch.update(step)
        assert watch.degraded() == ()


@pytest.mark.parametrize("rate", [20.0, 300.0])
def test_healthy_traffic_that_swells_and_ebbs_is_hardly_told(rate: float) -> None:
    watch, told = BaselineWatch(), 0
    for _, step in story([(1440, {}, {})], lambda end: rate * (1 + 0.2 * np.sin(2 * np.pi * end / 43200))):
        watch.update(step)
        told += bool(watch.degraded())
    assert told <= 0.01 * 1440


def test_without_a_past_the_first_ones_judged_are_the_past() -> None:
    new = {name: Structure(s.cells, tuple(0.0 for _ in s.history), s.kind) for name, s in HISTORY.items()}
    watch = BaselineWatch()
    for part, step in story([(40, {}, {}), (20, {"failed": 0.2}, {"failed": 0.2, "missing": 0.3})], born=new):
        watch.update(step)
        if part == 0:
            assert watch.degraded() == ()
    late = watch.degraded()
    assert [text[:11] for text in late] == ["failed requ", "feature age"]


def test_margins_of_the_plan_count_and_relative_ones_are_parts_of_the_past() -> None:
    for margin, told in ((0.5, False), (0.3, True)):
        watch = BaselineWatch({"ctr": margin})
        for _, step in story([(20, {}, {"click": 0.06})]):
            watch.update(step)
        assert any(text.startswith("CTR") for text in watch.degraded()) is told


def test_few_observations_say_nothing() -> None:
    watch = BaselineWatch()
    for i, failed in enumerate((100.0, 99.0)):
        step = Step(STEP * i, STEP * i + STEP, {}, {"requests": (0.0, failed)}, HISTORY if i == 0 else {})
        watch.update(step)
        assert watch.degraded() == ()
    watch.update(Step(60.0, 90.0, {}, {"requests": (0.0, 1.0)}))
    assert watch.degraded() == ("failed requests 100.00 %, before 1.00 %",)


def test_a_restored_watch_goes_on_with_the_same_words() -> None:
    steps = [step for _, step in story([(20, {}, {}), (20, {"failed": 0.2}, {"failed": 0.2})])]
    one, other = BaselineWatch(), BaselineWatch()
    for i, step in enumerate(steps):
        one.update(step)
        if i == 25:
            snapshots.load({"watch": other}, snapshots.saved({"watch": one}))
        elif i > 25:
            other.update(step)
    assert one.degraded() == other.degraded() != ()
    assert snapshots.saved({"watch": one}) == snapshots.saved({"watch": other})
