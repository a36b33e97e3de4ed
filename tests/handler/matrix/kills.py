"""The column of the matrix in which the handler is killed, before and after every commit and every call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from handler.matrix.faults import End, Fault
from handler.matrix.rigs import Rig
from handler_crashes import POINTS, Nursery, crash_run, nursery
from handler_world import QueryAPI, Release

Kills = tuple[str, ...]


class Killed(Fault):
    """Every point once, or those that are given; `run_matrix.py --kills` runs many more."""

    name = "handler killed"

    def __init__(self, points: Sequence[str] = POINTS) -> None:
        self.schedule: tuple[Kills, ...] = tuple((point,) for point in points)


@dataclass
class KillsSeen:
    """How the runs over one part ended. `wrong_runs`: points of the deaths, and what was not as it must be."""

    runs: int = 0
    deaths: int = 0
    effects: list[int] = field(default_factory=list)
    wrong_runs: list[tuple[Kills, str]] = field(default_factory=list)

    def wrong(self, _end: End) -> str:
        """What was wrong in any run."""
        return "; ".join(f"{'+'.join(kills)}: {what}" for kills, what in self.wrong_runs)

    def __str__(self) -> str:
        """For the printed matrix."""
        return f"{self.runs} runs, {self.deaths} deaths: {len(self.wrong_runs)} wrong ends"


async def kill(rig: Rig, directory: Path, schedule: Sequence[Kills]) -> KillsSeen:
    """Run a schedule over a part that runs, one run after the other. Ledgers lie in `directory`."""
    seen = KillsSeen()
    async with nursery() as nest:
        for number, kills in enumerate(schedule):
            place = directory / f"run{number}"
            place.mkdir()
            wrong = await _run(nest, rig, place, kills, seen)
            if wrong:
                seen.wrong_runs.append((kills, wrong))
            seen.runs += 1
    return seen


async def _run(nest: Nursery, rig: Rig, place: Path, kills: Kills, seen: KillsSeen) -> str:
    rig.reset()
    async with rig.reached() as section, QueryAPI(Release(rig.shares)).serving() as api:
        outcome = await crash_run(nest, place, section, api, kills)
    seen.deaths += outcome.deaths
    seen.effects.append(rig.effects())
    broken = {
        outcome.wrong(): True,
        f"{rig.effects()} effects": rig.effects() != 1,
        "the bad version still serves": not rig.rolled_back,
    }
    return "; ".join(what for what, true in broken.items() if what and true)
