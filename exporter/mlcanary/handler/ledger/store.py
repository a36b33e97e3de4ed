"""Durable memory of the handler. SQLite, one file, one process.

Guarantees: what a method returned from is on disk (WAL, `synchronous=FULL`); a write is one transaction that
takes the write lock at its start; at most one incident and one release per target are open and at most one action per
target is dispatched, by unique indexes; a change of state that `core.machines` does not hold is never written; a
dispatch reads freeze and quarantine in its own transaction. An operating-system lock on the file is held for life, so
that two handlers never share a ledger. Any failure of the store is a StateError: a caller that cannot read it must not
act.

Calls block for the time of a disk flush. The handler makes a few per incident, and calls them from one event
loop without awaiting in between, which also makes them atomic there.
"""

from __future__ import annotations

from mlcanary.handler.ledger.book import EVERYTHING, Checkpoint
from mlcanary.handler.ledger.controls import ControlRows
from mlcanary.handler.ledger.events import MOST_WAITING
from mlcanary.handler.ledger.incidents import IncidentRows

__all__ = ["EVERYTHING", "MOST_WAITING", "Checkpoint", "Ledger"]


class Ledger(IncidentRows, ControlRows):
    """See the module. Its methods lie with the tables that they are about."""
