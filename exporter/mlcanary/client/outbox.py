"""The queue between callers and the sink, and the one thread that empties it.

Guarantee: `put` appends to a bounded queue and returns; everything that can wait, fail or take long happens in the
thread. What was put is sent once or counted as dropped. After a fork the child begins with an empty queue and a
thread of its own, and the parent's records stay the parent's.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mlcanary.client.lines import LABEL, Entry, Unserialisable, encode, encode_fields
from mlcanary.client.sinks import LABELS, PREDICTIONS, Refused, Sink, Unsent

log = logging.getLogger("mlcanary.client")

DROP_REASONS = ("queue_full", "unserialisable", "too_large", "invalid", "empty", "refused", "closed")
"""Why a record was dropped: the queue was full; a value that JSON cannot hold; a line above 1 MiB; arguments that
cannot be used; a request of the middleware on which nothing was set; a final no of the receiver; after `close`."""

_LONGEST_LINE = 1 << 20
_BATCH_BYTES = 1 << 17
_TURN = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_LOG_EVERY = 60.0
_REPORT_EVERY = 1.0


@dataclass(frozen=True)
class Stats:
    """Counts since the process began or was forked. `waiting`: put, and neither sent nor dropped yet.

    What is being encoded at this moment is in none of them.

    `failures`: tries of the sink that failed, of which `last_error` is the last; what they held is tried again.
    """

    sent: int
    waiting: int
    dropped: dict[str, int]
    failures: int
    last_error: str


class Outbox:
    """A bounded queue with its thread, which starts at the first `put`."""

    def __init__(self, sink: Sink, *, capacity: int, interval: float, close_timeout: float) -> None:
        """`capacity` records wait at most; the thread looks every `interval` seconds; `close` takes `close_timeout`."""
        self._sink = sink
        self._capacity = capacity
        self._hurry = max(1, capacity // 4)
        self._interval = interval
        self._close_timeout = close_timeout
        self._in_child: list[Callable[[], None]] = [self._begin, sink.forget]
        self._begin()
        _LIVE.add(self)

    def _begin(self) -> None:
        """The state of a new process. Locks are made anew: a thread that is gone may have held the former ones."""
        self._queue: deque[Entry] = deque()
        self._pending: dict[str, bytes] = {}
        self._busy = False
        self._thread: threading.Thread | None = None
        self._start_after = 0.0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._lock = threading.RLock()  # re-entrant: a signal handler may record too
        self._dropped: dict[str, int] = dict.fromkeys(DROP_REASONS, 0)
        self._reported: dict[str, int] = dict.fromkeys(DROP_REASONS, 0)
        self._report_at = 0.0
        self._sent = self._failures = 0
        self._last_error = ""
        self._wait, self._retry_at = _FIRST_WAIT, 0.0
        self._logged_at = -_LOG_EVERY
        self._logged = (0, 0)
        self._stop_at: float | None = None

    # --- callers

    def put(self, entry: Entry) -> None:
        """Queue a record, or count it as dropped. Never raises, never waits. Cost: about 0.2 us."""
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._capacity:
            self.drop("queue_full")
            return
        if self._stop_at is not None:
            self.drop("closed")
            return
        queue.append(entry)
        if self._thread is None:
            self._start()
        if waiting > self._hurry and not self._wake.is_set():
            self._wake.set()

    def drop(self, reason: str, count: int = 1) -> None:
        """Count records that are not kept; the thread tells of them."""
        with self._lock:
            self._dropped[reason if reason in self._dropped else "invalid"] += count
        if self._thread is None:
            self._start()

    def stats(self) -> Stats:
        """What became of the records so far."""
        held = sum(lines.count(b"\n") for lines in list(self._pending.values()))
        with self._lock:
            dropped = dict(self._dropped)
        return Stats(self._sent, len(self._queue) + held, dropped, self._failures, self._last_error)

    def flush(self, timeout: float) -> bool:
        """Wait until everything put so far is sent or dropped; False if that takes longer than `timeout` seconds."""
        until = time.monotonic() + timeout
        while self._queue or self._busy or self._unreported():
            if self._thread is None or time.monotonic() > until:
                return False
            self._report_at = 0.0
            self._wake.set()
            time.sleep(0.002)
        return True

    def close(self) -> None:
        """Send what waits, for at most `close_timeout` seconds; the rest counts as dropped. Later records too."""
        if self._stop_at is not None:
            return
        self._stop_at = time.monotonic() + self._close_timeout
        self._retry_at = 0.0  # whatever failed before gets one more try
        thread = self._thread
        if thread is not None:
            self._wake.set()
            self._closing.set()
            # Half a second more, for a try that began just before the deadline.
            thread.join(self._close_timeout + 0.5)
        self._abandon()

    # --- the thread

    def _start(self) -> None:
        """Start the thread. Where none can be started (limits, shutdown), try again a second later."""
        with self._lock:
            if self._thread is not None or time.monotonic() < self._start_after or self._stop_at is not None:
                return
            try:
                thread = threading.Thread(target=self._run, name="mlcanary-client", daemon=True)
                thread.start()
            except Exception as error:  # threads or memory are short: the caller must not notice
                self._start_after = time.monotonic() + 1.0
                self._last_error = str(error)
                return
            self._thread = thread

    def _run(self) -> None:
        while True:
            stopping = self._stop_at is not None
            pause = self._retry_at - time.monotonic()
            if pause > 0:  # not for `_wake`: with a full queue every call of the server would end this
                self._closing.wait(pause)
            elif not stopping:
                self._wake.wait(self._interval)
            self._wake.clear()
            try:
                self._work(time.monotonic())
                self._tell(time.monotonic())
            except Exception as error:  # whatever it is, the server goes on and so do we
                self._failed(f"{type(error).__name__}: {error}")
            if stopping and self._is_over(time.monotonic()):
                break
        self._abandon()
        self._sink.close()

    def _is_over(self, now: float) -> bool:
        """While closing: whether nothing is left, or no time is. Waits for the next try if there is one."""
        stop_at = self._stop_at or now
        if now >= stop_at or not (self._queue or self._pending or self._unreported()):
            return True
        time.sleep(max(0.0, min(self._retry_at - now, stop_at - now)))
        return False

    def _work(self, now: float) -> None:
        """Send until nothing is left, or until the sink fails."""
        if now < self._retry_at:
            return
        while self._pending or self._queue:
            self._busy = True
            try:
                if not self._pending:
                    self._fill()
                for kind in list(self._pending):
                    self._send(kind)
                    self._busy = bool(self._pending)
            except Unsent as error:
                self._failed(str(error), max(self._wait, error.retry_after))
                return
            self._wait = _FIRST_WAIT
            self._busy = bool(self._pending)
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                return
        if now >= self._report_at or self._stop_at is not None:
            self._report(now)

    def _fill(self) -> None:
        """Encode waiting records, up to a batch."""
        queue, size, turn = self._queue, 0, 0
        batch: dict[str, list[bytes]] = {}
        while size < _BATCH_BYTES:
            try:
                entry = queue.popleft()
            except IndexError:
                break
            try:
                line = encode(entry)
            except Unserialisable as error:
                self.drop("unserialisable")
                self._last_error = str(error)
                continue
            if len(line) > _LONGEST_LINE:
                self.drop("too_large")
                continue
            batch.setdefault(LABELS if entry[0] == LABEL else PREDICTIONS, []).append(line)
            size += len(line)
            turn += 1
            if turn % _TURN == 0 and len(queue) < self._hurry:
                time.sleep(0)  # hand the interpreter to the callers: they must not wait for a whole batch
        self._pending = {kind: b"".join(lines) for kind, lines in batch.items()}

    def _send(self, kind: str) -> None:
        lines = self._pending[kind]
        count = lines.count(b"\n")
        try:
            self._sink.send(kind, lines)
        except Unsent as error:
            self._pending[kind] = error.rest
            self._sent += count - error.rest.count(b"\n")
            raise
        except Exception as error:  # Refused, or a fault of ours that would come again
            self.drop("refused", count)
            self._failed(str(error) or type(error).__name__)
        else:
            self._sent += count
        del self._pending[kind]

    def _failed(self, message: str, wait: float = 0.0) -> None:
        """Note a failure and do not try again before `wait` seconds."""
        self._failures += 1
        self._last_error = message
        self._retry_at = time.monotonic() + wait
        self._wait = min(self._wait * 2, _LONGEST_WAIT) if wait else self._wait

    # --- telling what was dropped

    def _unreported(self) -> dict[str, int]:
        reported = self._reported
        return {r: n - reported[r] for r, n in list(self._dropped.items()) if n > reported[r]}

    def _report(self, now: float) -> None:
        """Send what was dropped as a line of its own, so that the exporter counts it too."""
        dropped = self._unreported()
        if not dropped:
            return
        self._report_at = now + _REPORT_EVERY
        try:
            self._sink.send(PREDICTIONS, encode_fields({"kind": "client", "ts": time.time(), "dropped": dropped}))
        except (Unsent, Refused) as error:
            refused = isinstance(error, Refused)  # an exporter that does not know such lines: do not insist
            self._failed(str(error), 0.0 if refused else self._wait)
            if not refused:
                return
        for reason, count in dropped.items():
            self._reported[reason] += count

    def _tell(self, now: float) -> None:
        """Say in the log what was dropped or failed, at most once a minute."""
        news = (sum(self._dropped.values()), self._failures)
        if news == self._logged or now - self._logged_at < _LOG_EVERY:
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._dropped.items() if count)
        text = "records dropped: %s; tries that failed: %d; last error: %s"
        log.warning(text, reasons or "none", self._failures, self._last_error or "none")
        self._logged, self._logged_at = news, now

    def _abandon(self) -> None:
        """Count what is left as dropped, unless the thread is still at it."""
        if self._thread is not None and self._thread.is_alive() and self._thread is not threading.current_thread():
            return
        pending, self._pending = self._pending, {}
        left = sum(lines.count(b"\n") for lines in pending.values())
        with contextlib.suppress(IndexError):
            while True:
                self._queue.popleft()
                left += 1
        if left:
            self.drop("closed", left)
            self._logged_at = -_LOG_EVERY
        self._tell(time.monotonic())

    def on_fork(self, do: Callable[[], None]) -> None:
        """Also do this in the child after a fork."""
        self._in_child.append(do)

    def after_fork(self) -> None:
        """In the child: begin anew."""
        for do in self._in_child:
            do()


_LIVE: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _each(step: str) -> None:
    for outbox in list(_LIVE):
        with contextlib.suppress(Exception):  # neither a fork nor an exit may fail because of us
            getattr(outbox, step)()


atexit.register(_each, "close")
os.register_at_fork(after_in_child=lambda: _each("after_fork"))
