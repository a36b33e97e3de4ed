"""Orders that are cut off at every commit and every call: at most one effect, and the person is told the truth."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, configuration, payload, until
from mlcanary.handler.core.releases import Order, OrderKind, OrderState
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.ledger.verify import verify_file

BEFORE, AFTER = {GOOD: 90, BAD: 10}, {GOOD: 100, BAD: 0}
CALLS = ("before call apply", "after call apply")
APPROVAL = "  approval: {required: true}\n"


class CutOffError(Exception):
    """The process ends here."""


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


def points(*commits: str) -> list[str]:
    """Moments at which an order may be cut off."""
    return [f"{side} commit {name}" for name in commits for side in ("before", "after")] + list(CALLS)


def give(directory: Path, kind: OrderKind, plan: str = "") -> None:
    """Leave an order in the ledger."""
    with contextlib.closing(Ledger(directory / "handler.sqlite", freeze_file=None, checkpoint=lambda _n: None)) as book:
        book.give_order(Order("o1", "router", kind, BAD, plan, "", False, "ann", time.time(), OrderState.PENDING, ""))


async def cut_off(directory: Path, text: str, point: str) -> None:
    """Run the handler until it comes to a point, and end it there."""
    reached: list[str] = []

    def checkpoint(name: str) -> None:
        if name == point or reached:
            reached.append(name)
            raise CutOffError(name)

    with pytest.raises(CutOffError):
        async with handling(directory, text, checkpoint=checkpoint):
            await until(lambda: bool(reached))


def order_of(handler: Handle) -> Order:
    found = handler.service.ledger.order("o1")
    assert found is not None
    return found


async def ended(directory: Path, text: str, over: Callable[[Handle], bool]) -> tuple[str, str, str, int]:
    """Run the handler on: state of the order, its note, state of the incident, dispatched actions."""
    async with handling(directory, text) as handler:
        await until(lambda: over(handler))
        ledger = handler.service.ledger
        incidents = ledger.incidents("router", 9)
        dispatched = [a for i in incidents for a in ledger.actions(i.id) if a.attempt]
        order = order_of(handler)
        return order.state, order.note, handler.state(), len(dispatched)


@pytest.mark.parametrize("point", points("plan", "dispatch", "finish", "order", "close"))
async def test_roll_back_now_is_done_once_or_refused(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, point: str
) -> None:
    api.release.firing = False
    text = configuration(api.url, haproxy.section())
    give(tmp_path, OrderKind.ROLLBACK)
    await cut_off(tmp_path, text, point)

    def over(handler: Handle) -> bool:
        open_ones = handler.service.ledger.open_incidents()
        return order_of(handler).state is not OrderState.PENDING and not open_ones

    state, note, incident, dispatched = await ended(tmp_path, text, over)
    if state == "refused":
        assert note == "nothing was done: cut off before the dispatch; order it again"
        assert (incident, dispatched, haproxy.weights()) == ("abandoned", 0, BEFORE)
    else:
        assert (state, incident, dispatched, haproxy.weights()) == ("done", "resolved", 1, AFTER)
    assert verify_file(tmp_path / "handler.sqlite").whole


@pytest.mark.parametrize("point", points("approve", "dispatch"))  # the rest is as above
async def test_an_approval_is_used_once_or_asked_for_again(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, point: str
) -> None:
    text = configuration(api.url, haproxy.section(), extra=APPROVAL)
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "awaiting_approval")
        incident = handler.incident()
        assert incident is not None
    give(tmp_path, OrderKind.APPROVE, incident.plan)
    await cut_off(tmp_path, text, point)

    def over(handler: Handle) -> bool:
        settled = handler.state() in ("resolved", "awaiting_approval")
        return order_of(handler).state is not OrderState.PENDING and settled

    state, _, found, dispatched = await ended(tmp_path, text, over)
    assert state == "done"
    if found == "awaiting_approval":
        assert point in ("after commit approve", "before commit dispatch")
        assert (dispatched, haproxy.weights()) == (0, BEFORE)
    else:
        assert (dispatched, haproxy.weights()) == (1, AFTER)
    assert verify_file(tmp_path / "handler.sqlite").whole
