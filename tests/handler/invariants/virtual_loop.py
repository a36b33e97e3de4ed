"""An event loop whose time only the test moves: nothing waits, nothing is lost, the same order every time.

Futures, tasks and timers are asyncio's own; files and sockets are not served.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, cast

_MOST_CALLBACKS = 20_000


class SpinError(AssertionError):
    """Something runs for ever at one moment."""


class VirtualLoop:
    """See the module. `now` is the loop's time in seconds."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.errors: list[dict[str, Any]] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._as_loop = cast(asyncio.AbstractEventLoop, self)  # what is left out of it, nobody here calls

    # --- what the test does

    def run_ready(self) -> None:
        """Run everything that can run without time passing."""
        before = events._get_running_loop()
        events._set_running_loop(self._as_loop)
        try:
            for _ in range(_MOST_CALLBACKS):
                if not self._ready:
                    return
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(before)
        raise SpinError("the handler spins without time passing")

    def next_timer(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def move(self, to: float) -> None:
        """Let time pass up to `to`; timers that are due become ready."""
        self.now = max(self.now, to)
        while (due := self.next_timer()) is not None and due <= self.now:
            self._ready.append(heapq.heappop(self._timers)[2])

    @property
    def idle(self) -> bool:
        """Whether nothing can run now."""
        return not self._ready

    # --- what asyncio asks

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._as_loop, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self._as_loop, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells of a timer that is not needed any more; it is dropped when its turn comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._as_loop)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self._as_loop, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
