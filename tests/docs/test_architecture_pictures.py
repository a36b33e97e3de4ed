"""The state machines in ARCHITECTURE.md are those of the code. `UPDATE_GOLDEN=1` draws them again."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlcanary.handler.core.machines import MACHINES, NEW, RELEASE, RELEASE_OF_INCIDENT, Machine, ReleaseState

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
PLACE = re.compile(r"<!-- machines -->\n.*?<!-- /machines -->", re.DOTALL)


def drawn() -> str:
    pictures = [f"### {machine.name.capitalize()}\n\n```mermaid\n{machine.picture()}\n```" for machine in MACHINES]
    return "<!-- machines -->\n" + "\n\n".join(pictures) + "\n<!-- /machines -->"


def test_the_pictures_are_drawn_from_the_tables() -> None:
    text = PAGE.read_text()
    if os.environ.get("UPDATE_GOLDEN"):
        text = PLACE.sub(lambda _found: drawn(), text)
        PAGE.write_text(text)
    found = PLACE.search(text)
    assert found is not None
    assert found.group() == drawn()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_can_be_reached_and_leads_to_an_end(machine: Machine) -> None:
    states = {move.to for move in machine.moves}
    assert machine.reaches(NEW) == states
    for state in machine.open_states():
        assert machine.reaches(state) & machine.final_states(), state


def test_every_state_with_traffic_has_a_way_back_or_to_a_person() -> None:
    for state in (ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK, ReleaseState.ROLLING_BACK):
        assert {ReleaseState.ROLLED_BACK, ReleaseState.STUCK} <= RELEASE.reaches(state), state
    for state in (ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK):
        assert RELEASE.allows(state, ReleaseState.ROLLING_BACK), state
    assert set(RELEASE_OF_INCIDENT.values()) <= set(ReleaseState)
