"""The long form: `python tests/handler/invariants/run_invariants.py --steps 100000 --seed 1`.

Prints the seed, the steps, how often each rule ran and each fault struck, and which moves of the state machines were
taken. A counterexample is printed with the seed of its part, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]  # where pytest looks for `handler` and `handler_world`

# ruff: noqa: E402
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from handler.invariants.checks import NAMES
from handler.invariants.ledger_watch import MOVES
from handler.invariants.machine import CHECKED, EVENTS, STEPS, HandlerMachine
from mlcanary.handler.core.machines import MACHINES

PART = 100
"""Examples of one seed."""
LENGTH = 60
"""Steps of an example."""


def part(
    number: int, examples: int = PART, *, shrink: bool = False, machine: type[HandlerMachine] = HandlerMachine
) -> None:
    """Run the examples of one seed. Raises AssertionError with the invariant that does not hold."""
    seeded = seed(number)(type(machine.__name__, (machine,), {}))
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=examples,
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def report(first: int, last: int, seconds: float) -> None:
    """What was covered."""
    print(
        f"seeds {first} to {last}, {STEPS['steps']} steps in {seconds:.0f} s ({STEPS['steps'] / seconds:.0f} a second)"
    )
    print("\nheld against (times):")
    for number, name in NAMES.items():
        print(f"  {number:2} {name}: {CHECKED[number] or STEPS['steps']}")
    print("\nrules:")
    for rule, count in sorted(STEPS.items()):
        print(f"  {rule}: {count}")
    print("\nfaults and calls:")
    for event, count in sorted(EVENTS.items()):
        print(f"  {event}: {count}")
    print("\nmoves:")
    for machine in MACHINES:
        for move in machine.moves:
            taken = MOVES[machine.name, str(move.source), str(move.to)]
            print(f"  {machine.name}: {move.source or 'nothing'} -> {move.to}: {taken or 'NOT TAKEN'} ({move.event})")


def main() -> int:
    """Run until so many steps are done."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--shrink", action="store_true", help="look for the shortest counterexample")
    chosen = options.parse_args()
    began, number = time.monotonic(), chosen.seed
    print(f"seed {chosen.seed}", flush=True)
    while STEPS["steps"] < chosen.steps:
        try:
            part(number, shrink=chosen.shrink)
        except AssertionError as error:
            report(chosen.seed, number, time.monotonic() - began)
            print(f"\ncounterexample, seed {number}: {error}")
            print("\n".join(getattr(error, "__notes__", [])))
            return 1
        number += 1
        if (number - chosen.seed) % 5 == 0:
            print(f"{STEPS['steps']} steps, {time.monotonic() - began:.0f} s", flush=True)
    report(chosen.seed, number - 1, time.monotonic() - began)
    print("\n0 counterexamples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
