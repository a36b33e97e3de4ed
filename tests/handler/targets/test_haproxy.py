"""The HAProxy target against a real HAProxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handler_world import HAProxy, free_port
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.haproxy import HAProxySettings, HAProxyTarget

NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)


def target(socket: str, **changes: object) -> HAProxyTarget:
    settings: dict[str, object] = {"backend": "models", "servers": {"v1": "stable", "v2": "canary"}, **changes}
    return HAProxyTarget(HAProxySettings(socket=socket, **settings))  # type: ignore[arg-type]


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


async def test_it_sees_and_sets_the_weights(haproxy: HAProxy) -> None:
    router = target(haproxy.socket)
    assert await router.observe() == NOW
    await router.apply(DESIRED, GUARD)
    assert await router.observe() == DESIRED
    await router.apply(DESIRED, GUARD)
    await router.complete(DESIRED, GUARD)
    assert haproxy.weights() == {"v1": 100, "v2": 0}


async def test_it_leaves_the_weights_of_another_writer_alone(haproxy: HAProxy) -> None:
    haproxy.ask("set weight models/canary 55")
    with pytest.raises(ConflictError, match='"v2":55'):
        await target(haproxy.socket).apply(DESIRED, GUARD)
    assert haproxy.weights() == {"v1": 90, "v2": 55}


async def test_it_does_not_send_traffic_to_a_server_that_is_down(haproxy: HAProxy) -> None:
    haproxy.ask("set server models/stable state maint")
    with pytest.raises(RefusedError, match="models/stable of version v1 is not running"):
        await target(haproxy.socket).apply(DESIRED, GUARD)
    assert haproxy.weights() == {"v1": 90, "v2": 10}


async def test_an_error_that_haproxy_answers_as_text_is_an_error(haproxy: HAProxy) -> None:
    with pytest.raises(ActionError, match="No such server"):
        await target(haproxy.socket, servers={"v1": "stable", "v2": "nobody"}).observe()
    with pytest.raises(ActionError, match="answered"):
        await target(haproxy.socket).apply(State.of({"v1": 300, "v2": 10}), GUARD)
    assert haproxy.weights() == {"v1": 90, "v2": 10}


@pytest.mark.parametrize("balance", ["source", "static-rr"])
async def test_a_static_algorithm_keeps_the_weight_of_the_good_and_takes_that_of_the_bad(
    tmp_path: Path, balance: str
) -> None:
    with HAProxy(tmp_path, balance=balance).running() as haproxy:
        await target(haproxy.socket).apply(DESIRED, GUARD)
        assert haproxy.weights() == {"v1": 90, "v2": 0}
        assert DESIRED.fulfilled_by(await target(haproxy.socket).observe())
        await target(haproxy.socket).apply(DESIRED, GUARD)
        assert haproxy.weights() == {"v1": 90, "v2": 0}


@pytest.mark.parametrize(("balance", "after"), [("roundrobin", 10), ("source", 90), ("static-rr", 90)])
async def test_a_good_version_without_weight_gets_it_first(tmp_path: Path, balance: str, after: int) -> None:
    with HAProxy(tmp_path, balance=balance).running() as haproxy:
        haproxy.ask("set weight models/stable 0")
        found = State.of({"v1": 0, "v2": 10})
        await target(haproxy.socket).apply(found.moved("v2", "v1"), Guard("a1", found))
        assert haproxy.weights() == {"v1": after, "v2": 0}


async def test_the_bad_version_stays_if_the_good_one_can_get_no_weight(tmp_path: Path) -> None:
    haproxy = HAProxy(tmp_path, balance="static-rr")
    haproxy.config.write_text(haproxy.config.read_text().replace("weight 90", "weight 0"))
    with haproxy.running():
        found = State.of({"v1": 0, "v2": 10})
        with pytest.raises(RefusedError, match="gives v1 no weight"):
            await target(haproxy.socket).apply(found.moved("v2", "v1"), Guard("a1", found))
        assert haproxy.weights() == {"v1": 0, "v2": 10}


@pytest.mark.parametrize("socket", ["127.0.0.1:99999", "a..b:80"])
async def test_an_address_that_cannot_be_is_an_error_of_the_target(socket: str) -> None:
    with pytest.raises(ActionError):
        await target(socket).observe()


async def test_a_socket_that_nobody_serves_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ActionError):
        await target(str(tmp_path / "none.sock")).observe()
    with pytest.raises(ActionError):
        await target(f"127.0.0.1:{free_port()}").observe()


async def test_a_rehearsal_raises_what_the_action_would_and_writes_nothing(haproxy: HAProxy) -> None:
    router = target(haproxy.socket)
    await router.rehearse(DESIRED, GUARD)
    await router.rehearse(NOW, GUARD)
    with pytest.raises(ConflictError):
        await router.rehearse(DESIRED, Guard("a1", State.of({"v1": 50, "v2": 50})))
    haproxy.ask("set server models/stable state maint")
    with pytest.raises(RefusedError, match="models/stable of version v1 is not running"):
        await router.rehearse(DESIRED, GUARD)
    await router.rehearse(NOW, GUARD)
    assert haproxy.weights() == {"v1": 90, "v2": 10}
    assert (router.weighted, await router.owner()) == (True, "")


async def test_every_step_of_a_release_is_reached(haproxy: HAProxy) -> None:
    router, before = target(haproxy.socket), NOW
    for share in (0.01, 0.05, 0.25, 0.5, 1.0, 0.0):
        desired = State.split("v2", share, "v1", ("v1", "v2"))
        await router.apply(desired, Guard("a1", before))
        before = await router.observe()
        assert desired.reached_by(before)


async def test_a_static_algorithm_takes_no_step(tmp_path: Path) -> None:
    with HAProxy(tmp_path, balance="static-rr").running() as haproxy:
        desired = State.split("v2", 0.25, "v1", ("v1", "v2"))
        with pytest.raises(ActionError, match="static LB algorithm"):
            await target(haproxy.socket).apply(desired, GUARD)
        assert haproxy.weights() == {"v1": 90, "v2": 10}
