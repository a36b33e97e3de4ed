"""The edges of the handler's process that the world replaces: Prometheus, the targets, the ledger's connection."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from handler.invariants.memory_router import TIMEOUT, Answer
from mlcanary.handler import service as service_module
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus, Sample
from mlcanary.handler.targets.registry import create

if TYPE_CHECKING:
    from handler.invariants.world import World

_OF_MODEL = re.compile(r'model="([a-z]+)"')
_CURRENT: list[World] = []
"""The one world whose edges are in place."""


class FakePrometheus(Prometheus):
    """Answers all queries of one question at one moment, after one wait."""

    async def query_all(self, expressions: Mapping[str, str]) -> dict[str, list[Sample]]:
        world = _CURRENT[0]
        found = next((m for text in expressions.values() if (m := _OF_MODEL.search(text))), None)
        name = found[1] if found else next(iter(world.truths))
        answer = await world.gate("ask", name)
        if answer is Answer.HANG:
            await asyncio.sleep(TIMEOUT)
        if answer is not Answer.OK:
            raise EvidenceError("Prometheus does not answer")
        truth = world.truths[name]
        told = truth.answer(expressions)
        world.checks.asked(name, expressions)
        return told

    async def query(self, expression: str) -> list[Sample]:
        return (await self.query_all({"": expression}))[""]


class FaultyStore:
    """The connection of a ledger, which fails while the world says so."""

    def __init__(self, db: sqlite3.Connection, world: World) -> None:
        self._db = db
        self._world = world
        self.closed = False

    def execute(self, statement: str, *values: Any) -> Any:
        self._fail(statement)
        return self._db.execute(statement, *values)

    def executemany(self, statement: str, *values: Any) -> Any:
        self._fail(statement)
        return self._db.executemany(statement, *values)

    def _fail(self, statement: str) -> None:
        fault = self._world.store_fault
        if fault == "unreadable" and statement != "ROLLBACK":
            raise sqlite3.OperationalError("disk I/O error")
        if fault == "full" and statement == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self.closed = True
        self._db.close()


def install(world: World) -> None:
    """Replace the edges of the process: targets and Prometheus."""
    _CURRENT[:] = [world]
    setattr(service_module, "create", world.target)  # noqa: B010  # the module does not export it
    setattr(service_module, "Prometheus", FakePrometheus)  # noqa: B010  # the module does not export it
    logging.getLogger("mlcanary").setLevel(logging.CRITICAL + 1)


def uninstall() -> None:
    """Leave the process as it was, for other tests."""
    _CURRENT.clear()
    setattr(service_module, "create", create)  # noqa: B010  # the module does not export it
    setattr(service_module, "Prometheus", Prometheus)  # noqa: B010  # the module does not export it
    logging.getLogger("mlcanary").setLevel(logging.NOTSET)
