"""What people order, on a real HAProxy: approvals by plan hash, roll back now, refusals."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, alert, configuration, payload, until
from mlcanary.handler.core.incidents import Incident
from mlcanary.handler.core.releases import Order, OrderKind, OrderState, Version, VersionStatus
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.webserver.principals import TOKEN_NAME

BEFORE, AFTER = {GOOD: 90, BAD: 10}, {GOOD: 100, BAD: 0}
APPROVAL = "  approval: {required: true, four_eyes: true}\n"
numbers = itertools.count()


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


async def order(
    handler: Handle,
    kind: OrderKind,
    *,
    plan: str = "",
    actor: str = "ann",
    version: str = BAD,
    force: bool = False,
    reason: str = "",
) -> Order:
    """Give an order and wait until it ends."""
    await until(lambda: "router" in handler.service.workers)
    name = f"o{next(numbers)}"
    pending, now = OrderState.PENDING, handler.service.now()
    handler.service.ledger.give_order(
        Order(name, "router", kind, version, plan, reason, force, actor, now, pending, "")
    )
    handler.service.workers["router"].wake()
    await until(lambda: ended(handler, name).state is not OrderState.PENDING)
    return ended(handler, name)


def ended(handler: Handle, name: str) -> Order:
    found = handler.service.ledger.order(name)
    assert found is not None
    return found


async def waiting(handler: Handle) -> Incident:
    """The incident that waits for approval."""
    await until(lambda: handler.state() == "awaiting_approval")
    found = handler.incident()
    assert found is not None
    return found


async def test_an_approved_plan_is_carried_out_once_in_the_name_of_who_approved(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        await handler.post(payload())
        incident = await waiting(handler)
        assert haproxy.weights() == BEFORE
        await until(lambda: handler.count("incident_open", "router", "awaiting_approval") == 1)
        wrong = await order(handler, OrderKind.APPROVE, plan="0" * 16)
        assert wrong.note == f"the plan is another one now: {incident.plan}"
        assert (await order(handler, OrderKind.APPROVE, plan=incident.plan)).state is OrderState.DONE
        await until(lambda: handler.state() == "resolved")
        assert haproxy.weights() == AFTER
        again = await order(handler, OrderKind.APPROVE, plan=incident.plan)
        assert again.note == "no incident waits for approval"
        (effect,) = handler.audit("effect")
        body = msgspec.json.decode(effect.body)
        assert (effect.actor, body["plan"]) == ("ann", incident.plan)
        assert body["evidence"]["delta"] == -0.3
        assert body["proof"]["seen"] == AFTER
        assert handler.count("orders_total", "router", "approve", "refused") == 2


async def test_a_plan_that_is_another_one_by_now_is_decided_afresh(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        await handler.post(payload())
        first = await waiting(handler)
        haproxy.ask("set weight models/canary 20")
        refused = await order(handler, OrderKind.APPROVE, plan=first.plan)
        assert refused.state is OrderState.REFUSED
        await until(lambda: (handler.incident() or first).id != first.id)
        second = await waiting(handler)
        assert refused.note == f"the plan is another one now: {second.plan}"
        assert second.plan != first.plan
        assert haproxy.weights() == {GOOD: 90, BAD: 20}


async def test_an_alert_that_is_over_is_not_acted_on_when_approved(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        await handler.post(payload())
        incident = await waiting(handler)
        api.release.firing = False
        refused = await order(handler, OrderKind.APPROVE, plan=incident.plan)
        assert refused.note.startswith("stale_evidence")
        assert handler.state() == "abandoned"
        assert haproxy.weights() == BEFORE


async def test_an_approval_that_cannot_be_checked_waits_on(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        await handler.post(payload())
        incident = await waiting(handler)
        api.broken = True
        assert (await order(handler, OrderKind.APPROVE, plan=incident.plan)).state is OrderState.REFUSED
        assert handler.state() == "awaiting_approval"
        api.broken = False
        assert (await order(handler, OrderKind.APPROVE, plan=incident.plan)).state is OrderState.DONE


async def test_a_freeze_of_everything_does_not_stop_a_person(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        await handler.post(payload())
        incident = await waiting(handler)
        handler.service.ledger.freeze(EVERYTHING, reason="", actor="ann", now=handler.service.now())
        assert (await order(handler, OrderKind.APPROVE, plan=incident.plan)).state is OrderState.DONE
        await until(lambda: haproxy.weights() == AFTER)


async def test_what_is_refused_or_expires_is_not_done(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    text = configuration(api.url, haproxy.section(), extra="  approval: {required: true, expires: 1s}\n")
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        incident = await waiting(handler)
        refused = await order(handler, OrderKind.REFUSE, plan=incident.plan, reason="known")
        assert refused.state is OrderState.DONE
        assert (handler.incident() or incident).note == "was refused by ann: known"
        await handler.post(payload(alert(fingerprint="again")))
        await waiting(handler)
        await until(lambda: handler.state() == "abandoned")
        assert (handler.incident() or incident).note == "was not approved within 1 s"
        assert haproxy.weights() == BEFORE
        assert handler.audit("dispatch") == []


async def test_a_clock_that_went_back_does_not_lengthen_the_time_for_an_approval(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section(), extra="  approval: {required: true, expires: 60s}\n")
    ahead = [7200.0]
    async with handling(tmp_path, text, clock=lambda: time.time() + ahead[0]) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "awaiting_approval")
        ahead[0] = 0.0
        handler.service.workers["router"].wake()
        await until(lambda: handler.state() == "abandoned")


async def test_who_orders_a_rollback_does_not_approve_it_under_four_eyes(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        assert (await order(handler, OrderKind.ROLLBACK)).state is OrderState.DONE
        incident = await waiting(handler)
        assert incident.actor == "ann"
        alone = await order(handler, OrderKind.APPROVE, plan=incident.plan)
        assert alone.note == "whoever ordered it cannot approve it"
        shared = await order(handler, OrderKind.APPROVE, plan=incident.plan, actor=TOKEN_NAME)
        assert "several people may share; four_eyes needs principals" in shared.note
        path = f"/v1/incidents/{incident.id}/approve"
        assert await handler.post(msgspec.json.encode({"plan": incident.plan}), path=path) == 403
        assert handler.state() == "awaiting_approval"
        assert (await order(handler, OrderKind.APPROVE, plan=incident.plan, actor="bob")).state is OrderState.DONE
        await until(lambda: handler.state() == "resolved")
        assert [row.actor for row in handler.audit("dispatch")] == ["bob"]


async def test_roll_back_now_needs_no_violation_and_passes_a_freeze(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.release.firing, api.release.delta = False, 0.0
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        handler.service.ledger.freeze("router", reason="", actor="bob", now=handler.service.now())
        done = await order(handler, OrderKind.ROLLBACK, reason="complaints")
        assert (done.state, haproxy.weights()) == (OrderState.DONE, AFTER)
        await until(lambda: handler.state() == "resolved")
        incident = handler.incident()
        assert incident is not None
        assert (incident.id, incident.actor, incident.measure) == (done.id, "ann", "order")
        assert [row.actor for row in handler.audit("plan")] == ["ann"]
        assert (
            handler.service.ledger.view("router", "clicks", 0.0).changed == ()
        )  # no budget and no cooldown for the handler
        over = await order(handler, OrderKind.ROLLBACK)
        assert over.note.startswith("not_serving")
        known = {version.name: version.status for version in handler.service.ledger.versions("clicks")}
        assert known == {BAD: VersionStatus.QUARANTINED}  # nothing was measured of the other one, so it is not proven


async def test_roll_back_now_works_without_prometheus_towards_a_proven_version(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.broken = True
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        refused = await order(handler, OrderKind.ROLLBACK)
        assert refused.note.startswith("no_good_version")
        remember(handler, VersionStatus.PROVEN)
        assert (await order(handler, OrderKind.ROLLBACK)).state is OrderState.DONE
        assert haproxy.weights() == AFTER


def remember(handler: Handle, status: VersionStatus) -> None:
    """What a person says of the good version."""
    version = Version("clicks", GOOD, GOOD, status, "", "ann", handler.service.now())
    handler.service.ledger.set_version(version, target="router")


async def test_roll_back_now_goes_to_a_quarantined_version_only_by_force_with_a_reason(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        remember(handler, VersionStatus.QUARANTINED)
        assert (await order(handler, OrderKind.ROLLBACK)).note.startswith("quarantined")
        assert (await order(handler, OrderKind.ROLLBACK, force=True)).note == "force needs a reason"
        forced = await order(handler, OrderKind.ROLLBACK, force=True, reason="the lesser evil")
        assert (forced.state, haproxy.weights()) == (OrderState.DONE, AFTER)


async def test_force_is_still_in_force_when_somebody_else_approves(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=APPROVAL)) as handler:
        remember(handler, VersionStatus.QUARANTINED)
        await order(handler, OrderKind.ROLLBACK, force=True, reason="the lesser evil")
        incident = await waiting(handler)
        assert incident.forced
        done = await order(handler, OrderKind.APPROVE, plan=incident.plan, actor="bob")
        assert done.state is OrderState.DONE
        await until(lambda: haproxy.weights() == AFTER)


@pytest.mark.parametrize(
    ("mode", "version", "plan", "told"),
    [
        ("observe", BAD, "", "dry_run"),
        ("react", "v9", "", "unknown_target"),
        ("react", GOOD, "", "no_good_version"),
        ("react", BAD, "0" * 16, "the plan is another one now"),
    ],
)
async def test_orders_that_cannot_be_carried_out_say_why(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, mode: str, version: str, plan: str, told: str
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode=mode)) as handler:
        refused = await order(handler, OrderKind.ROLLBACK, version=version, plan=plan)
        assert (refused.state, refused.note[: len(told)]) == (OrderState.REFUSED, told)
        assert haproxy.weights() == BEFORE
        assert handler.incident() is None


async def test_an_order_that_a_crash_cut_off_is_not_carried_out_twice(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section())
    async with handling(tmp_path, text) as handler:
        done = await order(handler, OrderKind.ROLLBACK)
        await until(lambda: handler.state() == "resolved")
        haproxy.ask("set weight models/canary 10")
        ledger = handler.service.ledger
        ledger.end_order(done, OrderState.PENDING, note="", now=handler.service.now())  # as if the end was not written
        handler.service.workers["router"].wake()
        await until(lambda: ended(handler, done.id).state is OrderState.DONE)
        assert [row.kind for row in handler.audit("plan")] == ["plan"]
