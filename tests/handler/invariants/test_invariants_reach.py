"""Short stories to moves of the state machines that chance takes seldom: the rules reach them, and all holds there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from handler.invariants.ledger_watch import MOVES
from handler.invariants.machine import HandlerMachine
from handler.invariants.memory_router import Answer
from mlcanary.handler.core.releases import OrderKind

Story = Callable[[HandlerMachine], None]


def accuse(m: HandlerMachine, then: str = "") -> None:
    m.accuse(number=0, kind=("accuracy", "5m"), repeats=1, answer=Answer.OK, share=10, then=then)


def release(m: HandlerMachine, looks: int, answer: Answer = Answer.OK) -> None:
    m.release(number=0, then="")
    m.release_goes_well(number=0, answer=answer, looks=looks, then="")


def approved(m: HandlerMachine) -> None:
    accuse(m, then="approve")
    m.time_passes(35.0)


def held_at_full_traffic(m: HandlerMachine) -> None:
    release(m, 3)
    m.time_passes(12.0)
    m.breaks(number=0, what="source")
    m.time_passes(12.0)
    m.all_is_well(number=0)
    m.time_passes(35.0)


def fought_over_while_held(m: HandlerMachine) -> None:
    release(m, 1)
    m.time_passes(6.0)
    m.breaks(number=0, what="roles")
    m.time_passes(12.0)
    for _ in range(4):
        m.other_writer(number=0, good=37, bad=100)
        m.time_passes(12.0)


def not_cured_by_the_rollback(m: HandlerMachine) -> None:
    release(m, 2)
    m.time_passes(6.0)
    m.accuse(number=0, kind=("verdict", "judge"), repeats=1, answer=Answer.OK, share=10, then="good falls")


def withdrawn_before_it_had_traffic(m: HandlerMachine) -> None:
    m.other_writer(number=0, good=100, bad=0)
    m.give(0, OrderKind.SUBMIT)
    for _ in range(3):
        m.next_write_meets(Answer.REFUSE, 60.0)
    m.time_passes(2.0)
    m.order(what="withdraw", number=0, actor="p", wait=6.0)


@pytest.mark.parametrize(
    ("scene", "story", "move"),
    [
        ("approval", approved, ("incident", "awaiting_approval", "acting")),
        ("drive", held_at_full_traffic, ("release", "hold", "soak")),
        ("drive", fought_over_while_held, ("release", "hold", "stuck")),
        ("drive", not_cured_by_the_rollback, ("release", "verifying", "ineffective")),
        ("drive", withdrawn_before_it_had_traffic, ("release", "hold", "withdrawn")),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_move_that_is_seldom_is_reached(scene: str, story: Story, move: tuple[str, str, str]) -> None:
    machine = type("Told", (HandlerMachine,), {"scenes": ((scene,),)})()
    machine.begin(scene=0, readable=True)
    before = MOVES[move]
    story(machine)
    machine.holds()
    machine.teardown()
    assert MOVES[move] > before
