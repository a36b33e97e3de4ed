"""A hundred decisions of the judge itself: each record recomputes to the same bits, whatever was released."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from judge_arms import CELLS, KEY, MARGINS_OF_PLAN, Arm, Release, plan
from mlcanary.catalog import Verdict
from mlcanary.judge.canary import Canary, fold
from mlcanary.judge.contract import Assessment, Facts, Plan, Step
from mlcanary.judge.records import build_record, explain, read_record, record_hash

RELEASES = 40
"""Each of them gives two decisions or more: its first verdict, every change of it, and the last one."""


def release(seed: int) -> tuple[Plan, list[Step]]:
    """A release of any kind: healthy or broken, ramped, of some inputs, with a source that is broken for a while."""
    rng = np.random.default_rng(seed)
    worse = rng.random(6) < 0.2
    bad = Arm(
        errors=0.05 if worse[0] else 0.01,
        latency=0.08 if worse[1] else 0.05,
        separation=0.7 if worse[2] else 1.2,
        ctr=0.07 if worse[3] else 0.1,
        shift=(0.5 if worse[4] else 0.0, 0.0, 0.0),
        missing=(0.01, 0.06 if worse[5] else 0.01, 0.01),
    )
    ramp, broken = float(rng.uniform(0.02, 0.5)), int(rng.integers(2, 8))
    drawn = Release(
        seed,
        canary=lambda _t: bad,
        share=lambda t: ramp if t > 200.0 else ramp / 4,
        rate=lambda _t: float(rng.uniform(20.0, 60.0)),
        interval=120.0,
        facts=lambda t: Facts(sources_broken=("b",) if t == 120.0 * broken else ()),
    )
    judged_by = plan(
        alpha=float(rng.choice([0.01, 0.05])),
        warm_up=float(rng.choice([0.0, 240.0])),
        min_age=float(rng.choice([300.0, 3600.0])),
        margins={**MARGINS_OF_PLAN, "accuracy": 0.06},
        tolerances={"errors": 0.002} if rng.random() < 0.5 else {},
    )
    inputs = {"requests", "confusion", *rng.choice(sorted(CELLS), 2, replace=False)}
    return judged_by, [_of(inputs, step) for step in drawn.steps(120.0 * int(rng.integers(5, 9)))]


def _of(inputs: set[str], step: Step) -> Step:
    """A step with some inputs only: not every model has all of them."""
    canary, baseline = ({k: v for k, v in arm.items() if k in inputs} for arm in (step.canary, step.baseline))
    born = {name: structure for name, structure in step.born.items() if name in inputs}
    return msgspec.structs.replace(step, canary=canary, baseline=baseline, born=born)


def decisions(judged_by: Plan, steps: list[Step]) -> list[tuple[int, Assessment]]:
    """What is said when the verdict changes, and at the end, with the number of steps until then."""
    canary, found, last = Canary(KEY, judged_by), [], None
    for number, step in enumerate(steps, start=1):
        canary.advance(step)
        said = canary.assess()
        if said.verdict is not last or number == len(steps):
            found.append((number, said))
        last = said.verdict
    return found


@pytest.mark.timeout(120)
def test_a_hundred_decisions_of_the_judge_recompute_bit_for_bit() -> None:
    seen: list[Verdict] = []
    previous = ""
    for seed in range(RELEASES):
        judged_by, steps = release(seed)
        for number, said in decisions(judged_by, steps):
            record = build_record(KEY, judged_by, steps[:number], said, "0.1.0", previous)
            found = explain(read_record(record), fold)
            assert found.differences == []
            assert msgspec.json.encode(found.recomputed) == msgspec.json.encode(said)
            previous = record_hash(record)
            seen.append(said.verdict)
    assert len(seen) >= 100
    assert {Verdict.ROLLBACK, Verdict.HOLD, Verdict.PROMOTE} <= set(seen)


def test_one_count_more_gives_another_evidence() -> None:
    judged_by, steps = release(1)
    _, said = decisions(judged_by, steps)[-1]
    answered, failed = steps[-1].canary["requests"]
    changed = msgspec.structs.replace(steps[-1], canary={**steps[-1].canary, "requests": (answered + 1.0, failed)})
    record = build_record(KEY, judged_by, [*steps[:-1], changed], said, "0.1.0", "")
    found = explain(read_record(record), fold)
    assert not found.equal
    assert any(difference.startswith("measures.errors.") for difference in found.differences)
