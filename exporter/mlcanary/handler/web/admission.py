"""Who is let in, how often, and what is counted of those who are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcanary.handler.web.webhook import ALERTS_PATH, GRAFANA_PATH
from mlcanary.webserver.guard import Admission, Refused
from mlcanary.webserver.identity import Scope
from mlcanary.webserver.rate_limit import RateLimit

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

REQUESTS_PER_SECOND = 1000.0
"""Of one sender. Alertmanager sends a group every few seconds; what comes faster is no Alertmanager."""

BURST = 2000.0


def admission(service: HandlerService) -> Admission:
    """The handler's rules. A route that names no scope is for operators: none is open by mistake."""

    def count(refused: Refused) -> None:
        if refused.path in (ALERTS_PATH, GRAFANA_PATH):
            service.metrics.add("webhook_requests_total", str(refused.status))

    return Admission(RateLimit(REQUESTS_PER_SECOND, BURST, service.now), undeclared=Scope.OPERATE, refused=count)
