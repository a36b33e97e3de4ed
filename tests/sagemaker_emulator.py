"""SageMaker for tests: moto inside the process, and a stub of the same API that can be slow, lie and break."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from aiohttp import web
from moto import mock_aws

from loopback_server import loopback

REGION = "eu-central-1"


@contextlib.contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with one endpoint `clicks` that splits 90 to 10 between `stable` and `canary`."""
    _credentials(monkeypatch)
    with mock_aws():
        client = boto3.session.Session(region_name=REGION).client("sagemaker")
        role = "arn:aws:iam::123456789012:role/sagemaker"
        client.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
        variants = [
            {
                "VariantName": name,
                "ModelName": "m",
                "InitialInstanceCount": 1,
                "InstanceType": "ml.t2.medium",
                "InitialVariantWeight": weight,
            }
            for name, weight in (("stable", 90.0), ("canary", 10.0))
        ]
        client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
        client.create_endpoint(EndpointName="clicks", EndpointConfigName="c")
        yield


def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tests")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@dataclass
class Endpoint:
    """One endpoint. `fault` is for the next order: `lie`, `hang`, `cut`, or a status and an error code."""

    status: str = "InService"
    weights: dict[str, float] = field(default_factory=lambda: {"stable": 90.0, "canary": 10.0})
    instances: dict[str, int] = field(default_factory=lambda: {"stable": 1, "canary": 1})
    fault: str | tuple[int, str] = ""
    at_once: bool = True
    orders: list[dict[str, float]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @contextlib.asynccontextmanager
    async def serving(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
        """Answer for the length of the block."""
        _credentials(monkeypatch)
        async with loopback(web.post("/", self._answer)) as self.url:
            try:
                yield self
            finally:
                self.released.set()

    def finish(self) -> None:
        """The update under way ends well."""
        self.weights |= self.orders[-1]
        self.status = "InService"

    async def _answer(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        if request.headers["X-Amz-Target"] == "SageMaker.DescribeEndpoint":
            variants = [
                {
                    "VariantName": name,
                    "CurrentWeight": weight,
                    "DesiredWeight": (self.orders[-1] if self.orders else self.weights)[name],
                    "CurrentInstanceCount": self.instances[name],
                }
                for name, weight in self.weights.items()
            ]
            return web.json_response({"EndpointStatus": self.status, "ProductionVariants": variants})
        fault, self.fault = self.fault, ""
        if fault == "hang":
            await self.released.wait()
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(fault, tuple):
            return web.json_response({"__type": fault[1], "message": "no"}, status=fault[0])
        order = {row["VariantName"]: row["DesiredWeight"] for row in body["DesiredWeightsAndCapacities"]}
        if fault != "lie":
            self.orders.append(order)
            self.status = "Updating"
            if self.at_once:
                self.finish()
        return web.json_response({"EndpointArn": "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/clicks"})
