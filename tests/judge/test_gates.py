"""Gates: each is closed by its cause alone, says why, and opens again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mlcanary.catalog import Gate
from mlcanary.judge import snapshots
from mlcanary.judge.contract import Counts, Facts, Plan, Step, Structure
from mlcanary.judge.gates.gates import SPLIT_GRACE, Gates
from sim.bars import SEED, Rate

STEP = 30.0
PLAN = Plan()


Part = tuple[int, Counts, Counts, Facts]


def steps(parts: list[Part], seed: int = SEED) -> Iterator[Step]:
    """Steps with Poisson counts about the means given for each arm; labels are a part of what is decided."""
    rng, end = np.random.default_rng(seed), 0.0
    for length, canary, baseline, facts in parts:
        for _ in range(length):
            end += STEP
            arms = [{name: drawn(rng, name, means) for name, means in arm.items()} for arm in (canary, baseline)]
            yield Step(end - STEP, end, arms[0], arms[1], facts=facts)


def drawn(rng: np.random.Generator, name: str, means: tuple[float, ...]) -> tuple[float, ...]:
    """Counts about their means."""
    if name == "coverage":
        decided = int(rng.poisson(means[0]))
        return float(decided), float(rng.binomial(decided, means[1]))
    return tuple(float(n) for n in rng.poisson(means))


def closed(gates: Gates, plan: Plan = PLAN) -> list[Gate]:
    """Names of the gates in force."""
    return [found.gate for found in gates.current(plan)]


def why(gates: Gates, gate: Gate) -> str:
    """What a gate says."""
    return next(found.why for found in gates.current(PLAN) if found.gate is gate)


def after(story: Iterator[Step]) -> Gates:
    """The gates after all steps."""
    gates = Gates()
    for step in story:
        gates.update(step, {})
    return gates


def one(facts: Facts) -> Step:
    """A step without counts."""
    return Step(0.0, STEP, {}, {}, facts=facts)


@pytest.mark.parametrize(
    ("facts", "gate", "words"),
    [
        (Facts(sources_broken=("a", "b", "c", "d")), Gate.SOURCE_BROKEN, "cannot be read: a; b; c; and 1 more."),
        (Facts(conflict="v2 is canary and baseline"), Gate.ROLE_CONFLICT, "v2 is canary and baseline."),
        (Facts(edges_mismatch=True), Gate.EDGES_MISMATCH, "different bins"),
    ],
)
def test_facts_of_the_newest_step_close_a_gate_while_they_last(facts: Facts, gate: Gate, words: str) -> None:
    gates = Gates()
    gates.update(one(facts), {})
    assert closed(gates) == [gate]
    assert words in why(gates, gate)
    gates.update(one(Facts()), {})
    assert closed(gates) == []


def test_gates_come_in_their_order() -> None:
    gates = Gates()
    gates.update(one(Facts(("log",), "two baselines", edges_mismatch=True)), {"errors": 9.0})
    expected = [Gate.SOURCE_BROKEN, Gate.ROLE_CONFLICT, Gate.EDGES_MISMATCH, Gate.DESIGN_EFFECT]
    assert closed(gates) == expected == sorted(expected, key=list(Gate).index)


def test_counts_of_steps_that_are_not_trusted_are_left_out() -> None:
    parts: list[Part] = [
        (50, {"requests": (50.0, 0.0)}, {"requests": (50.0, 0.0)}, Facts(("log",), expected_share=0.05))
    ]
    gates = after(steps(parts))
    assert closed(gates) == [Gate.SOURCE_BROKEN]
    assert gates.split.steps == 0


def test_the_limit_of_the_design_effect_is_that_of_the_plan() -> None:
    gates = Gates()
    gates.update(one(Facts()), {"errors": 1.0, "ctr": 3.2})
    assert closed(gates) == [Gate.DESIGN_EFFECT]
    assert why(gates, Gate.DESIGN_EFFECT).endswith("over 3: ctr 3.2.")
    assert closed(gates, Plan(design_effect_limit=4.0)) == []


@pytest.mark.parametrize(("passed", "shut"), [(None, True), (False, True), (True, False)])
def test_an_a_a_run_that_was_asked_for_must_have_passed(passed: bool | None, shut: bool) -> None:
    gates = Gates()
    gates.update(one(Facts(aa_passed=passed)), {})
    assert closed(gates, Plan(aa_period=86400.0)) == ([Gate.AA_NOT_PASSED] if shut else [])
    assert closed(gates) == []


def split(canary: float, baseline: float, expected: float | None, length: int = 120) -> Part:
    """A part of a story: requests per step of both arms."""
    return length, {"requests": (canary, 0.0)}, {"requests": (baseline, 0.0)}, Facts(expected_share=expected)


def test_a_split_as_configured_is_open_and_a_skewed_one_is_not() -> None:
    assert closed(after(steps([split(10, 190, 0.05)]))) == []
    gates = after(steps([split(16, 184, 0.05)]))
    assert closed(gates) == [Gate.SPLIT_MISMATCH]
    assert "should get 5.00 %." in why(gates, Gate.SPLIT_MISMATCH)


def test_a_healthy_split_is_hardly_ever_accused() -> None:
    plan, alarms = Plan(split_alpha=0.05), 0
    for seed in range(25):
        gates, fired = Gates(), False
        for step in steps([split(10, 190, 0.05, 40)], seed):
            gates.update(step, {})
            fired |= Gate.SPLIT_MISMATCH in closed(gates, plan)
        alarms += fired
    assert Rate("traffic split", alarms, 25, 0.05).held


def test_without_a_configured_share_there_is_no_mismatch() -> None:
    assert closed(after(steps([split(100, 100, None)]))) == []


def test_a_deviation_that_nobody_minds_is_no_mismatch_however_sure() -> None:
    gates = after(steps([split(5.2e5, 9.48e6, 0.05, 40)]))
    assert gates.split.log_e() > 100.0
    assert closed(gates) == []


def test_a_ramp_begins_the_check_anew_and_leaves_routers_time() -> None:
    """Routers follow the configuration three steps late."""
    ramp = []
    for before, share in ((0.01, 0.01), (0.01, 0.05), (0.05, 0.25), (0.25, 0.50)):
        ramp += [
            split(2000 * before, 2000 * (1 - before), share, 3),
            split(2000 * share, 2000 * (1 - share), share, 40),
        ]
    gates = Gates()
    for step in steps(ramp):
        gates.update(step, {})
        assert closed(gates) == []
    assert gates.split.steps == 43 - SPLIT_GRACE / STEP


def test_a_split_that_was_repaired_opens_the_gate_within_the_hour() -> None:
    gates = after(steps([split(32, 168, 0.05), split(100, 1900, 0.05, 140)]))
    assert closed(gates) == []
    assert gates.split.log_e() > 0


def labels(canary: float, baseline: float, length: int = 60) -> Part:
    """A part of a story: label coverage of both arms."""
    return length, {"coverage": (20.0, canary)}, {"coverage": (180.0, baseline)}, Facts()


def test_labels_that_come_alike_leave_the_gate_open() -> None:
    for coverage in (0.6, 0.9, 0.99):
        assert closed(after(steps([labels(coverage, coverage, 200)]))) == []


def test_alike_labels_are_hardly_ever_accused() -> None:
    alarms = 0
    for seed in range(10):
        gates, fired = Gates(), False
        for step in steps([labels(0.8, 0.8, 60)], seed):
            gates.update(step, {})
            fired |= bool(gates.current(PLAN))
        alarms += fired
    assert Rate("label coverage", alarms, 10, 0.001).held


@pytest.mark.parametrize(("canary", "baseline"), [(0.7, 0.9), (0.9, 0.7)])
def test_labels_that_come_to_one_arm_more_often_close_it(canary: float, baseline: float) -> None:
    gates = after(steps([labels(canary, baseline)]))
    assert closed(gates) == [Gate.LABEL_COVERAGE]
    assert "so their labels cannot be compared. Only evidence from labels is suspended." in why(
        gates, Gate.LABEL_COVERAGE
    )


def test_a_label_outage_of_both_arms_closes_it_until_labels_come_again() -> None:
    gates = after(steps([labels(0.9, 0.9), labels(0.1, 0.1)]))
    assert Gate.LABEL_COVERAGE in closed(gates)
    assert "50.00 % are asked" in why(gates, Gate.LABEL_COVERAGE)
    assert "label coverage" in why(gates, Gate.SHARED_CAUSE)
    assert closed(after(steps([labels(0.9, 0.9), labels(0.1, 0.1), labels(0.9, 0.9, 80)]))) == []


def test_few_decided_predictions_say_nothing_of_coverage() -> None:
    few: Part = (50, {"coverage": (0.5, 0.3)}, {"coverage": (3.0, 0.3)}, Facts())
    assert closed(after(steps([few]))) == []


def test_the_baseline_is_watched_with_the_margins_of_the_plan() -> None:
    for margin, shut in ((0.5, []), (0.01, [Gate.SHARED_CAUSE])):
        gates = Gates({"errors": margin})
        born = {"requests": Structure(("answered", "failed"), (9_900.0, 100.0))}
        for i in range(20):
            step = Step(STEP * i, STEP * i + STEP, {}, {"requests": (70.0, 30.0)}, born if i == 0 else {})
            gates.update(step, {})
        assert closed(gates) == shut


def test_restored_gates_go_on_with_the_same_bits() -> None:
    first, second = Gates(), Gates()
    parts = [
        (length, {**a, **c}, {**b, **d}, facts)
        for (length, a, b, facts), (_, c, d, _) in zip(
            [split(10, 190, 0.05, 50), split(16, 184, 0.05, 50)], [labels(0.8, 0.8), labels(0.6, 0.8)], strict=True
        )
    ]
    for i, step in enumerate(steps(parts)):
        first.update(step, {"errors": 1.5})
        if i == 60:
            snapshots.load({"gates": second}, snapshots.saved({"gates": first}))
        elif i > 60:
            second.update(step, {"errors": 1.5})
    assert snapshots.saved({"gates": first}) == snapshots.saved({"gates": second})
    assert first.current(PLAN) == second.current(PLAN) != ()
