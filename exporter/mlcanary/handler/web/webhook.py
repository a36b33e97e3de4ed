"""`POST /v1/alerts`: Alertmanager's webhook. 202 after the events are on disk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

from mlcanary.errors import InputError, StateError
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.intake.payload import Alert, Delivery, parse
from mlcanary.handler.metrics import UNMATCHED
from mlcanary.handler.settings import TargetPlan

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

log = logging.getLogger(__name__)

_REASON_LIMIT = 200


class Webhook:
    """Takes deliveries in. `routes` adds it to an application."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service

    async def receive(self, request: web.Request) -> web.Response:
        """`POST /v1/alerts`."""
        try:
            delivery = parse(await request.read())
            counts = self._store(delivery)
        except web.HTTPRequestEntityTooLarge:
            self._service.metrics.add("webhook_requests_total", "413")
            raise
        except InputError as error:
            self._service.metrics.add("webhook_requests_total", "400")
            log.warning("webhook refused", extra={"error": str(error)[:_REASON_LIMIT]})
            return web.json_response({"error": str(error)[:_REASON_LIMIT]}, status=400)
        except StateError as error:
            self._service.metrics.add("webhook_requests_total", "503")
            log.exception("webhook could not be stored")
            return web.json_response({"error": str(error)}, status=503)
        self._service.metrics.add("webhook_requests_total", "202")
        now = self._service.now()
        self._service.metrics.set("webhook_last_received_timestamp_seconds", now)
        if delivery.watchdog:
            self._service.metrics.set("watchdog_last_received_timestamp_seconds", now)
        if delivery.truncated:
            log.error("alerts were left out by the sender: set max_alerts: 0 there")
        return web.json_response(counts, status=202)

    def _store(self, delivery: Delivery) -> dict[str, int]:
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
        new = self._service.ledger.receive(wanted, self._service.now()) if wanted else []
        for (_, name), is_new in zip(wanted, new, strict=True):
            if not is_new:
                self._service.metrics.add("decisions_total", name, "suppress", Reason.DUPLICATE)
            if (worker := self._service.workers.get(name)) is not None:
                worker.wake()
        return {"accepted": sum(new), "duplicate": len(new) - sum(new), "ignored": ignored}


def _matches(plan: TargetPlan, alert: Alert) -> bool:
    """Whether a configured target answers for the alert: model, version and every configured label."""
    labels = dict(alert.labels)
    same = all(labels.get(name) == value for name, value in plan.labels)
    return same and alert.model == plan.model and alert.version in plan.versions


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the route of the module."""
    application.router.add_post("/v1/alerts", Webhook(service).receive)
