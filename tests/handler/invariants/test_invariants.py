"""The invariants of recovery.md 5, one property test each, over the real handler in a world of faults.

Each test runs the same rules with seeds of its own and holds one invariant. `run_invariants.py` is the long form, which
holds all of them at once.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from handler.invariants.checks import NAMES
from handler.invariants.machine import CHECKED, STEPS, HandlerMachine
from mlcanary.handler.core.machines import INCIDENT, OPEN_INCIDENTS, OPEN_RELEASES, RELEASE

EXAMPLES, LENGTH = 5, 40
_MOST_PARTS = 8
SEED = 20260101
SCENES: dict[int, tuple[tuple[str, ...], ...]] = {
    3: (("capacity",),),
    6: (("react",), ("react", "react", "react", "react")),
    7: (("drive",),),
    13: (("observe", "react"),),
}
"""Where an invariant needs a target of a kind."""


def hold(number: int, start: int) -> None:
    """Run the rules and hold one invariant, and that the process never ends by itself."""
    held = {
        "numbers": frozenset({0, number}),
        "drains": number == 10,
        "scenes": SCENES.get(number, HandlerMachine.scenes),
    }
    print(f"seed {start}")
    run_state_machine_as_test(
        seed(start)(type(f"Invariant{number:02}", (HandlerMachine,), held)),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("number", [n for n in NAMES if n > 0], ids=lambda n: f"{n:02}_{NAMES[n].replace(' ', '_')}")
def test_invariant(number: int) -> None:
    steps, checked = STEPS["steps"], CHECKED[number]
    for part in range(_MOST_PARTS):
        hold(number, SEED + number + 100 * part)
        if CHECKED[number] > checked:  # something happened that the invariant is about
            break
    assert CHECKED[number] > checked
    assert STEPS["steps"] - steps > 100


@pytest.mark.parametrize("state", OPEN_RELEASES)
def test_every_state_of_a_release_with_traffic_leads_to_a_rollback_or_to_a_person(state: str) -> None:
    assert {"rolled_back", "stuck"} & RELEASE.reaches(state) or state == "staged"


@pytest.mark.parametrize("state", OPEN_INCIDENTS)
def test_every_open_incident_can_end(state: str) -> None:
    assert INCIDENT.reaches(state) & INCIDENT.final_states()
