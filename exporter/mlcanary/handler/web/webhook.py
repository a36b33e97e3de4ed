"""The webhooks: alerts come in, and are answered with 202 after they are on disk.

    POST /v1/alerts      Alertmanager's
    POST /v1/grafana     Grafana's, signed with the secret of `grafana.secret_file`

Deliveries that come in while the disk is busy are committed together. What cannot be stored is answered with
503, which the sender tries again; nothing is dropped in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from mlcanary.errors import InputError, StateError
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.intake.grafana import SIGNATURE_HEADER, SignatureCheck, SignatureFault, parse_grafana
from mlcanary.handler.intake.payload import Alert, Delivery, parse
from mlcanary.handler.intake.queue import CommitQueue
from mlcanary.handler.metrics import UNMATCHED
from mlcanary.handler.settings import TargetPlan
from mlcanary.webserver.identity import Scope, requires

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

log = logging.getLogger(__name__)

ALERTS_PATH, GRAFANA_PATH = "/v1/alerts", "/v1/grafana"
_REASON_LIMIT = 200
_SHORTEST_SECRET = 16
_RETRY_AFTER = {"Retry-After": "1"}


class Webhook:
    """Takes deliveries in. `routes` adds it to an application."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service
        self._queue = CommitQueue(lambda wanted: service.ledger.receive(wanted, service.now()))
        self._signatures = SignatureCheck()

    async def receive(self, request: web.Request) -> web.Response:
        """`POST /v1/alerts`."""
        return await self._take(await self._body(request), parse)

    async def receive_grafana(self, request: web.Request) -> web.Response:
        """`POST /v1/grafana`."""
        settings = self._service.settings.grafana
        if settings is None:
            return self._refuse(404, "Grafana's webhook is off: set grafana.secret_file in --config.file")
        secret = _secret(settings.secret_file)
        if len(secret) < _SHORTEST_SECRET:
            return self._refuse(503, f"grafana.secret_file holds no secret of {_SHORTEST_SECRET} characters or more")
        body = await self._body(request)
        signature = request.headers.get(SIGNATURE_HEADER, "")
        timestamp = request.headers.get(settings.timestamp_header, "")
        fault = self._signatures.fault(secret, timestamp, signature, body, self._service.now())
        if fault is not None:
            status = 409 if fault is SignatureFault.REPLAYED else 401
            needed = f"{SIGNATURE_HEADER} over {settings.timestamp_header}, a colon and the body"
            return self._refuse(status, f"signature {fault}: needs {needed}")
        answer = await self._take(body, parse_grafana)
        if answer.status != 202:
            self._signatures.forget(signature)
        return answer

    async def _body(self, request: web.Request) -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._service.metrics.add("webhook_requests_total", "413")
            raise

    def _refuse(self, status: int, error: str) -> web.Response:
        self._service.metrics.add("webhook_requests_total", str(status))
        log.warning("webhook refused", extra={"status": status, "error": error[:_REASON_LIMIT]})
        headers = _RETRY_AFTER if status == 503 else None
        return web.json_response({"error": error[:_REASON_LIMIT]}, status=status, headers=headers)

    async def _take(self, body: bytes, read: Callable[[bytes], Delivery]) -> web.Response:
        try:
            delivery = read(body)
            counts = await self._store(delivery)
        except InputError as error:
            return self._refuse(400, str(error))
        except StateError as error:
            return self._refuse(503, str(error))
        self._service.metrics.add("webhook_requests_total", "202")
        now = self._service.now()
        self._service.metrics.set("webhook_last_received_timestamp_seconds", now)
        if delivery.watchdog:
            self._service.metrics.set("watchdog_last_received_timestamp_seconds", now)
        if delivery.truncated:
            log.error("alerts were left out by the sender: set max_alerts: 0 there")
        return web.json_response(counts, status=202)

    async def _store(self, delivery: Delivery) -> dict[str, int]:
        wanted: list[tuple[Alert, str]] = []
        ignored = len(delivery.ignored)
        for alert in delivery.alerts:
            names = [plan.name for plan in self._service.settings.targets if _matches(plan, alert)]
            if not names:
                self._service.metrics.add("decisions_total", UNMATCHED, "suppress", Reason.UNKNOWN_TARGET)
            if not alert.firing:  # nothing is promoted on that
                for name in names:
                    self._service.metrics.add("decisions_total", name, "suppress", Reason.RESOLVED)
            ignored += not names or not alert.firing
            wanted += [(alert, name) for name in names if alert.firing]
        new = await self._queue.put(wanted)
        for (_, name), is_new in zip(wanted, new, strict=True):
            if not is_new:
                self._service.metrics.add("decisions_total", name, "suppress", Reason.DUPLICATE)
            if (worker := self._service.workers.get(name)) is not None:
                worker.wake()
        return {"accepted": sum(new), "duplicate": len(new) - sum(new), "ignored": ignored}


def _secret(name: str) -> bytes:
    """Read at each request, so that a rotated secret counts at once. Empty if it cannot be."""
    try:
        return Path(name).read_bytes().strip()
    except OSError as error:
        log.error("grafana.secret_file cannot be read", extra={"error": str(error)})  # noqa: TRY400
        return b""


def _matches(plan: TargetPlan, alert: Alert) -> bool:
    """Whether a configured target answers for the alert: model, version and every configured label."""
    labels = dict(alert.labels)
    same = all(labels.get(name) == value for name, value in plan.labels)
    return same and alert.model == plan.model and alert.version in plan.versions


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the routes of the module."""
    webhook = Webhook(service)
    application.router.add_post(ALERTS_PATH, requires(Scope.ALERT)(webhook.receive))
    application.router.add_post(GRAFANA_PATH, requires(Scope.ALERT)(webhook.receive_grafana))
