"""HTTP for pipelines that own the traffic themselves: may they promote, go on, must they roll back?

    GET      /v1/verdict/{model}/{version}                          {"result": healthy|unhealthy|inconclusive|no_data}
    GET|POST /v1/gate/{promote|rollback|expand}/{model}/{version}   200 open, 403 closed, and why

The judge's word, held by what the handler knows: a freeze closes every gate it is about, a quarantined artefact and an
open incident against the version close promote and expand, and ask for a rollback. `?target=` chooses where two targets
have the model. Unknown names get 404 and what is known.

Contract-tested shapes, the same as the judge's own: a `web` metric of Argo Rollouts reads `{$.result}` (no_data and
inconclusive match neither condition); Flagger takes 200 to 202 as open and any other status as closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from mlcanary.handler.core.judgement import Judgement, Word
from mlcanary.handler.core.releases import FreezeLevel, VersionStatus
from mlcanary.handler.evidence.judgement import judge_of
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.sharing import Shared
from mlcanary.handler.web.answers import VerdictAnswer
from mlcanary.handler.web.routing import TEXT, Query, RequestError, Route, as_json, install, json_answer
from mlcanary.webserver.identity import Scope

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

GATES = ("promote", "rollback", "expand")


@dataclass(frozen=True, slots=True)
class Known:
    """What the handler knows of a version beside the judge's word. `against`: why no more traffic, or ""."""

    level: FreezeLevel
    against: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a gate is open, and why in a sentence."""

    open: bool
    why: str


def ruling(gate: str, word: Word, why: str, may_expand: bool, known: Known) -> Ruling:
    """The state of a gate. Pure.

    Input: `gate` is one of `GATES`; `why` explains the word.
    """
    said = f"{word}: {why}" if why else str(word)
    if known.level is FreezeLevel.ALL:
        return Ruling(False, "frozen by a person: every automatic action is stopped")
    if gate == "rollback":
        return Ruling(bool(known.against) or word is Word.UNHEALTHY, known.against or said)
    if known.level is FreezeLevel.PROMOTE:
        return Ruling(False, "frozen by a person: promotions are stopped")
    if known.against:
        return Ruling(False, known.against)
    asked = word is Word.HEALTHY if gate == "promote" else may_expand and word is not Word.UNHEALTHY
    return Ruling(asked, said)


class Gates:
    """Answers of the routes in `ROUTES`."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service
        self._read: Shared[tuple[Judgement | None, str]] = Shared(service.now)

    async def verdict(self, request: web.Request) -> web.Response:
        """`GET /v1/verdict/{model}/{version}`."""
        plan, version = self._meant(request)
        found, why = await self._judgement(plan, version)
        word = Word.NO_DATA if found is None else found.word
        known = self._known(plan, version)
        if known.against and word is not Word.UNHEALTHY:
            word, why = Word.UNHEALTHY, known.against
        elif word is Word.HEALTHY and known.level is not FreezeLevel.NONE:
            word, why = Word.INCONCLUSIVE, f"frozen by a person: {known.level}"
        return json_answer(VerdictAnswer(plan.model, version, plan.name, word.value, why or _figures(found)))

    async def gate(self, request: web.Request) -> web.Response:
        """`GET` or `POST /v1/gate/{gate}/{model}/{version}`."""
        gate = request.match_info["gate"]
        if gate not in GATES:
            raise RequestError(404, f"no gate {gate!r}", allowed=GATES)
        plan, version = self._meant(request)
        found, why = await self._judgement(plan, version)
        word = Word.NO_DATA if found is None else found.word
        may_expand = found is not None and found.may_expand
        state = ruling(gate, word, why or _figures(found), may_expand, self._known(plan, version))
        text = f"{gate} is {'open' if state.open else 'closed'}: {state.why}\n"
        return web.Response(status=200 if state.open else 403, text=text)

    async def _judgement(self, plan: TargetPlan, version: str) -> tuple[Judgement | None, str]:
        """What Prometheus tells of a version, and why its word is less than it could be; read once for many."""
        key = (plan.name, version, self._service.settings.digest)
        return await self._read.get(key, lambda: self._ask(plan, version))

    async def _ask(self, plan: TargetPlan, version: str) -> tuple[Judgement | None, str]:
        try:
            found = await judge_of(self._service.prometheus(), plan, version)
        except EvidenceError as error:
            return None, str(error)
        return found, found.why

    def _known(self, plan: TargetPlan, version: str) -> Known:
        ledger, digest = self._service.ledger, plan.digest(version)
        level = ledger.frozen(plan.name)
        for artefact in ledger.versions(plan.model):
            if artefact.digest == digest and artefact.status is VersionStatus.QUARANTINED:
                return Known(level, f"{version} is quarantined: {artefact.reason}")
        incident = ledger.open_incident(plan.name)
        if incident is not None and incident.bad == version:
            return Known(level, f"incident {incident.id} against {version} is open: {incident.state}")
        return Known(level, "")

    def _meant(self, request: web.Request) -> tuple[TargetPlan, str]:
        """The target and the version of a request. Raises RequestError."""
        model, version = request.match_info["model"], request.match_info["version"]
        chosen = request.query.get("target")
        plans = self._service.settings.targets
        found = [p for p in plans if p.model == model and (chosen is None or p.name == chosen)]
        if not found:
            where = "" if chosen is None else f" on target {chosen!r}"
            raise RequestError(404, f"no model {model!r}{where}", allowed=[f"{p.model} on {p.name}" for p in plans])
        having = [p for p in found if version in p.versions]
        if not having:
            known = [v for p in found for v in p.versions]
            raise RequestError(404, f"no version {version!r} of model {model!r}", allowed=known)
        if len(having) > 1:
            names = [p.name for p in having]
            raise RequestError(409, f"several targets have model {model!r}: add ?target=", allowed=names)
        return having[0], version


def _figures(found: Judgement | None) -> str:
    return "" if found is None or not found.known else f"{found.trials:,.0f} observations of it were judged"


_TARGET = (Query("target", "Which target is meant, where several have the model."),)
ROUTES: tuple[Route[Gates], ...] = (
    Route(
        "GET",
        "/v1/verdict/{model}/{version}",
        Scope.READ,
        "What a pipeline asks: healthy, unhealthy, inconclusive or no_data.",
        Gates.verdict,
        VerdictAnswer,
        query=_TARGET,
        refusals=(404, 409),
    ),
    *(
        Route(
            method,
            "/v1/gate/{gate}/{model}/{version}",
            Scope.READ,
            "Whether a pipeline may go on: 200 open, 403 closed. Gates: promote, rollback, expand.",
            Gates.gate,
            query=_TARGET,
            refusals=(404, 409),
            media=TEXT,
        )
        for method in ("GET", "POST")
    ),
)


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the routes of the module."""
    install(application, Gates(service), ROUTES, refuse=as_json)
