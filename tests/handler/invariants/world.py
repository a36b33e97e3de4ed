"""The world around a handler that crashes: time, clocks, routers, traffic, Prometheus, and the process itself.

The process is the real `HandlerService` with its ledger, workers and webhook, on a loop whose time stands still until
the test moves it. Only its edges are replaced: `create` gives fake targets, `Prometheus` answers from the truth.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from handler.invariants.configuration import EXTRA, MODELS, parsed
from handler.invariants.edges import FaultyStore, install, uninstall
from handler.invariants.memory_router import TIMEOUT, Answer, FakeTarget, Router, land
from handler.invariants.truth import Truth
from handler.invariants.virtual_loop import SpinError, VirtualLoop
from handler_world import BAD, GOOD
from mlcanary.errors import StateError
from mlcanary.handler.intake.queue import GATHERING
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.service import HandlerService, RunOptions
from mlcanary.handler.settings import Settings, TargetPlan
from mlcanary.handler.targets.contract import Guard, State, Target
from mlcanary.handler.web.webhook import Webhook

START = 1_800_000_000.0
_MOST_TURNS = 5000
_LONGEST_PAUSE = 60.0


class CrashError(KeyboardInterrupt):
    """The process dies here. asyncio hands this kind on at once, past every handler of errors."""


class World:
    """See the module. `scene` has a mode, or a word of `EXTRA`, for each of the targets `alpha`, `beta`, ..."""

    def __init__(self, scene: tuple[str, ...], checks: Any) -> None:
        install(self)
        self.directory = Path(tempfile.mkdtemp(prefix="invariants-", dir=_memory()))
        self.state_path = self.directory / "handler.sqlite"
        self.freeze_path = self.directory / "stop"
        self.now = START
        self.skew = 0.0
        self.extra = {name: EXTRA.get(word, "") for name, word in zip(MODELS, scene, strict=False)}
        self.modes = {n: "react" if w in EXTRA else w for n, w in zip(MODELS, scene, strict=False)}
        self.routers = {name: Router(name, State.of({GOOD: 90, BAD: 10})) for name in self.modes}
        self.truths = {name: Truth(router, name, START) for name, router in self.routers.items()}
        self.loop = VirtualLoop(START)
        self.service: HandlerService | None = None
        self.settings = self.load()
        self.checks = checks
        self.gates: deque[tuple[str, str, asyncio.Future[Answer]]] = deque()
        self.counts: Counter[str] = Counter()
        self.store_fault = ""
        self.crash_in = 0
        self.slack = 60.0
        self.crashing = False
        self._ids = itertools.count(1)
        self._main: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        checks.begin(self)

    # --- configuration

    def load(self) -> Settings:
        """The configuration as it stands now."""
        found = parsed(tuple(self.modes.items()), tuple(self.extra.items()))
        return dataclasses.replace(found, freeze_file=str(self.freeze_path))

    def plan(self, name: str) -> TargetPlan | None:
        """What the running process goes by for a target."""
        settings = self.service.settings if self.service is not None else self.settings
        return next((plan for plan in settings.targets if plan.name == name), None)

    def clock(self) -> float:
        """The handler's clock, which may jump."""
        return self.now + self.skew

    # --- time

    def move(self, to: float) -> None:
        """Let time pass outside of the process too."""
        for name, truth in self.truths.items():
            truth.move(to)
            router = self.routers[name]
            if router.late and land(router, to):
                self.counts["late write landed"] += 1
        self.now = max(self.now, to)
        self.loop.move(self.now)

    def run(self, seconds: float, *, while_up: bool = False) -> None:
        """Let `seconds` pass while every call is answered as soon as it comes, as the standing faults have it.

        With `while_up` time stands still once the process has ended.
        """
        until = self.now + seconds
        for _ in range(_MOST_TURNS):
            self.settle()
            if self.service is None:
                break
            if self.gates:
                self.answer(Answer.OK)
                continue
            due = self.loop.next_timer() if self.service is not None else None
            if due is None or due > until:
                break
            self.move(due)
        if not (while_up and self._main is None):
            self.move(until)
        self.settle()

    def run_to_gate(self, seconds: float = _LONGEST_PAUSE) -> None:
        """Let time pass until the process makes a call, which stays open."""
        self.settle()
        until = self.now + seconds
        while not self.gates:
            due = self.loop.next_timer() if self.service is not None else None
            if due is None or due > until:
                return
            self.move(due)
            self.settle()

    def run_to_write(self, seconds: float) -> bool:
        """Let time pass until the process writes a router; other calls are answered. False if it does not."""
        until = self.now + seconds
        while self.service is not None and self.now <= until:
            self.run_to_gate(until - self.now)
            if not self.gates:
                return False
            if self.gates[0][0] == "apply":
                return True
            self.answer(Answer.OK)
        return False

    def land_open_call(self) -> None:
        """The router carries out the write that is open, whatever becomes of who asked for it."""
        kind, name, _ = self.gates[0]
        call = self.checks.open_call(name) if kind == "apply" else None
        if call is not None:
            desired, guard = call
            self.truths[name].move(self.now)
            self.routers[name].late.append((self.now, desired, guard))
            self.counts["write landed although its sender died"] += land(self.routers[name], self.now)

    def heal(self, name: str) -> None:
        """Everything around a target works."""
        truth, router = self.truths[name], self.routers[name]
        truth.move(self.now)
        truth.scraping, truth.source_up, truth.hidden = True, 1.0, False
        truth.roles, truth.rule_age, truth.verdict_age = [(GOOD, "baseline"), (BAD, "canary")], 1.0, 1.0
        truth.alert_firing, truth.may_expand, truth.servers = True, True, {GOOD: 2.0, BAD: 1.0}
        truth.alive = dict.fromkeys(truth.alive, True)
        router.readable, router.obeys = True, True
        router.shown = None

    def drain(self) -> None:
        """Nothing breaks any more: every incident has to end."""
        self.crash_in, self.store_fault = 0, ""
        for name in self.routers:
            self.heal(name)
        if self.service is None:
            self.start()
        self.checks.drains()
        self.run(1.0)
        for _ in range(12):
            if not self.checks.open_incidents():
                break
            self.run(60.0)
        self.checks.step()
        for incident in self.checks.open_incidents():
            self.checks.fail(10, f"{incident.id} is {incident.state} although nothing breaks any more")

    def settle(self) -> None:
        """Run the process until it waits for a call or for time."""
        try:
            self.loop.run_ready()
        except CrashError:
            self.crash("checkpoint")
        except SpinError as error:
            self.checks.fail(0, str(error))
            self.crash("spin")
        if self._main is not None and self._main.done():
            failed = None if self._main.cancelled() else self._main.exception()
            if self.service is not None and not self._store.closed:
                self.crash("error")
            self._main, self.service = None, None
            if isinstance(failed, StateError) and self.store_fault:
                self.counts["the process ended without a store"] += 1
            elif failed is not None:
                self.checks.fail(0, f"the process ended with {type(failed).__name__}: {failed}")

    def answer(self, answer: Answer) -> str:
        """Decide the oldest call that waits; gives its kind, empty without one."""
        while self.gates:
            kind, name, future = self.gates.popleft()
            if future.done():
                continue
            if answer is not Answer.OK:
                self.counts[f"{kind}: {answer}"] += 1
            self.counts[f"calls {kind}"] += 1
            future.set_result(answer)
            self.settle()
            return f"{kind} {name}"
        return ""

    # --- what the process meets

    async def gate(self, kind: str, name: str) -> Answer:
        """A point at which the process waits for somebody else."""
        future: asyncio.Future[Answer] = self.loop.create_future()
        self.gates.append((kind, name, future))
        try:
            return await future
        except asyncio.CancelledError:
            if not self.crashing:
                self.checks.fail(9, f"a running call ({kind} of {name}) was cancelled")
            raise

    def target(self, kind: Any) -> Target:
        """In place of `registry.create`."""
        name = str(kind.socket).removeprefix("/run/")
        return FakeTarget(
            self.routers[name],
            self.gate,
            lambda: self.now,
            self.checks.told,
            lambda: self.truths[name].move(self.now),
        )

    def checkpoint(self, name: str) -> None:
        """A moment at which the process may die."""
        self.counts["checkpoints"] += 1
        if name.startswith("after commit"):
            self.checks.look()
        if self.crash_in > 0:
            self.crash_in -= 1
            if self.crash_in == 0:
                self.counts[f"crash {name}"] += 1
                raise CrashError(name)

    # --- the life of the process

    def start(self) -> None:
        """Start the process, from what is on disk."""
        self.settings = self.load()
        self.loop = VirtualLoop(self.now)
        self.gates.clear()
        options = RunOptions(
            state_path=self.state_path,
            listen=("127.0.0.1:0",),
            web_config_file=None,
            clock=self.clock,
            new_id=lambda: f"id{next(self._ids)}",
            checkpoint=self.checkpoint,
        )
        try:
            self.service = HandlerService(self.settings, options, self.load, None)
        except CrashError:  # before anything runs
            return
        self._store = FaultyStore(self.service.ledger._db, self)
        self.service.ledger._db = cast(sqlite3.Connection, self._store)
        self.webhook = Webhook(self.service)
        self._stop = asyncio.Event()
        self._main = self.loop.create_task(self.service.run(self._stop))
        self._tasks = [self._main]
        self.checks.started()
        self.settle()

    def crash(self, why: str) -> None:
        """End the process as SIGKILL does: nothing is cleaned up, and what was not committed is lost."""
        if self.service is None:
            return
        self.counts[f"crash at {why}"] += 1
        self.crashing, self.crash_in = True, 0
        self.service.ledger.close()
        for task in asyncio.all_tasks(cast(asyncio.AbstractEventLoop, self.loop)):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process says nothing either
            _drop(task)
        self._main, self.service, self._tasks = None, None, []
        self.gates.clear()
        self.crashing = False

    def stop(self) -> None:
        """SIGTERM: the process ends in good order."""
        if self.service is None:
            return
        self._stop.set()
        for _ in range(10):
            self.run(TIMEOUT, while_up=True)
        if self._main is not None:
            self.checks.fail(10, "the process did not stop")
            self.crash("stop that hangs")

    def spawn(self, work: Any) -> None:
        """Something that comes in from outside: a request, a signal."""
        if self.service is None:
            work.close()
            return
        self._tasks.append(self.loop.create_task(_quiet(work, self.counts)))
        self.settle()

    def deliver(self, body: bytes) -> None:
        """A webhook call."""
        if self.service is not None:
            request = cast(Any, SimpleNamespace(read=_reader(body), headers={}))
            self.spawn(self.webhook.receive(request))
            self.move(self.now + GATHERING)
            self.settle()

    def order(self, do: Any) -> None:
        """Something a person does that writes the ledger: `do(ledger)`, then every worker looks."""
        if self.service is None:
            return
        try:
            do(self.service.ledger)
        except StateError:
            self.counts["order refused by the store"] += 1
            return
        except CrashError:
            self.crash("checkpoint")
            return
        for worker in self.service.workers.values():
            worker.wake()
        self.checks.look()

    def second_instance(self) -> None:
        """Another handler tries the same ledger."""
        if self.service is None:
            return
        try:
            second = Ledger(self.state_path, freeze_file=None, checkpoint=lambda _name: None)
        except StateError:
            return
        second.close()
        self.checks.fail(5, "two handlers held one ledger")

    def end(self) -> None:
        """Leave nothing behind."""
        self.crash("the end")
        self.checks.close()
        uninstall()
        shutil.rmtree(self.directory, ignore_errors=True)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _reader(body: bytes) -> Any:
    async def read() -> bytes:
        return body

    return read


async def _quiet(work: Any, counts: Counter[str]) -> None:
    try:
        await work
    except Exception as error:  # a request that fails is answered by the server with 500
        counts[f"request failed: {type(error).__name__}"] += 1


def _drop(task: asyncio.Task[Any]) -> None:
    """Forget a task without letting it clean up; what it tries all the same finds a closed ledger."""
    coroutine = cast(Any, task.get_coro())
    for _ in range(3):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        return


__all__ = ["BAD", "GOOD", "MODELS", "START", "Answer", "CrashError", "Guard", "World"]
