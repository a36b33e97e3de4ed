"""Messages to people, through an outbox: at least once, and never in the way of an action.

`Notifier.tell` queues in the ledger and returns; `run` sends. A receiver that does not answer is tried again after 5 s,
10 s, 20 s ... up to 5 minutes, for a day; then the message is dropped and counted. Alertmanager tells the same people
from the handler's metrics, so nothing depends on this.

The URL of a receiver is a secret: it is read from its file at each try, and no message or log line repeats it.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from mlcanary.errors import ActionError, StateError
from mlcanary.handler.calls import Access, call
from mlcanary.handler.core.releases import Notice
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.schema import NotifySettings

log = logging.getLogger(__name__)

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
GIVE_UP = 86400.0
_AT_ONCE = 20
_TIMEOUT = 10.0
_IDLE = 60.0

SENTENCES: Mapping[str, str] = {
    "rolled_back": "{model}: the traffic of {version} went back to {destination}, and the traffic proves it",
    "ineffective": "{model}: the traffic of {version} went back to {destination}, but the measure is not back",
    "stuck": "{model}: taking {version} back is STUCK, a person must look",
    "failed": "{model}: taking {version} back FAILED, a person must look",
    "approval": "{model}: taking {version} back to {destination} {note}, plan {plan}",
    "frozen": "{target} is frozen",
    "submitted": "{model}: release of {version} is staged",
    "step": "{model}: {version} gets {share}",
    "held": "{model}: the release of {version} has been held for long, a person must look",
    "promoted": "{model}: {version} is proven and serves all traffic",
}
"""What is said first, by kind; a figure that is not given is left as a dash."""


class Notifier:
    """See the module. `tell` and `run` belong to one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        receivers: Sequence[NotifySettings],
        metrics: HandlerMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._metrics = metrics
        self._clock = clock
        self._woken = asyncio.Event()
        ledger.address(self._names, self._woken.set)
        for name in self._receivers:
            for result in ("sent", "failed", "dropped"):
                metrics.add("notices_total", name, result, by=0.0)

    def tell(self, kind: str, target: str, body: Mapping[str, object]) -> None:
        """Queue a message to every receiver that asks for the kind. Never raises: it is no reason to stop an action."""
        names = self._names(kind)
        if not names:
            return
        try:
            full = self._ledger.notify(names, kind, target, body, now=self._clock())
            if full:
                self._dropped(full, "too many messages wait")
        except StateError as error:
            self._dropped(names, str(error))
        self._woken.set()

    def _names(self, kind: str) -> list[str]:
        return [r.name for r in self._receivers.values() if not r.kinds or kind in r.kinds]

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._woken.clear()
            try:
                delay = await self._send_due()
            except StateError:
                log.exception("messages cannot be read from the ledger")
                delay = FIRST_PAUSE
            try:
                async with asyncio.timeout(delay):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _send_due(self) -> float:
        due = self._ledger.notices(self._clock(), _AT_ONCE, longest=LONGEST_PAUSE)
        if due:
            async with asyncio.TaskGroup() as group:
                for notice in due:
                    group.create_task(self._send(notice))
        waiting = self._ledger.notices_waiting()
        self._metrics.set("notices_waiting", float(waiting))
        if len(due) == _AT_ONCE:
            return 0.0
        return FIRST_PAUSE if waiting else _IDLE

    async def _send(self, notice: Notice) -> None:
        receiver = self._receivers.get(notice.receiver)
        if receiver is None:  # no longer configured
            self._ledger.drop_notice(notice)
            return
        try:
            url = _secret(receiver.url_file)
        except (OSError, UnicodeDecodeError) as error:
            self._failed(notice, f"{receiver.url_file}: cannot be read: {type(error).__name__}")
            return
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"mlcanary-{notice.id}"}
        try:
            await call(
                "POST", url, Access(_TIMEOUT, ca_file=receiver.ca_file), body=_body(notice, receiver), headers=headers
            )
        except ActionError as error:
            self._failed(notice, str(error).replace(url, "its URL"))
            return
        self._ledger.sent(notice, self._clock())
        self._metrics.add("notices_total", notice.receiver, "sent")

    def _failed(self, notice: Notice, why: str) -> None:
        now = self._clock()
        self._metrics.add("notices_total", notice.receiver, "failed")
        if now - notice.at > GIVE_UP:
            self._ledger.drop_notice(notice)
            self._dropped([notice.receiver], why)
            return
        log.warning("message not delivered, it is tried again", extra={"receiver": notice.receiver, "error": why})
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(notice.attempts, 10))
        self._ledger.not_sent(notice, now + pause)

    def _dropped(self, names: Sequence[str], why: str) -> None:
        for name in names:
            self._metrics.add("notices_total", name, "dropped")
        log.error("message to people dropped", extra={"receivers": list(names), "error": why})


def _secret(path: str) -> str:
    """Read at each try, so that a new one counts at once."""
    return Path(path).read_text(encoding="ascii").strip()


def _body(notice: Notice, receiver: NotifySettings) -> bytes:
    told = msgspec.json.decode(notice.body, type=dict[str, object])
    at = datetime.datetime.fromtimestamp(notice.at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = sentence(notice.kind, notice.target, told)
    if receiver.format == "json":
        document = {"kind": notice.kind, "target": notice.target, "at": at, "text": text, "details": told}
        return msgspec.json.encode(document, order="sorted")
    details = "\n".join(f"• {name}: {_slack(told[name])}" for name in sorted(told))
    return msgspec.json.encode({"text": f"*mlcanary* {_slack(text)}\n{details}\n{at}"})


def sentence(kind: str, target: str, told: Mapping[str, object]) -> str:
    """One sentence about an event.

    >>> sentence("step", "router", {"model": "clicks", "version": "v2", "share": "5 %"})
    'clicks: v2 gets 5 %'
    >>> sentence("frozen", "router", {})
    'router is frozen'
    """
    return SENTENCES.get(kind, kind + " on {target}").format_map(_Dashes({**told, "target": target}))


class _Dashes(dict[str, object]):
    """What is not given reads as a dash."""

    def __missing__(self, key: str) -> str:
        return "-"


def _slack(value: object) -> str:
    """Text in which nothing is markup of Slack. Source: Slack, "Escaping text"."""
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
