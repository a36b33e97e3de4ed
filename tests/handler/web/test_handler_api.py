"""The API: the state of everything, orders that wait for the worker, scopes, and 4xx for whatever is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_incidents import incident
from handler_people import People, serving_people
from handler_world import Link, QueryAPI, Release, configuration, payload, until
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import OrderState, Version, VersionStatus

PLAN = "/v1/plan?target=router&order=rollback&version=v2"
ORDERS = "/v1/targets/router/orders"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(Link(tmp_path).shares)).serving() as served:
        yield served


def written(tmp_path: Path, api: QueryAPI, **changes: str) -> str:
    """A configuration with a symbolic link as target: it is there at once, and needs no process."""
    values = "{v1: models/v1, v2: models/v2}"
    target = f"{{type: file, path: {tmp_path / 'current'}, values: {values}}}"
    return configuration(api.url, target, **changes)


@pytest.fixture
async def people(tmp_path: Path, api: QueryAPI) -> AsyncIterator[People]:
    async with serving_people(tmp_path, written(tmp_path, api)) as found:
        await until(lambda: found.handler.count("target_up", "router") == 1)
        yield found


async def resolved(people: People) -> str:
    """Let an alert do its work; gives the incident."""
    assert await people.handler.post(payload()) == 202
    await until(lambda: people.handler.state() == "resolved")
    incident = people.handler.incident()
    assert incident is not None
    return incident.id


async def test_the_state_of_a_target_is_told(people: People) -> None:
    name = await resolved(people)
    await people.ask("POST", "/v1/freeze", {"target": "router", "level": "promote", "reason": "release day"}, by="olga")
    found = (await people.ask("GET", "/v1/targets/router", by="rita")).json
    assert (found["name"], found["model"], found["mode"], found["observed"]) == ("router", "clicks", "react", True)
    assert [(v["version"], v["share"]) for v in found["versions"]] == [("v1", 1.0), ("v2", 0.0)]
    assert found["freeze"] == "promote"
    freeze = {key: found["freezes"][0][key] for key in ("scope", "level", "reason", "actor")}
    assert freeze == {"scope": "router", "level": "promote", "reason": "release day", "actor": "olga.program"}
    assert (found["incident"]["id"], found["incident"]["state"]) == (name, "resolved")
    assert (found["action"]["kind"], found["action"]["state"]) == ("rollback", "confirmed")
    assert found["release"] is None
    assert (await people.ask("GET", "/v1/targets")).json["targets"][0]["name"] == "router"


async def test_an_incident_is_told_from_the_alert_to_the_proof(people: People) -> None:
    name = await resolved(people)
    found = (await people.ask("GET", f"/v1/incidents/{name}", by="rita")).json
    told = [entry["what"] for entry in found["timeline"]]
    assert told == ["received", "opened", "sent to the target, attempt 1", "effect confirmed", "closed: resolved"]
    assert found["timeline"][-1]["note"] == "traffic moved, measure recovered"
    times = [entry["at"] for entry in found["timeline"]]
    assert times == sorted(times)
    assert found["evidence"]["delta"] == -0.3
    assert [row["kind"] for row in found["audit"]] == ["plan", "dispatch", "effect", "verdict"]
    assert found["actions"][0]["desired"] == {"v1": 1, "v2": 0}
    listed = (await people.ask("GET", "/v1/incidents?target=router")).json["incidents"]
    assert [incident["id"] for incident in listed] == [name]


async def test_the_audit_is_read_on_from_a_row(people: People) -> None:
    await resolved(people)
    first = (await people.ask("GET", "/v1/audit")).json
    assert [row["id"] for row in first["rows"]] == list(range(1, len(first["rows"]) + 1))
    last = first["next"]
    assert (await people.ask("GET", f"/v1/audit?after={last}")).json == {"rows": [], "next": last}
    assert [row["id"] for row in (await people.ask("GET", f"/v1/audit?after={last - 1}")).json["rows"]] == [last]


async def test_a_plan_tells_what_would_be_done_and_writes_nothing(tmp_path: Path, people: People) -> None:
    found = (await people.ask("GET", PLAN, by="olga")).json
    assert (found["version"], found["destination"]) == ("v2", "v1")
    assert (found["expected"], found["desired"]) == ({"v1": 0, "v2": 1}, {"v1": 1, "v2": 0})
    assert found["text"] == "roll back v2 on router: v1 0% → 100%, v2 100% → 0%"
    assert len(found["plan"]) == 16
    assert (await people.ask("GET", PLAN)).json["plan"] == found["plan"]
    assert (tmp_path / "current").readlink() == Path("models/v2")
    assert people.handler.service.ledger.audit_rows(10) == []


async def test_an_order_waits_in_the_ledger_for_the_worker(people: People) -> None:
    plan = (await people.ask("GET", PLAN)).json["plan"]
    body = {"order": "rollback", "version": "v2", "plan": plan, "reason": "complaints"}
    answer = await people.ask("POST", ORDERS, body, by="olga")
    assert answer.status == 202
    order = people.handler.service.ledger.order(answer.json["id"])
    assert order is not None
    assert (order.target, order.version, order.plan, order.reason) == ("router", "v2", plan, "complaints")
    assert (order.kind, order.actor, order.force) == ("rollback", "olga.program", False)
    told = (await people.ask("GET", f"/v1/orders/{order.id}", by="rita")).json
    assert (told["order"], told["version"], told["actor"]) == ("rollback", "v2", "olga.program")
    assert [row.actor for row in people.handler.audit("order")][:1] == ["olga.program"]


NARROW = (
    (ORDERS, {"order": "rollback", "version": "v2", "force": True, "reason": "x"}, "rita"),
    (ORDERS, {"order": "rollback", "version": "v2", "force": True, "reason": "x"}, "alex"),
    ("/v1/freeze", {"target": "all"}, "alex"),
    ("/v1/unfreeze", {"target": "all"}, "rita"),
    ("/v1/incidents/x/acknowledge", None, "rita"),
    ("/v1/incidents/x/approve", {"plan": "ab"}, "olga"),
    ("/v1/incidents/x/refuse", {"plan": "ab"}, "olga"),
    ("/v1/versions/release-from-quarantine", {"model": "clicks", "digest": "v2", "reason": "x"}, "alex"),
    ("/-/freeze", None, "alex"),
    ("/-/reload", None, "rita"),
)


async def test_a_scope_is_needed_for_every_change(people: People) -> None:
    for path, body, by in NARROW:
        answer = await people.ask("POST", path, body, by=by)
        assert (path, answer.status) == (path, 403)
        assert "needs the scope" in answer.json["error"]
    assert (await people.ask("GET", PLAN, by="rita")).status == 403  # it looks at the target
    assert people.handler.service.ledger.audit_rows(10) == []


WRONG: tuple[tuple[str, str, object, int, list[str] | None], ...] = (
    ("GET", "/v1/targets/nobody", None, 404, ["router"]),
    ("GET", "/v1/incidents/nobody", None, 404, None),
    ("GET", "/v1/incidents?target=nobody", None, 404, ["router"]),
    ("GET", "/v1/releases?target=nobody", None, 404, ["router"]),
    ("GET", "/v1/releases/nobody", None, 404, None),
    ("GET", "/v1/versions?model=nobody", None, 404, ["clicks"]),
    ("GET", "/v1/orders/nobody", None, 404, None),
    ("GET", "/v1/audit?after=-1", None, 400, None),
    ("GET", "/v1/audit?after=%D9%A3", None, 400, None),
    ("GET", "/v1/audit?after=" + "9" * 400, None, 400, None),
    ("GET", "/v1/plan?target=router", None, 400, None),
    ("GET", "/v1/plan?target=router&order=withdraw", None, 400, ["rollback", "promote", "submit"]),
    ("GET", "/v1/plan?target=router&order=rollback&version=v9", None, 404, ["v1", "v2"]),
    ("GET", "/v1/plan?target=router&order=rollback&version=v1", None, 409, None),
    ("GET", "/v1/plan?target=router&order=promote", None, 409, None),
    ("POST", ORDERS, {"order": "explode"}, 400, None),
    ("POST", ORDERS, {"order": "rollback", "version": "v2"}, 400, None),
    ("POST", ORDERS, {"order": "rollback", "version": "v2", "force": True}, 400, None),
    ("POST", ORDERS, {"order": "rollback", "plan": "ab"}, 400, ["v1", "v2"]),
    ("POST", ORDERS, {"order": "rollback", "version": "v2", "plan": "../etc"}, 400, None),
    ("POST", ORDERS, {"order": "rollback", "version": "v2", "colour": "red"}, 400, None),
    ("POST", ORDERS, {"order": "rollback", "version": "v2", "plan": "ab", "reason": "x" * 201}, 400, None),
    ("POST", ORDERS, {"order": "submit", "version": "v2"}, 409, None),
    ("POST", ORDERS, ["rollback"], 400, None),
    ("POST", ORDERS, None, 415, ["application/json"]),
    ("POST", "/v1/targets/nobody/orders", {"order": "submit", "version": "v2"}, 404, ["router"]),
    ("POST", "/v1/incidents/nobody/approve", {"plan": "ab"}, 404, None),
    ("POST", "/v1/incidents/nobody/acknowledge", None, 404, None),
    ("POST", "/v1/freeze", {"target": "nobody"}, 404, ["all", "router"]),
    ("POST", "/v1/freeze", {"target": "all", "level": "none"}, 400, None),
    ("POST", "/v1/unfreeze", {"target": "router"}, 409, None),
    ("POST", "/v1/versions/release-from-quarantine", {"model": "clicks", "digest": "x", "reason": "y"}, 404, None),
    ("POST", "/v1/versions/release-from-quarantine", {"model": "clicks", "digest": "x", "reason": ""}, 400, None),
    ("POST", "/-/freeze?level=half", None, 400, ["promote", "all"]),
)


async def test_what_is_wrong_gets_4xx_and_what_is_allowed(people: People) -> None:
    for method, path, body, status, allowed in WRONG:
        answer = await people.ask(method, path, body)
        assert (path, answer.status) == (path, status), answer.text
        assert answer.json["error"]
        if allowed is not None:
            assert answer.json["allowed"] == allowed
    assert people.handler.service.ledger.audit_rows(10) == []


async def test_bytes_that_are_no_json_are_a_bad_request(people: People) -> None:
    for body in (b"\xff\xfe", b"{", b'{"order":"rollback","version":"\xed\xa0\x80"}', b"[" * 100_000):
        assert await people.handler.post(body, path=ORDERS) == 400


async def test_a_page_of_another_site_cannot_change_anything(people: People) -> None:
    for origin in ("https://evil.example", "null"):
        for path in ("/v1/freeze", "/-/freeze"):
            answer = await people.ask("POST", path, {"target": "all"}, headers={"Origin": origin})
            assert answer.status == 403
    for site in ("cross-site", "same-site"):
        answer = await people.ask("POST", "/v1/freeze", {"target": "all"}, headers={"Sec-Fetch-Site": site})
        assert answer.status == 403
    assert people.handler.service.ledger.freezes() == []


async def test_freezes_have_levels_and_scopes(people: People) -> None:
    ledger = people.handler.service.ledger
    await people.ask("POST", "/v1/freeze", {"target": "all", "reason": "audit"}, by="olga")
    assert ledger.frozen("router") == "all"
    await people.ask("POST", "/v1/freeze", {"target": "router", "level": "promote"}, by="olga")
    left = (await people.ask("POST", "/v1/unfreeze", {"target": "all"}, by="olga")).json["freezes"]
    assert [(f["scope"], f["level"]) for f in left] == [("router", "promote")]
    assert (await people.ask("POST", "/-/freeze?target=router&level=promote")).json == {"frozen": {"router": False}}
    assert (await people.ask("POST", "/-/freeze")).json == {"frozen": {"router": True}}


async def test_acknowledging_twice_is_no_error(people: People) -> None:
    name = await resolved(people)
    for by in ("olga", "root"):
        answer = await people.ask("POST", f"/v1/incidents/{name}/acknowledge", by=by)
        assert (answer.status, answer.json["acknowledged_by"]) == (200, "olga.program")
    assert len(people.handler.audit("acknowledge")) == 1


async def test_only_a_person_takes_an_artefact_out_of_quarantine(people: People) -> None:
    ledger = people.handler.service.ledger
    bad = Version("clicks", "v2", "v2", VersionStatus.QUARANTINED, "rolled back", "handler", 1.0)
    ledger.set_version(bad, target="router")
    body = {"model": "clicks", "digest": "v2", "reason": "the label join was broken"}
    answer = await people.ask("POST", "/v1/versions/release-from-quarantine", body, by="olga")
    assert (answer.status, answer.json["status"], answer.json["actor"]) == (200, "candidate", "olga.program")
    assert [v["status"] for v in (await people.ask("GET", "/v1/versions?model=clicks")).json["versions"]] == [
        "candidate"
    ]


async def test_an_approval_is_bound_to_the_plan_and_to_time(tmp_path: Path, api: QueryAPI) -> None:
    text = written(tmp_path, api, extra="  approval: {required: true, four_eyes: true}\n")
    async with serving_people(tmp_path, text) as people:
        name = waiting(people, plan="00112233aabbccdd", actor="alex.program")
        wrong = await people.ask("POST", f"/v1/incidents/{name}/approve", {"plan": "00"}, by="root")
        assert (wrong.status, wrong.json["allowed"]) == (409, ["00112233aabbccdd"])
        own = await people.ask("POST", f"/v1/incidents/{name}/approve", {"plan": "00112233aabbccdd"}, by="alex")
        assert own.status == 403
        assert "another person must approve" in own.json["error"]
        answer = await people.ask("POST", f"/v1/incidents/{name}/approve", {"plan": "00112233aabbccdd"}, by="root")
        assert (answer.status, answer.json["order"], answer.json["plan"]) == (202, "approve", "00112233aabbccdd")


def waiting(people: People, *, plan: str, actor: str) -> str:
    """Put an incident that waits for approval into the ledger; gives its id."""

    ledger, now = people.handler.service.ledger, people.handler.service.now()
    found = incident(state=IncidentState.AWAITING_APPROVAL, plan=plan, actor=actor, now=now)
    assert ledger.plan([], found, None, allowed=lambda _view: True, body={}, since=0.0, now=now)
    return found.id


async def test_the_configuration_is_shown_without_secrets(tmp_path: Path, api: QueryAPI) -> None:
    target = "{type: command, argv: [/bin/true, --token=hunter2], observe: [/bin/echo, hunter2], versions: [v1, v2]}"
    text = configuration(api.url, target, mode="observe").replace(
        f"url: '{api.url}'", f"url: '{api.url}/?key=hunter2', bearer_token_file: /run/token"
    )
    async with serving_people(tmp_path, text) as people:
        answer = await people.ask("GET", "/config", by="rita")
        assert answer.status == 200
        assert "hunter2" not in answer.text
        found = answer.json["configuration"]
        assert found["prometheus"]["bearer_token_file"] == "/run/token"
        assert found["targets"][0]["kind"]["argv"] == ["/bin/true", "<hidden>"]
        assert answer.json["digest"] == people.handler.service.settings.digest


async def test_in_mode_observe_nothing_can_be_ordered(tmp_path: Path, api: QueryAPI) -> None:
    async with serving_people(tmp_path, written(tmp_path, api, mode="observe")) as people:
        answer = await people.ask("POST", ORDERS, {"order": "rollback", "version": "v2", "plan": "ab"})
        assert answer.status == 409
        assert "mode observe" in answer.json["error"]
        assert people.handler.service.ledger.pending_orders("router") == []


async def test_a_ledger_that_fails_is_503_and_not_a_crash(people: People) -> None:
    people.handler.service.ledger._db.close()
    answer = await people.ask("GET", "/v1/targets")
    assert answer.status == 503
    assert "ledger" in answer.json["error"]


def test_states_of_orders_are_the_ones_that_clients_wait_for() -> None:
    assert set(OrderState) == {"pending", "done", "refused"}
