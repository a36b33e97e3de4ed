"""The MLflow target against a real MLflow server, and against servers that lie."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aiohttp import web

from handler_world import free_port
from loopback_server import loopback
from mlcanary.errors import ActionError, ConfigError
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.mlflow import MLflowSettings, MLflowTarget
from mlcanary.handler.targets.reload import Reload
from mlflow_world import Registry

V1, V2 = State.of({"v1": 1, "v2": 0}), State.of({"v1": 0, "v2": 1})
GUARD = Guard("a1", V2)


async def test_the_alias_is_seen_and_set(registry: Registry, registered: str) -> None:
    target = MLflowTarget(registry.settings(registered))
    assert await target.observe() == V2
    await target.rehearse(V1, GUARD)
    assert registry.pointed(registered) == "2"
    await target.apply(V1, GUARD)
    assert await target.observe() == V1
    await target.apply(V1, GUARD)
    await target.complete(V1, GUARD)
    assert registry.pointed(registered) == "1"
    assert (target.weighted, await target.owner()) == (False, "")


async def test_the_reload_comes_after_the_alias_and_again_when_repeated(registry: Registry, registered: str) -> None:
    seen: list[tuple[str, str]] = []

    async def reload(request: web.Request) -> web.Response:
        seen.append((registry.pointed(registered), request.headers["Idempotency-Key"]))
        return web.Response()

    async with loopback(web.post("/reload", reload)) as url:
        target = MLflowTarget(registry.settings(registered, reload=Reload(url=f"{url}/reload")))
        await target.apply(V1, GUARD)
        await target.apply(V1, GUARD)
        await target.complete(V1, GUARD)
    assert seen == [("1", "a1")] * 3
    target = MLflowTarget(registry.settings(registered, reload=Reload(url=f"http://127.0.0.1:{free_port()}/")))
    with pytest.raises(ActionError):
        await target.apply(V2, Guard("a2", V1))
    assert registry.pointed(registered) == "2"


async def test_a_deleted_version_does_not_get_the_alias(registry: Registry, registered: str) -> None:
    registry.delete(registered, 1)
    target = MLflowTarget(registry.settings(registered))
    for order in (target.rehearse, target.apply):
        with pytest.raises(RefusedError, match=r"version=1\) not found") as caught:
            await order(V1, GUARD)
        assert caught.value.hint == "a deleted version cannot serve"
    assert registry.pointed(registered) == "2"


async def test_an_alias_that_went_with_its_version_is_told(registry: Registry, registered: str) -> None:
    registry.delete(registered, 2)
    target = MLflowTarget(registry.settings(registered))
    for order in (target.observe, lambda: target.apply(V1, GUARD)):
        with pytest.raises(ActionError, match="alias champion not found") as caught:
            await order()
        assert caught.value.hint == "a server drops an alias with its version; give champion to a version by hand"
    with pytest.raises(ActionError, match="Registered Model with name=nobody not found"):
        await MLflowTarget(registry.settings("nobody")).observe()


async def test_an_alias_that_others_moved_is_left_alone(registry: Registry, registered: str) -> None:
    registry.point(registered, 3)
    with pytest.raises(ActionError, match="names version '3', which is not configured"):
        await MLflowTarget(registry.settings(registered)).apply(V1, GUARD)
    three = MLflowTarget(registry.settings(registered, versions={"v1": 1, "v2": 2, "v3": 3}))
    versions = ("v1", "v2", "v3")
    for order in (three.apply, three.rehearse):
        with pytest.raises(ConflictError):
            await order(State.only("v1", versions), Guard("a1", State.only("v2", versions)))
    assert registry.pointed(registered) == "3"


async def test_an_alias_cannot_be_split(registry: Registry, registered: str) -> None:
    target = MLflowTarget(registry.settings(registered))
    for desired in (State.of({"v1": 95, "v2": 5}), State.of({"v1": 0, "v2": 0}), State.of({"v9": 1})):
        with pytest.raises(RefusedError, match="names exactly one of the configured versions"):
            await target.apply(desired, GUARD)
    assert registry.pointed(registered) == "2"


Answers = Callable[[web.Request], dict[str, object]]


async def told(answers: Answers, settings: Callable[[str], MLflowSettings], *, status: int = 200) -> ActionError:
    """The error of an `apply` at a server that answers so."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers(request), status=status)

    async with loopback(web.route("*", "/{path:.*}", answer)) as url:
        with pytest.raises(ActionError) as caught:
            await MLflowTarget(settings(url)).apply(V1, GUARD)
    return caught.value


def at(url: str) -> MLflowSettings:
    return Registry(url).settings("clicks")


def version(number: int, status: str = "READY") -> dict[str, object]:
    return {"model_version": {"version": str(number), "status": status}}


async def test_a_server_that_takes_the_order_and_does_nothing_is_no_success() -> None:
    error = await told(lambda request: version(1 if "model-versions" in request.path else 2), at)
    assert str(error) == 'MLflow took the order, and the alias is at {"v1":0,"v2":1}'
    assert not isinstance(error, RefusedError)


async def test_a_version_that_is_not_ready_is_refused() -> None:
    error = await told(lambda request: version(2, "FAILED_REGISTRATION"), at)
    assert (type(error), str(error)) == (RefusedError, "version 1 of clicks is FAILED_REGISTRATION, not READY")


async def test_an_answer_that_is_none_is_an_error_of_the_target() -> None:
    assert "no answer of MLflow" in str(await told(lambda request: {"hello": 1}, at))
    error = await told(lambda request: {"message": 5}, at, status=403)
    assert "HTTP 403" in str(error)


@pytest.mark.parametrize("kind", ["bearer_token_file", "password_file"])
async def test_the_server_is_told_who_we_are(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    secret = tmp_path_factory.mktemp("secret") / "file"
    secret.write_text("s3cret\n")
    seen: list[str] = []

    def answers(request: web.Request) -> dict[str, object]:
        seen.append(request.headers["Authorization"])
        return version(3)

    given: dict[str, object] = {kind: str(secret), **({"username": "ann"} if kind == "password_file" else {})}
    await told(answers, lambda url: Registry(url).settings("clicks", **given))
    assert seen == ["Basic YW5uOnMzY3JldA==" if kind == "password_file" else "Bearer s3cret"]
    secret.unlink()
    error = await told(answers, lambda url: Registry(url).settings("clicks", **given))
    assert isinstance(error, RefusedError)
    assert "credentials cannot be read" in str(error)


async def test_a_server_that_is_not_there_changed_nothing() -> None:
    with pytest.raises(RefusedError):
        await MLflowTarget(at(f"http://127.0.0.1:{free_port()}")).observe()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"alias": "V12"}, "target.alias: found 'V12'; allowed: another name"),
        ({"alias": "Latest"}, "target.alias: found 'Latest'; allowed: another name"),
        ({"alias": "a.b"}, "target.alias: found 'a.b'"),
        ({"versions": {"v1": 1, "v2": 1}}, "target.versions.v2: found 1, as v1 has; allowed: one that no other has"),
        ({"username": "a:b", "password_file": "/x"}, "target.username: found 'a:b'"),
        ({"username": "ann"}, "found one of username and password_file; allowed: both or none"),
        ({"username": "ann", "password_file": "/x", "bearer_token_file": "/y"}, "found a bearer_token_file too"),
        ({"tracking_url": "http://169.254.169.254/"}, "target.tracking_url: found 'http://169.254.169.254/'"),
        ({"reload": {"url": "http://169.254.169.254/"}}, "target.reload.url: found 'http://169.254.169.254/'"),
        ({"reload": {}}, "target.reload: found neither; allowed: pid_file or url"),
    ],
)
def test_a_section_that_cannot_be_is_told_with_its_key(changes: dict[str, object], found: str) -> None:
    section = {"type": "mlflow", "tracking_url": "http://127.0.0.1:5000", "name": "clicks", **changes}
    section.setdefault("versions", {"v1": 1, "v2": 2})
    document = {
        "prometheus": {"url": "http://127.0.0.1:9090"},
        "targets": [{"name": "registry", "model": "clicks", "target": section}],
    }
    with pytest.raises(ConfigError) as caught:
        parse_settings(json.dumps(document), "handler.yml")
    assert found in str(caught.value)
