"""Many who ask share one reading, and one call at a time reaches a target."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from handler_world import configuration
from mlcanary.handler.evidence.prometheus import Prometheus
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.sharing import Shared
from mlcanary.handler.targets.contract import Guard, State
from mlcanary.handler.work.effect import Effector, Environment


class Source:
    """Counts readings; each waits until `go`."""

    def __init__(self) -> None:
        self.reads = 0
        self.go = asyncio.Event()
        self.fails = False

    async def read(self) -> int:
        """The number of the reading."""
        self.reads += 1
        await self.go.wait()
        if self.fails:
            raise ValueError("no")
        return self.reads


async def test_one_reading_is_in_flight_and_serves_for_a_second() -> None:
    now, source = [100.0], Source()
    shared: Shared[int] = Shared(lambda: now[0])
    asking = [asyncio.create_task(shared.get("k", source.read)) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    source.go.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 9
    now[0] = 100.99
    assert await shared.get("k", source.read) == 1
    assert await shared.get("other", source.read) == 2
    now[0] = 101.0
    assert await shared.get("k", source.read) == 3
    now[0] = 50.0  # the clock went back
    assert await shared.get("k", source.read) == 4


async def test_a_reading_that_fails_is_not_kept() -> None:
    source = Source()
    source.go.set()
    source.fails = True
    shared: Shared[int] = Shared(lambda: 0.0)
    with pytest.raises(ValueError, match="no"):
        await shared.get("k", source.read)
    source.fails = False
    await asyncio.sleep(0)
    assert await shared.get("k", source.read) == 2


class Slow:
    """Notes how many calls are under way at once."""

    weighted = True

    def __init__(self) -> None:
        self.now = self.most = 0

    async def _call(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1

    async def observe(self) -> State:
        """Half and half."""
        await self._call()
        return State.of({"v1": 1, "v2": 1})

    async def apply(self, desired: State, guard: Guard) -> None:
        """Nothing changes."""
        await self._call()

    async def complete(self, desired: State, guard: Guard) -> None:
        """Nothing is left."""
        await self._call()

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Nothing is refused."""
        await self._call()

    async def owner(self) -> str:
        """Nobody."""
        await self._call()
        return ""


async def test_one_call_at_a_time_reaches_the_target(tmp_path: Path) -> None:
    settings = parse_settings(
        configuration("http://localhost:1", "{type: command, argv: [/bin/true], versions: [v1, v2]}"), "handler.yml"
    )
    environment = Environment(
        ledger=Ledger(tmp_path / "l.sqlite", freeze_file=None, checkpoint=lambda _name: None),
        prometheus=Prometheus(settings.prometheus),
        metrics=HandlerMetrics(),
        clock=lambda: 1.7e9,
        new_id=lambda: "x",
        checkpoint=lambda _name: None,
    )
    target = Slow()
    effector, half = Effector(settings.targets[0], target, environment), State.of({"v1": 1, "v2": 1})
    await asyncio.gather(
        *(effector.observe() for _ in range(5)), *(effector.rehearse(half, half) for _ in range(5)), effector.owner()
    )
    assert (target.most, target.now) == (1, 0)
    environment.ledger.close()
