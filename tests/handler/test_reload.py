"""A reload while a target is slow: the others go on, and nobody writes what another one may still write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import configuration, until
from mlcanary.handler.core.releases import Order, OrderKind, OrderState
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.targets.contract import State
from mlcanary.handler.targets.file import FileTarget


class Held:
    """Lets nobody read the link `slow` while `go` is not set; `waits` while somebody tries."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.waits = False

    async def read(self, name: str) -> None:
        """Wait as long as the link is held."""
        if name == "slow" and not self.go.is_set():
            self.waits = True
            await self.go.wait()
            self.waits = False


def written(directory: Path, *, slow: str = "slow", settle: str = "5s") -> str:
    """Two targets, each a link; the one on the link `slow` is named as told."""
    for name in ("quick", "slow"):
        if not (directory / name).is_symlink():
            (directory / name).symlink_to("models/v1")

    def link(name: str) -> str:
        return f"{{type: file, path: {directory / name}, timeout: {settle}, values: {{v1: models/v1, v2: models/v2}}}}"

    second = f"- name: {slow}\n  model: clicks\n  target: {link('slow')}\n"
    return configuration("http://127.0.0.1:1", link("quick").replace(settle, "5s"), extra=second).replace(
        "name: router", "name: quick"
    )


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    found, real = Held(), FileTarget.observe

    async def observe(self: FileTarget) -> State:
        await found.read(self._path.name)
        return await real(self)

    monkeypatch.setattr(FileTarget, "observe", observe)
    return found


@pytest.fixture
async def handler(tmp_path: Path, held: Held) -> AsyncIterator[Handle]:
    async with handling(tmp_path, written(tmp_path)) as found:
        await until(lambda: found.service.ready() == "")
        held.go.clear()
        await until(lambda: held.waits)
        yield found
        held.go.set()


async def test_a_slow_target_keeps_no_other_one_from_going_on(handler: Handle, held: Held) -> None:
    service = handler.service
    before = dict(service.workers)
    reload = asyncio.create_task(service.reload())
    await until(lambda: service.workers.get("quick", before["quick"]) is not before["quick"])
    await until(lambda: service.workers["quick"].ready)
    assert service.workers["slow"] is before["slow"]
    assert held.waits
    assert not reload.done()
    held.go.set()
    await reload
    assert service.workers["slow"] is not before["slow"]
    await until(lambda: service.ready() == "")


@pytest.mark.parametrize("change", [{"slow": "renamed"}, {"settle": "6s"}])
async def test_what_another_target_may_still_write_is_waited_for(
    tmp_path: Path, handler: Handle, held: Held, change: dict[str, str]
) -> None:
    service, name = handler.service, change.get("slow", "slow")
    before = dict(service.workers)
    (tmp_path / "handler.yml").write_text(written(tmp_path, **change))
    reload = asyncio.create_task(service.reload())
    await until(lambda: service.workers.get("quick", before["quick"]) is not before["quick"])
    assert service.workers["slow"] is before["slow"]
    if name != "slow":
        assert name not in service.workers
        assert name in service.ready()
    held.go.set()
    await reload
    assert set(service.workers) == {"quick", name}
    assert service.workers[name] is not before["slow"]
    await until(lambda: service.ready() == "")


async def test_the_end_of_the_process_ends_a_reload(handler: Handle, held: Held) -> None:
    before = dict(handler.service.workers)
    reload = asyncio.create_task(handler.service.reload())
    await until(lambda: handler.service.workers.get("quick", before["quick"]) is not before["quick"])
    handler.service._ending = True  # as `run` says when it is to stop
    held.go.set()
    await reload
    assert "slow" not in handler.service.workers


async def test_what_waits_for_a_target_that_is_gone_is_ended(tmp_path: Path, handler: Handle, held: Held) -> None:
    service = handler.service
    order = Order("o1", "slow", OrderKind.ROLLBACK, "v2", "", "x", True, "ann", 1.0, OrderState.PENDING, "")
    service.ledger.give_order(order)
    service.metrics.set("target_share_ratio", 1.0, "quick", "clicks", "v9")  # of a version that was configured once
    (tmp_path / "handler.yml").write_text(written(tmp_path).split("- name: slow")[0])
    held.go.set()
    assert 'target="slow"' in gauges(await handler.get("/metrics"))
    await service.reload()
    found = service.ledger.order("o1")
    assert found is not None
    assert found.state is OrderState.REFUSED
    text = gauges(await handler.get("/metrics"))
    assert 'target="slow"' not in text
    assert 'version="v9"' not in text
    assert 'mlcanary_frozen{target="quick"} 0.0' in text
    assert service.metrics.value("target_up", "quick") == 1.0


async def test_a_start_ends_the_orders_of_targets_that_are_gone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "handler.sqlite", freeze_file=None, checkpoint=lambda _name: None)
    ledger.give_order(Order("o1", "gone", OrderKind.SUBMIT, "v2", "", "", False, "ann", 1.0, OrderState.PENDING, ""))
    ledger.close()
    async with handling(tmp_path, written(tmp_path)) as started:
        await until(lambda: started.service.ready() == "")
        found = started.service.ledger.order("o1")
        assert found is not None
        assert (found.state, found.note) == (OrderState.REFUSED, "the target is no longer configured")
        assert started.count("orders_total", "gone", "submit", "refused") == 1


def gauges(page: str) -> str:
    """The lines of a page of metrics that are no counters."""
    return "\n".join(line for line in page.splitlines() if "_total{" not in line)
