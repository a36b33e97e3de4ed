"""HTTP for programs: the state of everything, and the orders of people. JSON in, JSON out.

    GET  /v1/targets, /v1/targets/{target}      weights, freeze, release, incident, proof, last action, capacity
    GET  /v1/incidents?target=                  newest first
    GET  /v1/incidents/{incident}               timeline, actions, evidence, proof, audit rows
    GET  /v1/releases?target=
    GET  /v1/releases/{release}                 timeline with the evidence of each step, actions, audit rows
    GET  /v1/versions?model=                    artefacts: candidate, proven, quarantined
    GET  /v1/plan?target=&order=&version=       what an order would do now, and its hash
    GET  /v1/orders/{order}                     pending, done, or refused and why
    GET  /v1/audit?after=                       rows after a row, oldest first
    GET  /config                                the configuration in force, without secrets

    POST /v1/targets/{target}/orders            {"order": rollback|promote|submit|withdraw, "version", "plan", "reason",
                                                "force"}: 202, and the order that the target's worker will carry out
    POST /v1/incidents/{incident}/approve       {"plan"}: 202 with an order
    POST /v1/incidents/{incident}/refuse        {"plan"}: 202 with an order
    POST /v1/incidents/{incident}/acknowledge
    POST /v1/freeze, /v1/unfreeze               {"target": name or all, "level": promote|all, "reason"}
    POST /v1/versions/release-from-quarantine   {"model", "digest", "reason"}

Scopes: `read` to look, `operate` to order and see plans, freeze and acknowledge, `approve` to approve and refuse.
What a sender got wrong is 400, 404, 409 or 415 with `error`, `allowed` and `hint`. Bodies are `application/json`: a
browser does not send that to another site by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from mlcanary.handler.calls import UNREADABLE
from mlcanary.handler.core.releases import OrderKind
from mlcanary.handler.web import answers, redaction
from mlcanary.handler.web.deeds import Deeds
from mlcanary.handler.web.routing import JSON, Query, RequestError, Route, as_json, install, json_answer
from mlcanary.handler.web.views import Views
from mlcanary.webserver.identity import Scope, identity_of

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

Asked = TypeVar("Asked", bound=answers.Asked)
_LAST_ROW = 2**62


class Configuration(answers.Told, frozen=True):
    """The configuration in force, defaults filled in. `digest` names it in plans and in the audit."""

    digest: str
    configuration: dict[str, Any]


class FreezeList(answers.Told, frozen=True):
    """The freezes in force."""

    freezes: list[answers.FreezeAnswer]


class Api:
    """Answers of the routes in `ROUTES`."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service
        self._views = Views(service)
        self._deeds = Deeds(service, self._views)

    async def targets(self, _request: web.Request) -> web.Response:
        """`GET /v1/targets`."""
        return json_answer(answers.TargetList([self._views.target(plan) for plan in self._views.plans]))

    async def target(self, request: web.Request) -> web.Response:
        """`GET /v1/targets/{target}`."""
        return json_answer(self._views.target(self._views.plan(request.match_info["target"])))

    async def decisions(self, request: web.Request) -> web.Response:
        """`GET /v1/decisions`."""
        return json_answer(answers.DecisionList(self._views.decisions(request.query.get("target", ""))))

    async def incidents(self, request: web.Request) -> web.Response:
        """`GET /v1/incidents`."""
        return json_answer(answers.IncidentList(self._views.incidents(request.query.get("target", ""))))

    async def incident(self, request: web.Request) -> web.Response:
        """`GET /v1/incidents/{incident}`."""
        return json_answer(self._views.incident_detail(request.match_info["incident"]))

    async def releases(self, request: web.Request) -> web.Response:
        """`GET /v1/releases`."""
        return json_answer(answers.ReleaseList(self._views.releases(request.query.get("target", ""))))

    async def release(self, request: web.Request) -> web.Response:
        """`GET /v1/releases/{release}`."""
        return json_answer(self._views.release_detail(request.match_info["release"]))

    async def versions(self, request: web.Request) -> web.Response:
        """`GET /v1/versions`."""
        return json_answer(answers.VersionList(self._views.versions(request.query.get("model", ""))))

    async def order(self, request: web.Request) -> web.Response:
        """`GET /v1/orders/{order}`."""
        return json_answer(self._views.order(request.match_info["order"]))

    async def audit(self, request: web.Request) -> web.Response:
        """`GET /v1/audit`."""
        text = request.query.get("after", "0")
        if not (text.isascii() and text.isdecimal() and int(text[:20]) <= _LAST_ROW):
            raise RequestError(400, f"after: found {text[:40]!r}", allowed=["a row of the audit, or 0"])
        return json_answer(self._views.audit(int(text)))

    async def plan(self, request: web.Request) -> web.Response:
        """`GET /v1/plan`."""
        query = request.query
        for name in ("target", "order"):
            if not query.get(name):
                raise RequestError(400, f"{name} is missing", hint="/v1/plan?target=&order=rollback&version=")
        return json_answer(await self._deeds.plan(query["target"], query["order"], query.get("version", "")))

    async def configuration(self, _request: web.Request) -> web.Response:
        """`GET /config`."""
        settings = self._service.settings
        return json_answer(Configuration(settings.digest, redaction.shown(settings)))

    async def give_order(self, request: web.Request) -> web.Response:
        """`POST /v1/targets/{target}/orders`."""
        asked = await asked_for(request, answers.OrderRequest)
        return json_answer(self._deeds.order(request.match_info["target"], asked, actor(request)), 202)

    async def approve(self, request: web.Request) -> web.Response:
        """`POST /v1/incidents/{incident}/approve`."""
        return await self._judge(request, OrderKind.APPROVE)

    async def refuse(self, request: web.Request) -> web.Response:
        """`POST /v1/incidents/{incident}/refuse`."""
        return await self._judge(request, OrderKind.REFUSE)

    async def _judge(self, request: web.Request, kind: OrderKind) -> web.Response:
        asked = await asked_for(request, answers.PlanRequest)
        return json_answer(self._deeds.judge_incident(request.match_info["incident"], asked, actor(request), kind), 202)

    async def acknowledge(self, request: web.Request) -> web.Response:
        """`POST /v1/incidents/{incident}/acknowledge`."""
        return json_answer(self._deeds.acknowledge(request.match_info["incident"], actor(request)))

    async def freeze(self, request: web.Request) -> web.Response:
        """`POST /v1/freeze`."""
        asked = await asked_for(request, answers.FreezeRequest)
        return json_answer(FreezeList(self._deeds.freeze(asked, actor(request))))

    async def unfreeze(self, request: web.Request) -> web.Response:
        """`POST /v1/unfreeze`."""
        asked = await asked_for(request, answers.UnfreezeRequest)
        return json_answer(FreezeList(self._deeds.unfreeze(asked, actor(request))))

    async def release_from_quarantine(self, request: web.Request) -> web.Response:
        """`POST /v1/versions/release-from-quarantine`."""
        asked = await asked_for(request, answers.ReleaseFromQuarantine)
        return json_answer(self._deeds.release_from_quarantine(asked, actor(request)))


def actor(request: web.Request) -> str:
    """The name that stands in the audit."""
    return identity_of(request).name


async def asked_for(request: web.Request, shape: type[Asked]) -> Asked:
    """The JSON body of a request. Raises RequestError."""
    if request.content_type != JSON:
        raise RequestError(415, f"content type {request.content_type[:80]!r}", allowed=[JSON])
    try:
        return msgspec.json.decode(await request.read(), type=shape)
    except UNREADABLE as error:
        raise RequestError(400, f"the body: {str(error)[:300]}", allowed=shape.__struct_fields__) from error


_TARGET = Query("target", "A target; all of them without it.")
_NOT_FOUND, _BODY = (404,), (400, 404, 409, 415)
ROUTES: tuple[Route[Api], ...] = (
    Route("GET", "/v1/targets", Scope.READ, "Every target.", Api.targets, answers.TargetList),
    Route(
        "GET", "/v1/targets/{target}", Scope.READ, "A target.", Api.target, answers.TargetAnswer, refusals=_NOT_FOUND
    ),
    Route(
        "GET",
        "/v1/decisions",
        Scope.READ,
        "Decisions of the last week that changed nothing, newest first: why, and in mode observe what would be done.",
        Api.decisions,
        answers.DecisionList,
        query=(_TARGET,),
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/incidents",
        Scope.READ,
        "Incidents, newest first.",
        Api.incidents,
        answers.IncidentList,
        query=(_TARGET,),
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/incidents/{incident}",
        Scope.READ,
        "An incident with its timeline, evidence, actions, proof and audit rows.",
        Api.incident,
        answers.IncidentDetail,
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/releases",
        Scope.READ,
        "Releases, newest first.",
        Api.releases,
        answers.ReleaseList,
        query=(_TARGET,),
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/releases/{release}",
        Scope.READ,
        "A release with its timeline, actions and audit rows.",
        Api.release,
        answers.ReleaseDetail,
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/versions",
        Scope.READ,
        "Remembered artefacts.",
        Api.versions,
        answers.VersionList,
        query=(Query("model", "A model; all of them without it."),),
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/orders/{order}",
        Scope.READ,
        "What became of an order.",
        Api.order,
        answers.OrderAnswer,
        refusals=_NOT_FOUND,
    ),
    Route(
        "GET",
        "/v1/audit",
        Scope.READ,
        "Rows of the audit, oldest first.",
        Api.audit,
        answers.AuditList,
        query=(Query("after", "The last row that is known, 0 for the start."),),
        refusals=(400,),
    ),
    Route(
        "GET",
        "/v1/plan",
        Scope.OPERATE,
        "What an order would do now, and its hash. Looks at the target and writes nothing; up to a second old.",
        Api.plan,
        answers.PlanAnswer,
        query=(
            Query("target", "A target.", required=True),
            Query("order", "What would be ordered.", required=True, choices=("rollback", "promote", "submit")),
            Query("version", "Which to roll back or to submit."),
        ),
        refusals=(400, 404, 409),
    ),
    Route("GET", "/config", Scope.READ, "The configuration without secrets.", Api.configuration, Configuration),
    Route(
        "POST",
        "/v1/targets/{target}/orders",
        Scope.OPERATE,
        "Order a rollback, a promotion, a release or its withdrawal.",
        Api.give_order,
        answers.OrderAnswer,
        answers.OrderRequest,
        status=202,
        refusals=_BODY,
    ),
    Route(
        "POST",
        "/v1/incidents/{incident}/approve",
        Scope.APPROVE,
        "Let the plan of an incident be carried out.",
        Api.approve,
        answers.OrderAnswer,
        answers.PlanRequest,
        status=202,
        refusals=_BODY,
    ),
    Route(
        "POST",
        "/v1/incidents/{incident}/refuse",
        Scope.APPROVE,
        "Refuse the plan of an incident.",
        Api.refuse,
        answers.OrderAnswer,
        answers.PlanRequest,
        status=202,
        refusals=_BODY,
    ),
    Route(
        "POST",
        "/v1/incidents/{incident}/acknowledge",
        Scope.OPERATE,
        "Note that a person has seen an incident.",
        Api.acknowledge,
        answers.IncidentAnswer,
        refusals=_NOT_FOUND,
    ),
    Route(
        "POST",
        "/v1/freeze",
        Scope.OPERATE,
        "Stop promotions, or every automatic action.",
        Api.freeze,
        FreezeList,
        answers.FreezeRequest,
        refusals=_BODY,
    ),
    Route(
        "POST",
        "/v1/unfreeze",
        Scope.OPERATE,
        "Allow it again.",
        Api.unfreeze,
        FreezeList,
        answers.UnfreezeRequest,
        refusals=_BODY,
    ),
    Route(
        "POST",
        "/v1/versions/release-from-quarantine",
        Scope.OPERATE,
        "Let a quarantined artefact be a candidate again.",
        Api.release_from_quarantine,
        answers.VersionAnswer,
        answers.ReleaseFromQuarantine,
        refusals=_BODY,
    ),
)


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the routes of the module."""
    install(application, Api(service), ROUTES, refuse=as_json)
