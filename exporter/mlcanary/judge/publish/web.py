"""HTTP of the judge: verdicts for pipelines, metrics, records, and a page for people. Reads one view, changes nothing.

    GET      /metrics
    GET      /v1/verdicts                            every canary
    GET      /v1/verdict/{model}[/{version}]         one canary; 409 with the choices if several are meant
    GET      /v1/record/{model}/{version}            the newest decision record, for `mlcanary explain -`
    GET|POST /v1/gate/{promote|rollback|expand}/{model}[/{version}]     200 open, 403 closed, and why
    GET      /, /canary/{model}/{version}

`?cluster=` and `?namespace=` choose where names repeat. A standby answers 503 to /v1: ask the leader. Unknown names get
404 and what is known. Write a / in a name as %2F.

Contract-tested shapes:

* A `web` metric of Argo Rollouts calls GET, wants a 2xx and takes a text by jsonPath: `{$.result}` is healthy,
  unhealthy, inconclusive or no_data. With `successCondition: result == "healthy"` and
  `failureCondition: result == "unhealthy"` the others match neither and are inconclusive there; 404 and 503 are errors.
* A webhook of Flagger calls POST; up to 202 the gate is open, else closed, and the body goes into its events. Use
  promote for confirm-promotion, expand for confirm-traffic-increase, rollback for rollback.

While the judge has a problem (Prometheus away), promote and expand are closed and healthy is inconclusive: the evidence
stands, but nobody looks at what has happened since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from mlcanary.catalog import Verdict
from mlcanary.judge.contract import Assessment, CanaryKey
from mlcanary.judge.publish import metrics, page
from mlcanary.judge.publish.lookup import Shown, current, matching, names
from mlcanary.judge.publish.view import JudgedCanary, View

RESULTS: Mapping[Verdict, str] = {
    Verdict.PROMOTE: "healthy",
    Verdict.ROLLBACK: "unhealthy",
    Verdict.HOLD: "inconclusive",
    Verdict.NO_DATA: "no_data",
}
"""Verdict -> `result`, the word that a pipeline compares."""

HTML_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def routes(application: web.Application, view: Callable[[], View], record: Callable[[CanaryKey], bytes | None]) -> None:
    """Add the judge's routes, as listed in the module. `view` must not block; `record` may."""
    face = _Face(view, record)
    router = application.router
    for path, handler in (
        ("/", face.index),
        ("/canary/{model}/{version}", face.canary),
        ("/metrics", face.metrics),
        ("/v1/verdicts", face.verdicts),
        ("/v1/verdict/{model}", face.verdict),
        ("/v1/verdict/{model}/{version}", face.verdict),
        ("/v1/record/{model}/{version}", face.record),
    ):
        router.add_get(path, handler)
    for path in ("/v1/gate/{gate}/{model}", "/v1/gate/{gate}/{model}/{version}"):
        router.add_get(path, face.gate)
        router.add_post(path, face.gate)


def answer(judged: JudgedCanary, view: View) -> dict[str, Any]:
    """The JSON of a canary: `result`, the whole assessment, what was left out, and how fresh it is."""
    found = judged.assessment
    canary, baseline = found.trials
    return {
        "result": result(found, view),
        **msgspec.to_builtins(found),
        "trials": {"canary": canary, "baseline": baseline},
        "skipped": dict(judged.skipped),
        "read_at": view.read_at,
        "problem": view.problem,
    }


def result(found: Assessment, view: View) -> str:
    """The word for pipelines."""
    if found.verdict is Verdict.PROMOTE and view.problem:
        return RESULTS[Verdict.HOLD]
    return RESULTS[found.verdict]


@dataclass(frozen=True, slots=True)
class GateState:
    """Whether a pipeline may go on, and why in a sentence."""

    open: bool
    why: str


def gate_state(gate: str, found: Assessment, view: View) -> GateState | None:
    """A gate of a canary; None if there is no such gate."""
    asked = {
        "promote": found.verdict is Verdict.PROMOTE,
        "rollback": found.verdict is Verdict.ROLLBACK,
        "expand": found.may_expand and found.verdict is not Verdict.ROLLBACK,
    }
    if gate not in asked:
        return None
    if asked[gate] and view.problem and gate != "rollback":
        return GateState(False, f"the judge has a problem: {view.problem}")
    return GateState(asked[gate], f"{found.verdict} ({found.reason}): {found.text}")


class _Refused(Exception):
    """A request without a canary to answer for."""

    def __init__(self, status: int, error: str, known: list[dict[str, str]]) -> None:
        super().__init__(error)
        self.status, self.error, self.known = status, error, known

    def response(self) -> web.Response:
        """JSON with the error and what could be asked for."""
        return _json({"error": self.error, "known": self.known}, self.status)


class _Face:
    def __init__(self, view: Callable[[], View], record: Callable[[CanaryKey], bytes | None]) -> None:
        self._view, self._record = view, record

    async def metrics(self, _request: web.Request) -> web.Response:
        body = await asyncio.to_thread(metrics.render, self._view())
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def verdicts(self, _request: web.Request) -> web.Response:
        view = self._view()
        if not view.leader:
            return _standby().response()
        canaries = [answer(judged, view) for _, judged in current(view)]
        return _json({"read_at": view.read_at, "problem": view.problem, "canaries": canaries})

    async def verdict(self, request: web.Request) -> web.Response:
        view = self._view()
        try:
            return _json(answer(_meant(request, view)[1], view))
        except _Refused as refused:
            return refused.response()

    async def record(self, request: web.Request) -> web.Response:
        try:
            key, _ = _meant(request, self._view())
        except _Refused as refused:
            return refused.response()
        body = await asyncio.to_thread(self._record, key)
        if body is None:
            return _json({"error": "nothing has been decided yet", "known": names([key])}, 404)
        return web.Response(body=body, content_type="application/json")

    async def gate(self, request: web.Request) -> web.Response:
        view, gate = self._view(), request.match_info["gate"]
        try:
            _, judged = _meant(request, view)
        except _Refused as refused:
            return refused.response()
        state = gate_state(gate, judged.assessment, view)
        if state is None:
            return _json({"error": f"no gate {gate!r}; there are promote, rollback and expand", "known": []}, 404)
        word = "open" if state.open else "closed"
        return web.Response(status=200 if state.open else 403, text=f"{gate} is {word}: {state.why}\n")

    async def index(self, _request: web.Request) -> web.Response:
        return await _html(page.index, self._view())

    async def canary(self, request: web.Request) -> web.Response:
        view = self._view()
        try:
            key, judged = _meant(request, view)
        except _Refused as refused:
            return await _html(page.nothing, refused.error, refused.known, status=refused.status)
        return await _html(page.canary, key, judged, view)


def _standby() -> _Refused:
    return _Refused(503, "this judge is a standby: another one holds the state, ask that one", [])


def _meant(request: web.Request, view: View) -> Shown:
    """The canary of a request. Raises _Refused."""
    if not view.leader:
        raise _standby()
    asked = request.match_info
    model, version = asked["model"], asked.get("version")
    found = matching(view, model, version, request.query.get("cluster"), request.query.get("namespace"))
    if len(found) == 1:
        return found[0]
    if found:
        text = "several canaries are meant: add the version, ?cluster= or ?namespace="
        raise _Refused(409, text, names(key for key, _ in found))
    same_model = matching(view, model)
    known = names(key for key, _ in same_model or current(view))
    if version is None or not same_model:
        raise _Refused(404, f"no canary of model {model!r} is judged", known)
    raise _Refused(404, f"no canary {version!r} of model {model!r} is judged there", known)


def _json(document: object, status: int = 200) -> web.Response:
    """JSON; a number that is not known (NaN, infinite) is null."""
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


async def _html(make: Callable[..., str], *arguments: object, status: int = 200) -> web.Response:
    text = await asyncio.to_thread(make, *arguments)
    return web.Response(text=text, status=status, content_type="text/html", headers=HTML_HEADERS)
