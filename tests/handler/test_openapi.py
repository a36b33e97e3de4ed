"""The description of the handler's routes: the router has the same, and nothing that is sent after it ends in 5xx."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from handler_service import handling
from handler_world import TOKEN, Link, QueryAPI, Release, configuration
from mlcanary.handler.intake.grafana import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from mlcanary.handler.web.openapi import description
from mlcanary.webserver.guard import OPEN_PATHS
from mlcanary.webserver.identity import Scope, required_scope

EXAMPLES, FEWER = 5, 2
"""Of the webhooks, and of each other operation, in each mode; 1 where there is nothing to vary."""

SECRET = b"the-secret-of-the-tests-only"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def test_the_description_is_what_the_router_has(tmp_path: Path) -> None:
    link = Link(tmp_path)
    async with handling(tmp_path, configuration("http://127.0.0.1:1", link.section(), mode="observe")) as handler:
        routed = {}
        for route in handler.application.router.routes():
            assert route.resource is not None
            if route.method != "HEAD":
                routed[route.method, route.resource.canonical] = required_scope(route.handler)
        described = {(method, path): each.get("x-scope") for method, path, each in operations(description())}
        assert described == routed
        assert {path for (_, path), scope in described.items() if scope is None} == OPEN_PATHS
        assert (await handler.get("/v1/openapi.json")).startswith('{"openapi":"3.1.0"')


class Signer(requests.auth.AuthBase):
    """Adds the token, and on Grafana's webhook the signature of whatever body was made."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {TOKEN}"
        if request.path_url.startswith("/v1/grafana"):
            timestamp, body = str(int(time.time())), request.body or b""
            body = body.encode() if isinstance(body, str) else body
            assert isinstance(body, bytes)
            request.headers[TIMESTAMP_HEADER] = timestamp
            request.headers[SIGNATURE_HEADER] = sign(SECRET, timestamp, body)
        return request


def attack(url: str) -> Counter[tuple[str, int]]:
    """Send what the description allows, and what it does not; gives the statuses by operation."""
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
    seen: Counter[tuple[str, int]] = Counter()
    for found in schemathesis.openapi.from_dict(description()).get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        told = description()["paths"][operation.path][operation.method]
        varied = EXAMPLES if told.get("x-scope") == Scope.ALERT else FEWER
        examples = varied if {"parameters", "requestBody"} & set(told) else 1
        for mode in GenerationMode:

            @seed(20260102)
            @settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case[Any]) -> None:
                response = case.call(base_url=url, auth=Signer())
                seen[case.operation.label, response.status_code] += 1
                case.validate_response(response, checks=checks)

            # What has neither parameters nor a body cannot be asked wrongly.
            with contextlib.suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else contextlib.nullcontext():
                ask()
    return seen


async def test_no_request_ends_in_an_error_of_the_server(tmp_path: Path) -> None:
    link = Link(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET)
    extra = f"grafana: {{secret_file: {tmp_path}/secret}}\n"
    async with QueryAPI(Release(link.shares)).serving() as api:
        text = configuration(api.url, link.section(), mode="observe", extra=extra)
        async with handling(tmp_path, text) as handler:
            seen = await asyncio.to_thread(attack, handler.url)
    assert {label for label, _ in seen} == {f"{method} {path}" for method, path, _ in operations(description())}
    assert max(code for _, code in seen) < 500
    assert seen["POST /v1/alerts", 202] >= 2
    assert seen["POST /v1/alerts", 400] >= 2
    assert seen["POST /v1/grafana", 202] >= 2
    assert seen["POST /-/freeze", 404] >= 1
