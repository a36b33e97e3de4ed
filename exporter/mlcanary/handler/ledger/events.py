"""Alerts that came in, each once, and what was decided on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mlcanary.errors import StateError
from mlcanary.handler.core.incidents import Event
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.intake.payload import Alert
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.book import Book

MOST_WAITING = 10_000
KEPT_SECONDS = 7 * 86400.0
MOST_KEPT = 100_000
"""Rows. Beyond it those that nothing followed from go first, oldest first: a repeat of one is only decided again."""

CALLED = "called"
"""Decision of an event that still waits, and about which a person was called: once is enough."""


class EventRows(Book):
    """See the module. Part of `Ledger`."""

    def receive(self, alerts: Sequence[tuple[Alert, str]], now: float) -> list[bool]:
        """Which of these alerts, each with its target, are new; all of them in one transaction.

        A repeat of a decided one waits for a decision again, unless an incident is open that covers it.
        Raises StateError if too many wait already: the sender tries again.
        """
        with self._transaction("event"):
            waiting = self._db.execute("SELECT COUNT(*) FROM event WHERE state='pending'").fetchone()[0]
            if waiting + len(alerts) > MOST_WAITING:
                raise StateError(f"{waiting} alerts wait already", hint="is somebody flooding the webhook?")
            new = [self._receive(alert, target, now) for alert, target in alerts]
            self._make_room()
            return new

    def _make_room(self) -> None:
        low, high = self._db.execute("SELECT MIN(id), MAX(id) FROM event").fetchone()
        if low is None or high - low < MOST_KEPT:  # never more rows than that; counting them would read them all
            return
        extra = self._db.execute("SELECT COUNT(*) FROM event").fetchone()[0] - MOST_KEPT
        oldest = "SELECT id FROM event WHERE state='decided' AND decision='suppress' ORDER BY id LIMIT ?"
        self._db.execute(f"DELETE FROM event WHERE id IN ({oldest})", (max(0, extra),))

    def _receive(self, alert: Alert, target: str, now: float) -> bool:
        raw = msgspec.json.encode(dict(alert.labels)).decode()
        values = (*alert.delivery_key, target, alert.version, alert.measure, alert.window, raw, now, now, now)
        new = self._db.execute(tables.INSERT_EVENT, values).rowcount
        if not new:
            key = dict(zip("gfs", alert.delivery_key, strict=True))
            self._db.execute(tables.REPEAT_EVENT, {"now": now, "t": target, **key})
        return bool(new)

    def pending(self, target: str, now: float, *, recheck: float) -> list[Event]:
        """Events of a target whose turn has come, oldest first.

        Nobody postpones an event by more than `recheck` seconds: one that is due later was put off by a clock
        that has gone back since, and is due now.
        """
        where = "target = ? AND state = 'pending' AND (next_try <= ? OR next_try > ?) ORDER BY id"
        rows = self._all(tables.SELECT_EVENT + where, (target, now, now + recheck))
        return [tables.event_of(row) for row in rows]

    def next_try(self, target: str) -> float | None:
        """When the next waiting event of a target is due."""
        found = self._one("SELECT MIN(next_try) FROM event WHERE target=? AND state='pending'", (target,))
        return None if found is None or found[0] is None else float(found[0])

    def decided(
        self, events: Sequence[Event], decision: str, reason: str, *, body: Mapping[str, object], now: float
    ) -> None:
        """Record a decision that ends the waiting."""
        with self._transaction("decision"):
            self._mark(events, "decided", decision, reason, now)
            self._audit(now, "decision", events[0].target, {"decision": decision, "reason": reason, **body})

    def postponed(
        self,
        events: Sequence[Event],
        reason: str,
        *,
        body: Mapping[str, object],
        now: float,
        next_try: float,
        called: bool = False,
    ) -> None:
        """Record why nothing is done yet, and whether a person was called. Only a new reason is audited."""
        with self._transaction("postpone"):
            self._mark(events, "pending", CALLED if called else "suppress", reason, next_try)
            if any(event.reason != reason for event in events):
                self._audit(now, "decision", events[0].target, {"decision": "wait", "reason": reason, **body})

    def heard(self, target: str, alert: Alert, since: float) -> bool:
        """Whether an alert about the same came in since then, or still waits for a decision."""
        found = self._one(
            "SELECT 1 FROM event WHERE target=? AND version=? AND measure=? AND window=?"
            " AND (since >= ? OR state='pending')",
            (target, alert.version, alert.measure, alert.window, since),
        )
        return found is not None

    def reopen_rehearsed(self, target: str, alert: Alert, since: float, now: float) -> bool:
        """Let the same wait for a decision again, if it came in since then and the last one was: only rehearsed."""
        with self._transaction("event"):
            found = self._db.execute(
                "UPDATE event SET state='pending', since=:now, next_try=:now WHERE id = (SELECT MAX(id) FROM event"
                " WHERE target=:t AND version=:v AND measure=:m AND window=:w AND since >= :since)"
                " AND state='decided' AND reason=:reason",
                {
                    **{"now": now, "t": target, "v": alert.version, "m": alert.measure, "w": alert.window},
                    **{"since": since, "reason": Reason.DRY_RUN},
                },
            )
            return bool(found.rowcount)

    def prune(self, now: float) -> None:
        """Drop decided events that nobody repeats any more, and notices that were sent."""
        with self._transaction("prune"):
            self._db.execute("DELETE FROM event WHERE state='decided' AND since < ?", (now - KEPT_SECONDS,))
            self._db.execute("DELETE FROM outbox WHERE sent > 0 AND sent < ?", (now - KEPT_SECONDS,))

    def _mark(self, events: Sequence[Event], state: str, decision: str, reason: str, next_try: float) -> None:
        self._db.executemany(
            "UPDATE event SET state=?, decision=?, reason=?, next_try=? WHERE id=?",
            [(state, decision, reason, next_try, event.id) for event in events],
        )
