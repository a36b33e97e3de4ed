"""Orders of people, and the messages that wait to be sent to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlcanary.errors import StateError
from mlcanary.handler.core.releases import Notice, Order, OrderState
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.book import MOST_NOTICES, Book

__all__ = ["MOST_NOTICES", "MOST_ORDERS", "ControlRows"]

MOST_ORDERS = 100


class ControlRows(Book):
    """See the module. Part of `Ledger`."""

    def give_order(self, order: Order) -> None:
        """Remember an order until the target's worker carries it out. Raises StateError if too many wait."""
        with self._transaction("order"):
            waiting = self._db.execute("SELECT COUNT(*) FROM orders WHERE state='pending'").fetchone()[0]
            if waiting >= MOST_ORDERS:
                raise StateError(f"{waiting} orders wait already", hint="are the targets' workers running?")
            tables.insert(self._db, "orders", order)
            body = {"order": order.id, "order_kind": order.kind, "version": order.version, "plan": order.plan}
            told = {**body, "reason": order.reason, "force": order.force}
            self._audit(order.received, "order", order.target, told, actor=order.actor)

    def pending_orders(self, target: str) -> list[Order]:
        """Orders of a target that wait, oldest first."""
        rows = self._all(tables.SELECT_ORDER + "target=? AND state='pending' ORDER BY rowid", (target,))
        return [tables.order_of(row) for row in rows]

    def orders_elsewhere(self, targets: Sequence[str]) -> list[Order]:
        """Orders that wait for other targets than these, oldest first."""
        marks = ", ".join("?" for _ in targets)
        where = f"state='pending' AND target NOT IN ({marks}) ORDER BY rowid"
        return [tables.order_of(row) for row in self._all(tables.SELECT_ORDER + where, tuple(targets))]

    def order(self, name: str) -> Order | None:
        """An order by id."""
        row = self._one(tables.SELECT_ORDER + "id=?", (name,))
        return None if row is None else tables.order_of(row)

    def end_order(self, order: Order, state: OrderState, *, note: str, now: float) -> None:
        """Record what became of an order."""
        with self._transaction("order"):
            self._db.execute("UPDATE orders SET state=?, note=? WHERE id=?", (state, note, order.id))
            body = {"order": order.id, "state": state, "note": note}
            self._audit(now, "order", order.target, body, actor=order.actor)

    # --- messages

    def notify(
        self, receivers: Sequence[str], kind: str, target: str, body: Mapping[str, object], *, now: float
    ) -> list[str]:
        """Queue a message to each receiver. Gives those for whom too many wait: they do not get it."""
        with self._transaction("notice"):
            return self._queue_to(receivers, kind, target, body, now)

    def notices_waiting(self) -> int:
        """How many messages wait."""
        with self._reading():
            return int(self._db.execute("SELECT COUNT(*) FROM outbox WHERE sent=0").fetchone()[0])

    def notices(self, now: float, count: int, *, longest: float) -> list[Notice]:
        """Messages whose turn has come, oldest first.

        Nobody puts one off by more than `longest` seconds: one that is due later was put off by a clock that has gone
        back since.
        """
        where = "sent=0 AND (next_try<=? OR next_try>?) ORDER BY id LIMIT ?"
        rows = self._all(tables.SELECT_NOTICE + where, (now, now + longest, count))
        return [tables.notice_of(row) for row in rows]

    def sent(self, notice: Notice, now: float) -> None:
        """A message arrived."""
        with self._transaction("notice"):
            self._db.execute("UPDATE outbox SET sent=? WHERE id=?", (now, notice.id))

    def drop_notice(self, notice: Notice) -> None:
        """Give a message up."""
        with self._transaction("notice"):
            self._db.execute("DELETE FROM outbox WHERE id=?", (notice.id,))

    def not_sent(self, notice: Notice, next_try: float) -> None:
        """A message did not arrive; it is tried again."""
        with self._transaction("notice"):
            self._db.execute("UPDATE outbox SET attempts=attempts+1, next_try=? WHERE id=?", (next_try, notice.id))
