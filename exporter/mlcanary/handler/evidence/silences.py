"""Whether people, or an inhibition, have silenced an accusation: asked of Alertmanager right before the handler acts.

Guarantee: reads only. An accusation is held if Alertmanager has alerts of it and each one is silenced or inhibited.
What Alertmanager does not know is not held: it forgets alerts at a restart, and who fires is asked of Prometheus. Names
in the filter are configured ones. Source: Alertmanager, api/v2/openapi.yaml, `gettableAlert`.
"""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, Access, call
from mlcanary.handler.evidence.prometheus import EvidenceError, selector
from mlcanary.handler.schema import AlertmanagerSettings
from mlcanary.handler.settings import TargetPlan


class _Status(msgspec.Struct):
    silencedBy: tuple[str, ...] = ()
    inhibitedBy: tuple[str, ...] = ()


class _Alert(msgspec.Struct):
    status: _Status


class Alertmanager:
    """A reader of one Alertmanager, or of a cluster of them behind one address: its members share their silences."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._url = settings.url.rstrip("/") + "/api/v2/alerts"
        self._access = Access(settings.timeout, settings.bearer_token_file, settings.ca_file)
        self.holds_unanswered = settings.unanswered == "hold"
        """Whether nobody acts while it does not answer."""

    async def held_by(self, plan: TargetPlan, version: str, measure: str, window: str) -> str:
        """What holds an accusation, empty if nothing does. Raises EvidenceError without an answer."""
        accused = (
            (ACTION_LABEL, ACTION_ROLLBACK),
            ("model", plan.model),
            *plan.labels,
            ("version", version),
            ("measure", measure),
            ("window", window),
        )
        asked = urlencode([("filter", selector("", [one])[1:-1]) for one in accused])
        try:
            alerts = msgspec.json.decode(await call("GET", f"{self._url}?{asked}", self._access), type=list[_Alert])
        except ActionError as error:
            raise EvidenceError(f"Alertmanager: {str(error)[:300]}", hint="check alertmanager.url") from error
        except UNREADABLE as error:
            raise EvidenceError(f"{self._url}: its answer is none of Alertmanager: {error}") from error
        holding = [_holding(alert.status) for alert in alerts]
        return holding[0] if holding and all(holding) else ""


def _holding(status: _Status) -> str:
    if status.silencedBy:
        return f"silence {status.silencedBy[0][:64]}"
    return f"inhibited by alert {status.inhibitedBy[0][:64]}" if status.inhibitedBy else ""
