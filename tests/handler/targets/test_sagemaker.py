"""The SageMaker target against moto, and against a stub where moto is too good: it sets weights at once."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator

import pytest

from handler_world import free_port
from mlcanary.documents import Seconds
from mlcanary.errors import ActionError, ConfigError
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.sagemaker import SageMakerSettings, SageMakerTarget
from sagemaker_emulator import REGION, Endpoint, emulated

VERSIONS = {"v1": "stable", "v2": "canary"}
NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with emulated(monkeypatch):
        yield


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    async with Endpoint().serving(monkeypatch) as served:
        yield served


def target(url: str | None = None, *, timeout: float = 5.0, versions: dict[str, str] | None = None) -> SageMakerTarget:
    names = versions or VERSIONS
    settings = SageMakerSettings(endpoint="clicks", versions=names, region=REGION, url=url, timeout=Seconds(timeout))
    return SageMakerTarget(settings)


@pytest.mark.usefixtures("moto")
async def test_it_sees_and_sets_the_weights_of_the_variants() -> None:
    sagemaker = target()
    assert await sagemaker.observe() == NOW
    await sagemaker.rehearse(DESIRED, GUARD)
    assert await sagemaker.observe() == NOW
    await sagemaker.apply(DESIRED, GUARD)
    assert await sagemaker.observe() == DESIRED


@pytest.mark.usefixtures("moto")
async def test_what_the_api_refuses_changed_nothing() -> None:
    absent = SageMakerSettings(endpoint="nobody", versions=VERSIONS, region=REGION)
    with pytest.raises(RefusedError, match="Could not find endpoint"):
        await SageMakerTarget(absent).observe()
    with pytest.raises(ActionError, match="has no other"):
        await target(versions={**VERSIONS, "v3": "other"}).observe()
    with pytest.raises(ActionError, match="canary serves and is no version"):
        await target(versions={"v1": "stable"}).observe()


async def test_an_update_under_way_shows_the_old_weights_and_takes_no_order(endpoint: Endpoint) -> None:
    endpoint.at_once = False
    sagemaker = target(endpoint.url)
    await sagemaker.apply(DESIRED, GUARD)
    assert await sagemaker.observe() == NOW
    with pytest.raises(RefusedError, match="endpoint clicks is Updating"):
        await sagemaker.apply(DESIRED, GUARD)
    endpoint.finish()
    assert await sagemaker.observe() == DESIRED
    assert endpoint.orders == [{"stable": 100.0, "canary": 0.0}]


@pytest.mark.parametrize("status", ["UpdateRollbackFailed", "Failed", "OutOfService", "Deleting"])
async def test_an_endpoint_that_is_broken_needs_a_person(endpoint: Endpoint, status: str) -> None:
    endpoint.status = status
    with pytest.raises(ActionError, match=f"endpoint clicks is {status}") as caught:
        await target(endpoint.url).observe()
    assert "a person must look" in caught.value.hint
    assert not isinstance(caught.value, RefusedError)


async def test_a_variant_without_an_instance_gets_no_traffic(endpoint: Endpoint) -> None:
    endpoint.instances["stable"] = 0
    for act in (target(endpoint.url).apply, target(endpoint.url).rehearse):
        with pytest.raises(RefusedError, match="v1 has no instance"):
            await act(DESIRED, GUARD)
    with pytest.raises(RefusedError, match="nobody would serve"):
        await target(endpoint.url).apply(State.of({"v1": 0, "v2": 0}), GUARD)
    assert endpoint.orders == []


@pytest.mark.parametrize(
    ("fault", "refused"),
    [
        ((400, "ValidationException"), True),
        ((400, "AccessDeniedException"), True),
        ((400, "ThrottlingException"), True),
        ((500, "InternalFailure"), False),
        ("cut", False),
        ("hang", False),
    ],
)
async def test_a_refusal_changed_nothing_and_after_silence_nobody_knows(
    endpoint: Endpoint, fault: str | tuple[int, str], refused: bool
) -> None:
    endpoint.fault = fault
    with pytest.raises(ActionError) as caught:
        await target(endpoint.url, timeout=0.5 if fault == "hang" else 5.0).apply(DESIRED, GUARD)
    assert isinstance(caught.value, RefusedError) is refused


async def test_an_answer_without_an_effect_is_seen(endpoint: Endpoint) -> None:
    endpoint.fault = "lie"
    await target(endpoint.url).apply(DESIRED, GUARD)
    assert await target(endpoint.url).observe() == NOW


async def test_an_api_that_is_not_there_changed_nothing(endpoint: Endpoint) -> None:
    assert endpoint.url
    with pytest.raises(RefusedError):
        await target(f"http://127.0.0.1:{free_port()}").observe()


async def test_weights_that_are_no_whole_numbers_are_told_in_percent(endpoint: Endpoint) -> None:
    endpoint.weights = {"stable": 1.998, "canary": 0.002}
    found = State.of({"v1": 100, "v2": 1})  # 0.1 %, which is not nothing
    assert await target(endpoint.url).observe() == found
    await target(endpoint.url).apply(found.moved("v2", "v1"), Guard("a1", found))
    assert endpoint.orders == [{"stable": 101.0, "canary": 0.0}]


async def test_weights_of_another_writer_are_left_alone(endpoint: Endpoint) -> None:
    endpoint.weights = {"stable": 50.0, "canary": 50.0}
    with pytest.raises(ConflictError):
        await target(endpoint.url).apply(DESIRED, GUARD)
    assert endpoint.orders == []


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs boto3") as caught:
        target()
    assert caught.value.hint == "pip install 'mlcanary[sagemaker]'"
    section = f"{{type: sagemaker, endpoint: clicks, region: {REGION}, versions: {{v1: stable, v2: canary}}}}"
    text = f"prometheus: {{url: http://127.0.0.1:9090}}\ntargets:\n- {{name: a, model: clicks, target: {section}}}\n"
    with pytest.raises(ConfigError, match=r"h\.yml:3: targets\.0\.target\.type: found 'sagemaker' without boto3"):
        parse_settings(text, "h.yml")
