"""What may follow at once on a write: short ways to states that chance alone reaches too seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.invariants.world import BAD, GOOD
from mlcanary.handler.core.releases import OrderKind
from mlcanary.handler.targets.contract import State

if TYPE_CHECKING:
    from handler.invariants.machine import HandlerMachine


def follow(machine: HandlerMachine, number: int, what: str) -> None:
    """Let it happen around a target."""
    world, name = machine.w, machine.name(number)
    truth = machine.truth(number)
    match what:
        case "approve":
            waiting = [i for i in world.checks.open_incidents() if i.target == name]
            world.run(0.0)
            waiting = [i for i in world.checks.open_incidents() if i.target == name] or waiting
            machine.give(number, OrderKind.APPROVE, plan=waiting[0].plan if waiting else "", actor="q")
        case "withdraw" | "rollback":
            machine.give(number, OrderKind(what))
        case "good falls":
            world.run(1.0)
            truth.move(world.now)
            truth.quality[GOOD] = 0.7
            world.run(95.0)
        case "more servers":
            world.run(1.0)
            truth.servers = {GOOD: 3.0, BAD: 1.0}
            world.run(6.0)
        case "freeze" | "quarantine bad":
            machine.person(what=what, number=number)
        case "store":
            world.store_fault = "unreadable"
            world.run(6.0)
            world.store_fault = ""
        case "deaf" | "worse":
            machine.judge_says(number=number, word="deaf" if what == "deaf" else "rollback")
            world.run(40.0)
        case "other writer" | "other writer again":
            for _ in range(1 if what == "other writer" else 4):
                truth.move(world.now)
                world.routers[name].write(world.now, State.of({GOOD: 60, BAD: 40}), "")
                world.run(11.0)
        case "unreadable":
            world.routers[name].readable = False
            world.run(100.0)
        case "crash":
            world.crash("call afterwards")
            world.start()
        case _:
            return
    world.run(1.0)
