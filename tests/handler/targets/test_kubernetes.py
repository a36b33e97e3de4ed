"""How the Kubernetes API is reached: credentials, refusals in its own words, silence, and bytes that are no answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from handler_world import free_port
from kubernetes_api import KubernetesAPI
from kubernetes_objects import place, virtual_service
from loopback_server import loopback
from mlcanary.errors import ActionError, ConfigError
from mlcanary.handler.calls import HTTPRefusedError
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.contract import Guard, RefusedError, State
from mlcanary.handler.targets.istio import VIRTUAL_SERVICES, IstioSettings, IstioTarget
from mlcanary.handler.targets.kubernetes import KubernetesObject, Operation

VERSIONS = {"v1": "stable", "v2": "canary"}
NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)


@pytest.fixture
async def api() -> AsyncIterator[KubernetesAPI]:
    served = KubernetesAPI()
    served.add(virtual_service())
    async with served.serving():
        yield served


def settings(api: KubernetesAPI, directory: Path, **changes: object) -> IstioSettings:
    keys = {**place(api, directory / "token"), **changes}
    return IstioSettings(**keys, versions=VERSIONS)


def test_inside_a_cluster_the_pod_s_account_is_used() -> None:
    inside = IstioSettings(name="clicks", namespace="models", versions=VERSIONS)
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert inside.server == "https://kubernetes.default.svc"
    assert (inside.access().bearer_token_file, inside.access().ca_file) == (f"{account}/token", f"{account}/ca.crt")
    outside = IstioSettings(name="clicks", namespace="models", versions=VERSIONS, server="http://127.0.0.1:8001")
    assert (outside.access().bearer_token_file, outside.access().ca_file) == ("", "")
    own = IstioSettings(name="clicks", namespace="models", versions=VERSIONS, bearer_token_file="/t", ca_file="/c")
    assert (own.access().bearer_token_file, own.access().ca_file) == ("/t", "/c")


async def test_a_token_that_rotates_counts_at_once(api: KubernetesAPI, tmp_path: Path) -> None:
    target = IstioTarget(settings(api, tmp_path))
    assert await target.observe() == NOW
    api.token = "the next one"
    with pytest.raises(RefusedError, match="HTTP 401: Unauthorized"):
        await target.observe()
    (tmp_path / "token").write_text("the next one\n", encoding="ascii")
    assert await target.observe() == NOW
    (tmp_path / "token").unlink()
    with pytest.raises(RefusedError, match="credentials cannot be read"):
        await target.observe()


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422])
async def test_a_refusal_is_told_in_the_words_of_the_api_and_changed_nothing(
    api: KubernetesAPI, tmp_path: Path, status: int
) -> None:
    api.faults = [status]
    with pytest.raises(HTTPRefusedError, match=f"HTTP {status}: the server says no") as caught:
        await IstioTarget(settings(api, tmp_path)).apply(DESIRED, GUARD)
    assert (caught.value.status, len(api.patches), api.writes) == (status, 1, 0)
    api.read_status = status
    with pytest.raises(HTTPRefusedError, match=f"HTTP {status}: the server says no"):
        await IstioTarget(settings(api, tmp_path)).observe()


@pytest.mark.parametrize(("fault", "writes"), [(500, 0), (503, 0), ("cut", 0), ("cut after", 1), ("hang", 0)])
async def test_after_silence_or_a_server_error_nobody_knows(
    api: KubernetesAPI, tmp_path: Path, fault: int | str, writes: int
) -> None:
    api.faults = [fault]
    target = IstioTarget(settings(api, tmp_path))
    hasty = IstioTarget(settings(api, tmp_path, timeout=0.5))
    with pytest.raises(ActionError) as caught:
        await (hasty if fault == "hang" else target).apply(DESIRED, GUARD)
    assert not isinstance(caught.value, RefusedError)
    assert api.writes == writes
    assert await target.observe() == (DESIRED if writes else NOW)
    await target.apply(DESIRED, GUARD)
    assert (await target.observe(), api.writes) == (DESIRED, 1)


async def test_an_answer_without_an_effect_is_seen(api: KubernetesAPI, tmp_path: Path) -> None:
    api.faults = ["lie"]
    target = IstioTarget(settings(api, tmp_path))
    await target.apply(DESIRED, GUARD)
    assert await target.observe() == NOW


async def test_a_server_that_is_not_there_changed_nothing(api: KubernetesAPI, tmp_path: Path) -> None:
    elsewhere = settings(api, tmp_path, server=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RefusedError):
        await IstioTarget(elsewhere).observe()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (403, b"<html>\n<b>a proxy says\tno</b>", "HTTP 403: <html> <b>a proxy says no</b>"),
        (403, b"\xff\xfe" + b"x" * 5000, "HTTP 403: .{300}$"),
        (302, b"", "HTTP 302"),
        (200, b"[1]", "not an object of the API"),
        (200, b"[" * 100_000, "not an object of the API"),
        (200, b"caf\xe9", "not an object of the API"),
    ],
)
async def test_bytes_that_are_no_answer_of_the_api_are_an_error_of_the_target(
    api: KubernetesAPI, tmp_path: Path, status: int, body: bytes, told: str
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with loopback(web.get("/{path:.*}", answer)) as server:
        with pytest.raises(ActionError, match=told):
            await IstioTarget(settings(api, tmp_path, server=server)).observe()


async def test_a_status_is_merged_where_it_is_and_a_second_404_is_told(api: KubernetesAPI, tmp_path: Path) -> None:
    found = KubernetesObject(settings(api, tmp_path, name="absent"), VIRTUAL_SERVICES)
    with pytest.raises(HTTPRefusedError, match="HTTP 404"):
        await found.merge_status({"abort": True})
    assert [patch.path.rpartition("/")[2] for patch in api.patches] == ["status", "absent"]


async def test_nothing_to_change_is_not_sent(api: KubernetesAPI, tmp_path: Path) -> None:
    async def nothing(found: dict[str, object]) -> list[Operation]:
        assert found["kind"] == "VirtualService"
        return []

    await KubernetesObject(settings(api, tmp_path), VIRTUAL_SERVICES).change(nothing)
    assert api.patches == []


def configuration(**changes: object) -> str:
    keys = {"type": "istio", "name": "clicks", "namespace": "models", "versions": "{v1: a, v2: b}", **changes}
    section = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"prometheus: {{url: http://127.0.0.1:9090}}\ntargets:\n- {{name: a, model: m, target: {{{section}}}}}\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"namespace": "a/../b"}, r"targets\.0\.target\.namespace: found 'a/\.\./b'"),
        ({"name": "'x?dryRun=All'"}, r"targets\.0\.target\.name: found 'x\?dryRun=All'"),
        ({"server": "http://169.254.169.254"}, r"targets\.0\.target\.server: found 'http://169\.254\.169\.254'"),
        ({"server": "file:///etc"}, r"targets\.0\.target\.server"),
        ({"versions": "{v1: a}"}, r"targets\.0\.target\.versions: found 1 version; allowed: two or more"),
        ({"type": "deployment", "by": "field:x"}, r"targets\.0\.target\.by: found 'field:x'"),
        ({"type": "kserve"}, r"targets\.0\.target\.mode: found nothing"),
    ],
)
def test_a_wrong_place_is_told_before_anything_starts(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_settings(configuration(**changes), "h.yml")


def test_the_section_is_read() -> None:
    (plan,) = parse_settings(configuration(timeout="2s", settle="1m", route="split"), "h.yml").targets
    assert isinstance(plan.kind, IstioSettings)
    assert (plan.versions, float(plan.kind.timeout), float(plan.kind.settle)) == (("v1", "v2"), 2.0, 60.0)
