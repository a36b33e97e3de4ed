"""The judge as a process: one thread that judges, one event loop that answers, one leader per state file.

A process that finds its state file held stands by: it answers with `leader` 0 and no canaries, and takes over when the
file is free. Routes are those of `judge.publish.web`. SIGHUP loads the configuration again: it holds for canaries that
begin later. SIGTERM ends after the grid time in hand.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mlcanary
from mlcanary.errors import ConfigError
from mlcanary.judge.contract import CanaryKey
from mlcanary.judge.cycle import Judge
from mlcanary.judge.intake.reading import Reader
from mlcanary.judge.publish import web
from mlcanary.judge.publish.view import View
from mlcanary.judge.settings import Settings
from mlcanary.judge.store import Checkpoint, HeldError, Store
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import create_application, serving

log = logging.getLogger(__name__)

FIRST_RETRY = 1.0
"""Seconds until a reading or a write that failed is tried again; doubled up to the interval."""

ReaderMaker = Callable[[Settings], Reader]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line and the tests choose. `seek`: seconds between two looks of a standby at the lock."""

    state_path: Path
    listen: tuple[str, ...]
    web_config_file: Path | None
    make_reader: ReaderMaker
    checkpoint: Checkpoint = lambda _name: None
    seek: float = 2.0


class JudgeService:
    """Owns the judge and the thread it works in. Create inside a running event loop."""

    def __init__(self, settings: Settings, options: RunOptions, load: Callable[[], Settings]) -> None:
        self.settings = settings
        self.view = View(leader=False)
        self._options, self._load = options, load
        self._judge: Judge | None = None
        self._store: Store | None = None
        self._reader = options.make_reader(settings)
        self._changed = asyncio.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._failures = 0

    def ready(self) -> str:
        """What is missing before a verdict can be asked for; empty if nothing is."""
        if not self.view.leader:
            return "standing by: another judge leads"
        return "" if self.view.read_at is not None else self.view.problem or "nothing was read yet"

    def record(self, key: CanaryKey) -> bytes | None:
        """The newest decision record of a canary. Blocks."""
        return None if self._store is None else self._store.record(key)

    async def run(self, stop: asyncio.Event) -> None:
        """Judge until `stop`. Raises StateError for a file that cannot be used; a bug of ours ends the process."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                began = loop.time()
                pause = await loop.run_in_executor(self._pool, self._turn)
                await self._rest(stopped, pause - (loop.time() - began))
        finally:
            stopped.cancel()
            if self._judge is not None:
                await loop.run_in_executor(self._pool, self._judge.close)
            self._pool.shutdown()

    def reload(self) -> None:
        """Load the configuration again. Raises ConfigError and changes nothing."""
        settings = self._load()
        self._reader, self.settings = self._options.make_reader(settings), settings
        self._changed.set()
        log.info("configuration loaded again", extra={"digest": settings.digest})

    def _turn(self) -> float:
        """One turn of the thread; gives the seconds until the next one."""
        judge = self._judge or self._lead()
        if judge is None:
            return self._options.seek
        judge.configure(self._reader, self.settings)
        self.view = judge.run_once()
        if self.view.problem:
            self._failures += 1
            return min(FIRST_RETRY * 2.0 ** (self._failures - 1), self.settings.interval)
        self._failures = 0
        return 0.0 if judge.behind else min(judge.wait, self.settings.interval)

    def _lead(self) -> Judge | None:
        try:
            self._store = Store(self._options.state_path, self._options.checkpoint)
        except HeldError:
            return None
        self._judge = Judge(self._reader, self._store, self.settings, mlcanary.__version__, time.perf_counter)
        log.info("this judge leads", extra={"state": str(self._options.state_path)})
        return self._judge

    async def _rest(self, stopped: asyncio.Task[bool], seconds: float) -> None:
        changed = asyncio.create_task(self._changed.wait())
        await asyncio.wait({stopped, changed}, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        self._changed.clear()


async def serve(
    settings: Settings, options: RunOptions, load: Callable[[], Settings], listening: Callable[[Sequence[str]], None]
) -> None:
    """Run the judge until SIGTERM or SIGINT. Raises ConfigError and StateError.

    `listening` is called with the bound addresses.
    """
    web_config = WebConfigFile(options.web_config_file) if options.web_config_file is not None else None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = JudgeService(settings, options, load)
    loop.add_signal_handler(signal.SIGHUP, _reload, service)
    application = create_application(web_config=web_config, ready=service.ready)
    web.routes(application, lambda: service.view, service.record)
    async with serving(application, options.listen, web_config) as bound:
        listening(bound)
        await service.run(stop)


def _reload(service: JudgeService) -> None:
    try:
        service.reload()
    except ConfigError as error:
        log.error("configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
