"""The handler as a whole on a real HAProxy: one effect, proven; and every way in which nothing may be done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, alert, configuration, payload, until
from mlcanary.errors import StateError
from mlcanary.handler.core.policy import Reason

BEFORE, AFTER = {GOOD: 90, BAD: 10}, {GOOD: 100, BAD: 0}


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


async def suppressed(handler: Handle, reason: Reason) -> None:
    """Wait until the reason was given; nothing was done to the target."""
    await until(lambda: handler.count("decisions_total", "router", "suppress", reason) >= 1)
    assert handler.incident() is None
    assert handler.count("effects_total", "router", "confirmed") == 0


async def test_an_alert_takes_the_traffic_back_and_the_traffic_proves_it(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        assert await handler.post(payload()) == 202
        await until(lambda: haproxy.weights() == AFTER)
        await until(lambda: handler.state() == "resolved")
        assert handler.count("effects_total", "router", "confirmed") == 1
        assert handler.count("rollbacks_total", "router", "clicks", "resolved") == 1
        incident = handler.incident()
        assert incident is not None
        assert incident.note == "traffic moved, measure recovered"
        assert handler.service.ledger.verify_audit() is None
        kinds = [row.kind for row in reversed(handler.service.ledger.audit_rows(100))]
        assert kinds == ["plan", "dispatch", "effect", "verdict"]
        metrics = await handler.get("/metrics")
        assert 'mlcanary_rollbacks_total{model="clicks",outcome="resolved",target="router"} 1.0' in metrics
        assert 'mlcanary_target_share_ratio{model="clicks",target="router",version="v2"} 0.0' in metrics
        assert '>v2 → v1</a> <span class="tag good">resolved<' in await handler.get("/")
        assert await handler.get("/-/ready") == "ready\n"


async def test_one_alert_posted_200_times_by_two_senders_at_once_has_one_effect(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:

        async def sender() -> list[int]:
            return [await handler.post(payload()) for _ in range(100)]

        codes = await asyncio.gather(sender(), sender())
        assert [code for part in codes for code in part] == [202] * 200
        await until(lambda: handler.state() == "resolved")
        assert haproxy.weights() == AFTER
        assert len(handler.audit("plan")) == len(handler.audit("effect")) == len(handler.audit("dispatch")) == 1
        assert handler.count("effects_total", "router", "confirmed") == 1
        assert handler.count("decisions_total", "router", "act", "") == 1
        assert handler.count("decisions_total", "router", "suppress", "duplicate") == 199


async def test_alerts_about_the_same_version_join_one_incident(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    others = [alert(fingerprint=f"f{i}", measure=m) for i, m in enumerate(("auc", "log_loss", "accuracy"))]
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        assert await handler.post(payload(*others)) == 202
        await until(lambda: handler.state() == "resolved")
        assert len(handler.audit("plan")) == 1
        await until(lambda: handler.count("decisions_total", "router", "attach", "") >= 1)


VERDICT = alert(alertname="MLCanaryRollbackVerdict", measure="verdict", window="judge")


async def test_a_verdict_takes_the_traffic_back_and_what_asked_for_it_proves_it(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.release.judged = True
    api.release.measures = {"accuracy": 8.0}
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload(alert(fingerprint="windowed")))
        await suppressed(handler, Reason.JUDGED)
        await handler.post(payload(VERDICT))
        await until(lambda: handler.state() == "resolved")
        incident = handler.incident()
        assert incident is not None
        assert (incident.measure, incident.window) == ("verdict", "judge")
        assert incident.note == "traffic moved, measure recovered"
        assert handler.count("effects_total", "router", "confirmed") == 1
        assert '"recovery":"accuracy"' in incident.evidence


async def test_a_windowed_alert_acts_once_the_judge_is_gone(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    api.release.judged = True
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await suppressed(handler, Reason.JUDGED)
        api.release.judged = False
        await until(lambda: handler.state() == "resolved")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"verdict": 0.0}, Reason.STALE_EVIDENCE),
        ({"judge_read": 400.0}, Reason.STALE_EVIDENCE),
        ({"measures": {"accuracy": 8.0}, "past": 0.99, "baseline": 0.7}, Reason.SHARED_CAUSE),
        ({"up": 0.0}, Reason.SOURCE_BROKEN),
    ],
)
async def test_a_verdict_that_does_not_stand_does_nothing(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, change: dict[str, object], reason: Reason
) -> None:
    for name, value in change.items():
        setattr(api.release, name, value)
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload(VERDICT))
        await suppressed(handler, reason)
        assert haproxy.weights() == BEFORE


async def test_mode_observe_decides_and_writes_nothing(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode="observe")) as handler:
        await handler.post(payload())
        await suppressed(handler, Reason.DRY_RUN)
        assert handler.count("rollbacks_total", "router", "clicks", "dry_run") == 1
        assert haproxy.weights() == BEFORE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"firing": False}, Reason.STALE_EVIDENCE),
        ({"delta": -0.05}, Reason.STALE_EVIDENCE),
        ({"zscore": -5.9}, Reason.STALE_EVIDENCE),
        ({"zscore": None}, Reason.STALE_EVIDENCE),
        ({"delta": None}, Reason.STALE_EVIDENCE),
        ({"age": 121.0}, Reason.STALE_EVIDENCE),
        ({"up": 0.0}, Reason.SOURCE_BROKEN),
        ({"up": None}, Reason.SOURCE_BROKEN),
        ({"roles": [(GOOD, "baseline"), (BAD, "canary"), (BAD, "baseline")]}, Reason.ROLE_CONFLICT),
        ({"roles": [(GOOD, "baseline"), (BAD, "shadow")]}, Reason.ROLE_CONFLICT),
        ({"roles": [(BAD, "canary")]}, Reason.NO_GOOD_VERSION),
        ({"past": 0.99, "baseline": 0.7}, Reason.SHARED_CAUSE),
    ],
)
async def test_evidence_that_does_not_hold_does_nothing(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, change: dict[str, object], reason: Reason
) -> None:
    for name, value in change.items():
        setattr(api.release, name, value)
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await suppressed(handler, reason)
        assert haproxy.weights() == BEFORE


async def test_a_canary_without_weight_is_not_serving(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    haproxy.ask("set weight models/canary 0")
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await suppressed(handler, Reason.NOT_SERVING)


async def test_a_silent_prometheus_is_asked_again_and_then_a_person_is_called(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.broken = True
    text = configuration(api.url, haproxy.section()).replace("deadline: 30s", "deadline: 500ms")
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("rollbacks_total", "router", "clicks", "failed") == 1)
        await suppressed(handler, Reason.NO_EVIDENCE)
        assert haproxy.weights() == BEFORE


async def test_evidence_that_comes_late_is_acted_on(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    api.broken = True
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await suppressed(handler, Reason.NO_EVIDENCE)
        api.broken = False
        await until(lambda: handler.state() == "resolved")


async def test_a_freeze_holds_and_an_unfreeze_lets_go(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        assert await handler.post(b"", path="/-/freeze?reason=release+day", token=None) == 401
        assert await handler.post(b"", path="/-/freeze?target=nobody") == 404
        assert await handler.post(b"", path="/-/freeze?reason=release+day") == 200
        await handler.post(payload())
        await suppressed(handler, Reason.FROZEN)
        await until(lambda: handler.count("frozen", "router") == 1)
        assert await handler.post(b"", path="/-/unfreeze") == 200
        await until(lambda: handler.state() == "resolved")
        assert [row.kind for row in handler.audit("freeze")] == ["freeze"]


async def test_the_freeze_file_holds_in_the_transaction_that_dispatches(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    stop = tmp_path / "stop"
    text = configuration(api.url, haproxy.section()) + f"freeze_file: {stop}\n"

    def freeze_after_planning(name: str) -> None:
        if name == "after commit plan":
            stop.touch()

    async with handling(tmp_path, text, checkpoint=freeze_after_planning) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "abandoned")
        assert haproxy.weights() == BEFORE
        assert handler.audit("dispatch") == []


async def test_a_target_that_was_just_changed_waits_for_the_cooldown(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section()).replace("reconcile: 200ms", "reconcile: 1h")
    ahead, failed = [0.0], ("rollbacks_total", "router", "clicks", "failed")
    async with handling(tmp_path, text, clock=lambda: time.time() + ahead[0]) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        haproxy.ask("set weight models/canary 10")
        await handler.post(payload(alert(fingerprint="again")))
        await until(lambda: handler.count("decisions_total", "router", "suppress", "cooldown") >= 1)
        assert haproxy.weights() == {GOOD: 100, BAD: 10}
        assert handler.count(*failed) == 0  # somebody is called when it has lasted, and once
        for ahead[0] in (40.0, 80.0):
            handler.service.workers["router"].wake()
            asked = len(api.queries)
            await until(lambda asked=asked: handler.count(*failed) == 1 and len(api.queries) > asked + 30)
        assert handler.count(*failed) == 1


async def test_the_budget_of_a_day_is_kept(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    text = configuration(api.url, haproxy.section()).replace(
        "  reconcile: 200ms\n", "  reconcile: 1h\n  cooldown: 0s\n"
    )
    async with handling(tmp_path, text + "  budget: 1\n") as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        haproxy.ask("set weight models/canary 10")
        await handler.post(payload(alert(fingerprint="again")))
        await until(lambda: handler.count("decisions_total", "router", "suppress", "budget") >= 1)
        await until(lambda: handler.count("rollbacks_total", "router", "clicks", "failed") == 1)
        assert haproxy.weights() == {GOOD: 100, BAD: 10}


async def test_a_writer_that_came_in_between_is_not_overwritten(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    def interfere(name: str) -> None:
        if name == "before call apply":
            haproxy.ask("set weight models/canary 33")

    async with handling(tmp_path, configuration(api.url, haproxy.section()), checkpoint=interfere) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "failed")
        assert haproxy.weights() == {GOOD: 90, BAD: 33}
        assert handler.count("effects_total", "router", "conflict") == 1
        assert handler.count("rollbacks_total", "router", "clicks", "failed") == 1


async def test_a_state_that_others_undo_is_set_again_twice_and_then_frozen(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        for done in (2, 3):  # effects confirmed: an undo before the handler has read its own belongs to that action
            haproxy.ask("set weight models/canary 10")
            await until(lambda done=done: handler.count("effects_total", "router", "confirmed") == done)
        haproxy.ask("set weight models/canary 10")
        await until(lambda: handler.count("frozen", "router") == 1)
        assert len(handler.audit("reassert")) == 2
        assert handler.count("rollbacks_total", "router", "clicks", "failed") == 1
        assert haproxy.weights()[BAD] == 10


async def test_no_traffic_proves_nothing(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    def silence(name: str) -> None:
        if name == "after call apply":
            api.release.rate = 0.0

    text = configuration(api.url, haproxy.section()).replace("deadline: 40s", "deadline: 1500ms")
    async with handling(tmp_path, text, checkpoint=silence) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "stuck")
        assert handler.count("rollbacks_total", "router", "clicks", "stuck") == 1


async def test_traffic_that_moved_without_the_measure_is_ineffective(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.release.accuracy_after = 0.5
    text = configuration(api.url, haproxy.section()).replace("deadline: 40s", "deadline: 8s")
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "ineffective")


async def test_a_required_measure_without_labels_is_never_resolved(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section()).replace("deadline: 40s", "deadline: 8s, measure: required")
    text = text.replace("min_labels: 50", "min_labels: 1000000")
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "ineffective")
        assert handler.incident().note == "traffic moved, measure no_labels"  # type: ignore[union-attr]


async def test_a_resolved_alert_promotes_nobody(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        assert await handler.post(payload(alert(status="resolved"))) == 202
        assert handler.count("decisions_total", "router", "suppress", "resolved") == 1
        assert haproxy.weights() == AFTER


async def test_the_watchdog_is_noted(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    watchdog = {**alert(), "labels": {"alertname": "MLCanaryWatchdog", "severity": "none"}}
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        assert await handler.post(payload(watchdog)) == 202
        assert handler.count("watchdog_last_received_timestamp_seconds") > 1.7e9


async def test_a_second_handler_on_the_same_ledger_does_not_start(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section())
    async with handling(tmp_path, text):
        with pytest.raises(StateError, match="another handler holds it"):
            async with handling(tmp_path, text):
                pass


async def test_a_reload_that_fails_changes_nothing(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        digest = handler.service.settings.digest
        (tmp_path / "handler.yml").write_text("prometheus: {}\n")
        assert await handler.post(b"", path="/-/reload") == 500
        assert handler.service.settings.digest == digest
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")


async def test_the_audit_names_the_evidence_of_a_decision(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        body = msgspec.json.decode(handler.audit("plan")[0].body)
        assert body["evidence"]["delta"] == -0.3
        assert body["evidence"]["zscore"] == -12.0
        assert (body["bad"], body["good"]) == (BAD, GOOD)
