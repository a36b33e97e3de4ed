"""Watches one run from outside and turns what it sees into milestones.

Guarantee: a milestone is reported once, with the time at which it happened as far as its source tells: the
event time of the wrong prediction, the judged time of the verdict, the handler's own times for webhook and proof.
"Firing" and "effect" carry the moment at which Prometheus and HAProxy themselves said so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from mlcanary.catalog import Verdict
from mlcanary.demo import observation
from mlcanary.demo.configuration import HANDLER_PORT, Run
from mlcanary.demo.dataset import MODEL
from mlcanary.demo.observation import Audit, LogReader, Prometheus, RollbackAlert, Sample, parse_timestamp
from mlcanary.demo.stack import DemoError
from mlcanary.demo.timeline import Entry, Milestone, Timeline

CLASSES = {0: "benign", 1: "malignant"}


def gist(text: str) -> str:
    """The first and the last sentence: what is wrong, and the evidence.

    >>> gist("It is worse. age has 0.6, 0.9 before. The evidence: e-value 900, 500 needed.")
    'It is worse. The evidence: e-value 900, 500 needed.'
    """
    sentences = re.split(r"(?<=\.) ", text)
    return " ".join(dict.fromkeys((sentences[0], sentences[-1])))


class WrongPredictions:
    """Joins the log of a version with the labels until the first wrong prediction since a moment is found."""

    def __init__(self, run: Run, version: str) -> None:
        self._predictions = LogReader(run.predictions(version))
        self._labels = LogReader(run.labels)
        self._said: dict[str, tuple[float, int, float]] = {}

    def first_since(self, start: float) -> Entry | None:
        """The first wrong prediction with an event time from `start` on whose label is known, if any."""
        for record in self._predictions.new_records():
            ts = parse_timestamp(record["ts"])
            if ts >= start:
                self._said[record["id"]] = (ts, record["prediction"], record["score"])
        for label in self._labels.new_records():
            said = self._said.pop(label["id"], None)
            if said is not None and said[1] != label["label"]:
                ts, prediction, score = said
                detail = f"{CLASSES[prediction]} (score {score:.3f}), but it was {CLASSES[label['label']]}"
                return Entry(Milestone.WRONG, ts, detail)
        return None


class Witness:
    """Looks at every source once per `look`, and calls `report` for each new milestone.

    It watches the version that the story breaks.
    """

    def __init__(
        self,
        run: Run,
        session: aiohttp.ClientSession,
        report: Callable[[Entry], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._version = run.cast.breakable
        self._run, self._session, self._report, self._clock = run, session, report, clock
        self._prometheus = Prometheus(session, run.url(run.ports.prometheus))
        self._wrong = WrongPredictions(run, self._version)
        self.audit = Audit(run.handler_state)
        self.timeline = Timeline()
        self.weights: dict[str, int] = {}

    def has(self, milestone: Milestone) -> bool:
        """Whether a milestone was reached."""
        return self.timeline.find(milestone) is not None

    def reached(self, milestone: Milestone, ts: float, detail: str) -> None:
        """Add a milestone; the same one again changes nothing."""
        if not self.has(milestone):
            self.timeline = self.timeline.reached(milestone, ts, detail)
            self._report(self.timeline.entries[-1])

    async def look(self) -> None:
        """Ask everybody once. Raises DemoError when somebody does not answer."""
        bug = self.timeline.find(Milestone.BUG)
        if bug and not self.has(Milestone.WRONG) and (entry := self._wrong.first_since(bug.ts)):
            self.reached(entry.milestone, entry.ts, entry.detail)
        if not self.has(Milestone.VERDICT):
            self._look_at_verdict(await self.verdict())
        if not self.has(Milestone.FIRING):
            self._look_at_alerts(await self._prometheus.rollback_alerts())
        if not self.has(Milestone.VERIFIED):
            self._look_at_handler(await self.handler_metrics())
        await self._look_at_haproxy()

    async def verdict(self, version: str = "") -> dict[str, Any] | None:
        """What the judge says of a version (the story's by default), None while it does not know it."""
        url = self._run.url(self._run.ports.judge, f"/v1/verdict/{MODEL}/{version or self._version}")
        return await observation.read_verdict(self._session, url)

    async def handler_metrics(self) -> list[Sample]:
        """The handler's own /metrics."""
        headers = {"Authorization": f"Bearer {self._run.token.read_text(encoding='ascii')}"}
        url = self._run.url(HANDLER_PORT, "/metrics")
        return await observation.read_metrics(self._session, url, "handler", headers)

    async def _look_at_haproxy(self) -> None:
        versions = tuple(self._run.cast.weights)
        before, self.weights = self.weights, await observation.read_weights(self._run.haproxy_socket, versions)
        if self.weights[self._version] == 0 and before.get(self._version, 0) > 0:
            text = ", ".join(f"{version} {weight}" for version, weight in self.weights.items())
            self.reached(Milestone.EFFECT, self._clock(), f"HAProxy says: weights {text}")

    def _look_at_verdict(self, said: dict[str, Any] | None) -> None:
        if said is not None and said["verdict"] == Verdict.ROLLBACK:
            self.reached(Milestone.VERDICT, said["since"], gist(said["text"]))

    def _look_at_alerts(self, alerts: list[RollbackAlert]) -> None:
        for alert in alerts:
            if alert.state == "firing":
                self.reached(Milestone.FIRING, self._clock(), f"{alert.name}, {alert.version}")

    def _look_at_handler(self, samples: list[Sample]) -> None:
        """The audit says what was done; when the webhook came, only the metric before the decision tells."""
        received = observation.total(samples, "mlcanary_webhook_last_received_timestamp_seconds")
        rows = self.audit.rows()
        decisions = [row for row in rows if row.kind in ("decision", "plan")]
        if decisions and received <= decisions[0].at:
            self.reached(Milestone.WEBHOOK, received, "from Alertmanager, with its token")
        for row in rows:
            body = msgspec.json.decode(row.body)
            if row.kind == "verdict" and body["state"] == "resolved":
                self.reached(Milestone.VERIFIED, row.at, body["note"] or "proven from the traffic after the effect")
            elif row.kind == "verdict":
                raise DemoError(f"the handler ended with {body['state']}: {body['note']}", component="handler")
