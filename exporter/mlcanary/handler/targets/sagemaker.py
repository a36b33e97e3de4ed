"""The production variants of a SageMaker endpoint: their weights.

`observe` tells the weights that serve (`CurrentWeight`); while the endpoint is updating these are the old ones, so
an order is waited for until they are the new ones. An endpoint whose rollback failed needs a person: ActionError.
Weights are proportions; those that are not whole numbers are told in percent of their sum.

The calls of boto3 block, so each runs in a thread, once, with timeouts: a call that is given up may still arrive.
Credentials are those that boto3 finds (role of the pod or machine, `AWS_*`, `~/.aws`).

Source: SageMaker API, DescribeEndpoint and UpdateEndpointWeightsAndCapacities.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import threading
from typing import Annotated, Any

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError, ConfigError
from mlcanary.handler.targets.contract import Guard, RefusedError, State, check_guard
from mlcanary.handler.targets.http import Url

AWSName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
Region = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
_MAKING = threading.Lock()  # a session makes one client at a time
_READY = "InService"
_SERVING = (_READY, "Updating", "SystemUpdating", "RollingBack")


class SageMakerSettings(Schema, frozen=True, kw_only=True, tag_field="type", tag="sagemaker"):
    """`versions` maps a version to its variant. `url` is for an endpoint of the API of your own network.

    An update may take `settle`; one call takes at most `timeout`.
    """

    endpoint: AWSName
    versions: dict[str, AWSName]
    region: Region
    url: Url | None = None
    timeout: Seconds = Seconds(10.0)
    settle: Seconds = Seconds(600.0)


class _Variant(msgspec.Struct):
    name: str = msgspec.field(name="VariantName")
    weight: float = msgspec.field(name="CurrentWeight", default=0.0)
    instances: int | None = msgspec.field(name="CurrentInstanceCount", default=None)


class _Endpoint(msgspec.Struct):
    status: str = msgspec.field(name="EndpointStatus")
    variants: list[_Variant] = msgspec.field(name="ProductionVariants", default_factory=list)


class SageMakerTarget:
    """See `contract.Target`. Raises ConfigError at once where boto3 is not installed."""

    weighted = True

    def __init__(self, settings: SageMakerSettings) -> None:
        if importlib.util.find_spec("boto3") is None:
            raise ConfigError("a target of type sagemaker needs boto3", hint="pip install 'mlcanary[sagemaker]'")
        self._settings = settings
        self._client: Any = None
        self._title = f"endpoint {settings.endpoint}"

    async def observe(self) -> State:
        """The weights that serve now."""
        return self._state(await self._described())

    async def apply(self, desired: State, guard: Guard) -> None:
        """Order the weights; refused unless the endpoint is in service."""
        if not await self._pending(desired, guard):
            return
        weights = [
            {"VariantName": self._settings.versions[version], "DesiredWeight": float(weight)}
            for version, weight in desired.weights
        ]
        await self._call(
            "update_endpoint_weights_and_capacities",
            EndpointName=self._settings.endpoint,
            DesiredWeightsAndCapacities=weights,
        )

    async def complete(self, desired: State, guard: Guard) -> None:
        """The order is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds, the endpoint is in service and the variants have instances; there is no dry run."""
        await self._pending(desired, guard)

    async def owner(self) -> str:
        """Nobody can be told: the API names no writers."""
        return ""

    async def _pending(self, desired: State, guard: Guard) -> bool:
        """Whether there is something to order. Raises RefusedError if SageMaker could not carry it out."""
        endpoint = await self._described()
        if not check_guard(self._state(endpoint), desired, guard):
            return False
        if desired.total == 0:
            raise RefusedError("all weights would be 0: nobody would serve")
        if endpoint.status != _READY:
            raise RefusedError(f"{self._title} is {endpoint.status}", hint="weights can be set while it is InService")
        instances = {variant.name: variant.instances for variant in endpoint.variants}
        empty = [v for v, weight in desired.weights if weight > 0 and instances[self._settings.versions[v]] == 0]
        if empty:
            raise RefusedError(f"{self._title}: {', '.join(empty)} has no instance", hint="give the variant capacity")
        return True

    async def _described(self) -> _Endpoint:
        answer = await self._call("describe_endpoint", EndpointName=self._settings.endpoint)
        try:
            endpoint = msgspec.convert(answer, _Endpoint)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ActionError(f"{self._title}: unexpected form: {error}") from error
        if endpoint.status not in _SERVING:
            raise ActionError(
                f"{self._title} is {endpoint.status}", hint="the endpoint does not serve as ordered: a person must look"
            )
        return endpoint

    def _state(self, endpoint: _Endpoint) -> State:
        weights = {variant.name: variant.weight for variant in endpoint.variants}
        names = set(self._settings.versions.values())
        strangers = sorted(name for name, weight in weights.items() if weight > 0 and name not in names)
        missing = sorted(names - set(weights))
        if strangers or missing:
            what = f"{', '.join(strangers)} serves and is no version" if strangers else f"has no {', '.join(missing)}"
            raise ActionError(f"{self._title}: {what}", hint="check versions of the target")
        whole = all(float(weight).is_integer() for weight in weights.values())
        total = sum(weights.values())
        return State.of({v: _rounded(weights[n], 0 if whole else total) for v, n in self._settings.versions.items()})

    async def _call(self, operation: str, **arguments: object) -> object:
        client = await asyncio.to_thread(self._connected)  # reads files of boto3 once, which is not the API's time
        limit = self._settings.timeout
        try:
            async with asyncio.timeout(limit):
                return await asyncio.to_thread(self._ask, client, operation, arguments)
        except TimeoutError as error:
            raise ActionError(f"{self._title}: {operation}: no answer within {limit:g} s") from error

    def _connected(self) -> Any:
        """The client, made at the first call. Connects to nothing yet."""
        from botocore import exceptions  # noqa: PLC0415 - an extra that no other target should load
        from botocore.config import Config  # noqa: PLC0415

        limit = float(self._settings.timeout)
        config = Config(connect_timeout=limit, read_timeout=limit, retries={"total_max_attempts": 1})
        with _MAKING:
            if self._client is None:
                try:
                    session = _session(self._settings.region)
                    self._client = session.client("sagemaker", endpoint_url=self._settings.url, config=config)
                except (exceptions.BotoCoreError, ValueError) as error:
                    raise RefusedError(f"{self._title}: {error}", hint="check region, url and AWS_PROFILE") from error
        return self._client

    def _ask(self, client: Any, operation: str, arguments: dict[str, object]) -> object:
        from botocore import exceptions  # noqa: PLC0415

        never_sent = (
            exceptions.EndpointConnectionError,
            exceptions.ConnectTimeoutError,
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.ParamValidationError,
        )
        try:
            return getattr(client, operation)(**arguments)
        except exceptions.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            refused = 400 <= status < 500
            raise (RefusedError if refused else ActionError)(f"{self._title}: {error}") from error
        except never_sent as error:
            raise RefusedError(f"{self._title}: {operation}: {error}") from error
        except exceptions.BotoCoreError as error:
            raise ActionError(f"{self._title}: {operation}: {error}") from error


@functools.cache
def _session(region: str) -> Any:
    """One per region: it holds the description of the API, which takes most of a second to read."""
    import boto3  # noqa: PLC0415

    return boto3.session.Session(region_name=region)


def _rounded(weight: float, total: float) -> int:
    """A weight as a whole number: as it is (`total` 0), or in percent of the sum, 1 or more if it is not nothing."""
    if not total:
        return int(weight)
    return max(round(100 * weight / total), int(weight > 0))
