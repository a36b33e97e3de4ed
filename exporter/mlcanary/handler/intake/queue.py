"""Deliveries that wait are committed together: one disk flush for all that came while the last one ran.

Guarantee: `put` returns after the commit that holds its alerts, or raises StateError and none of them is stored.
At most `most` alerts wait; a delivery that does not fit beside the waiting ones is refused, not delayed. A
delivery that the store refuses takes no other down with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mlcanary.errors import StateError
from mlcanary.handler.intake.payload import Alert

Wanted = Sequence[tuple[Alert, str]]
"""Alerts, each with the target that it is for."""

Commit = Callable[[Wanted], list[bool]]
"""Stores alerts in one transaction and tells which are new. Raises StateError and stores none."""

MOST_WAITING = 10_000
GATHERING = 0.005
"""Seconds after a commit in which further deliveries gather. The first one after a quiet time waits for nobody."""


class CommitQueue:
    """See the module. Belongs to one event loop."""

    def __init__(self, commit: Commit, *, most: int = MOST_WAITING, gathering: float = GATHERING) -> None:
        self._commit = commit
        self._most = most
        self._gathering = gathering
        self._waiting: list[tuple[Wanted, asyncio.Future[list[bool]]]] = []
        self._alerts = 0
        self._next = 0.0
        self.commits = 0
        """How many transactions were tried."""

    async def put(self, wanted: Wanted) -> list[bool]:
        """Which of the alerts are new, once they are on disk. Raises StateError."""
        if not wanted:
            return []
        if self._waiting and self._alerts + len(wanted) > self._most:
            raise StateError(f"{self._alerts} alerts wait to be written", hint="is somebody flooding the webhook?")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bool]] = loop.create_future()
        if not self._waiting:
            loop.call_at(self._next, self._flush, loop)
        self._waiting.append((wanted, future))
        self._alerts += len(wanted)
        return await future

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting, self._alerts = self._waiting, [], 0
        try:
            self._write(batch)
        except BaseException as error:
            # Without this a bug, or the end of a test's process, would leave senders waiting for ever.
            for _, future in batch:
                if not future.done():
                    future.set_exception(StateError(f"the alerts could not be written: {type(error).__name__}"))
            raise
        finally:
            self._next = loop.time() + self._gathering

    def _write(self, batch: Sequence[tuple[Wanted, asyncio.Future[list[bool]]]]) -> None:
        """Commit a batch; one that is refused is tried again in halves, so that the fault is found."""
        self.commits += 1
        try:
            new = self._commit([pair for wanted, _ in batch for pair in wanted])
        except StateError as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                self._write(batch[:middle])
                self._write(batch[middle:])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        start = 0
        for wanted, future in batch:
            if not future.done():  # its sender may have gone
                future.set_result(new[start : start + len(wanted)])
            start += len(wanted)
