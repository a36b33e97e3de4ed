"""One cell of the fault matrix: a real part, a fault, the whole handler, and the oracle that holds for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handler.matrix.faults import FAULTS, End, Fault, Moments
from handler.matrix.kills import Killed, KillsSeen, kill
from handler.matrix.rigs import Rig
from handler.matrix.router_rigs import HAProxyRig, NginxRig
from handler.matrix.switch_rigs import CommandRig, FileRig, HTTPRig, MLflowRig
from handler_service import Handle, handling
from handler_world import MODEL, QueryAPI, Release, configuration, until

RIGS: tuple[type[Rig], ...] = (HAProxyRig, NginxRig, FileRig, MLflowRig, HTTPRig, CommandRig)
PAGED = ("failed", "stuck", "ineffective")
"""Outcomes of `mlcanary_rollbacks_total` that MLCanaryRollbackFailed pages on."""


@dataclass(frozen=True)
class Seen:
    """How a cell ended. `pages` and `successes` as counted, `chain`: the first audit row that does not fit."""

    state: str
    effects: int
    frozen: bool
    rolled_back: bool
    pages: float
    successes: float
    rollbacks: int
    chain: int | None

    def wrong(self, end: End) -> str:
        """What is against the rules that hold for every cell, or against what this one must be; empty if nothing."""
        promised = self.state == "resolved"
        broken = {
            "a success is counted that is none": self.successes != float(promised),
            "resolved, and the bad version still serves": promised and not self.rolled_back,
            "neither resolved nor paged": not promised and self.pages == 0,
            "resolved and paged": promised and self.pages > 0,
            "more effects than one that was not undone": self.effects - end.undone > 1,
            "more rollbacks than one": self.rollbacks > 1,
            "the audit does not fit": self.chain is not None,
            f"not {end}": (self.state, self.effects, self.frozen) != (end.state, end.effects, end.frozen),
        }
        return "; ".join(what for what, true in broken.items() if true)

    def __str__(self) -> str:
        """For the printed matrix."""
        effects = {0: "no effect", 1: "1 effect"}.get(self.effects, f"{self.effects} effects")
        page = ", page" if self.pages else ""
        return f"{self.state if self.state != 'none' else 'nothing done'}, {effects}{page}"


def impossible(rig: type[Rig], fault: Fault) -> str:
    """Why a cell cannot exist, empty if it can."""
    return fault.impossible.get(rig.name, "")


def cells() -> Iterator[tuple[type[Rig], Fault]]:
    """Every cell that can exist, those of one part together."""
    for rig in RIGS:
        for fault in (*FAULTS, Killed()):
            if not impossible(rig, fault):
                yield rig, fault


async def play(rig: Rig, fault: Fault, directory: Path) -> Seen | KillsSeen:
    """Run a cell over a part that runs. The ledger lies in `directory`."""
    if isinstance(fault, Killed):
        return await kill(rig, directory, fault.schedule)
    rig.reset()
    end, moments, release = fault.end_of(rig.name), Moments(rig), Release(rig.shares)

    def checkpoint(name: str) -> None:
        moments.passed.append(name)
        fault.at(name, moments)

    async with rig.reached(fault.mode) as section, QueryAPI(release).serving() as api:
        fault.begin(rig, release)
        text = fault.configured(configuration(api.url, section), end)
        async with handling(directory, text, checkpoint=checkpoint, clock=moments.clock) as handler:
            await fault.deliver(handler)
            await until(lambda: fault.over(handler, end))
            return look(rig, handler)


def look(rig: Rig, handler: Handle) -> Seen:
    """What there is to see at the end."""
    incident, ledger = handler.incident(), handler.service.ledger
    actions = ledger.actions(incident.id) if incident is not None else []
    return Seen(
        state=str(incident.state) if incident is not None else "none",
        effects=rig.effects(),
        frozen=handler.count("frozen", "router") == 1.0,
        rolled_back=rig.rolled_back,
        pages=sum(handler.count("rollbacks_total", "router", MODEL, outcome) for outcome in PAGED),
        successes=handler.count("rollbacks_total", "router", MODEL, "resolved"),
        rollbacks=sum(action.kind == "rollback" for action in actions),
        chain=ledger.verify_audit(),
    )


@contextlib.contextmanager
def started(kind: type[Rig], directory: Path) -> Iterator[Rig]:
    """A part that runs, in a directory of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    rig = kind(directory)
    with rig.running():
        yield rig
