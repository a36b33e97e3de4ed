"""Composition root of the exporter: one ingest thread, one event loop, signals between them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlcanary.engine import Engine
from mlcanary.errors import ConfigError, MLCanaryError
from mlcanary.exposition.peers import PeerReader
from mlcanary.exposition.web import exporter_application
from mlcanary.settings import ExporterSettings
from mlcanary.sources.checkpoint import Checkpoint
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import serving

if TYPE_CHECKING:
    from mlcanary.resources.server import ModelServer  # psutil only where a process is to be watched

log = logging.getLogger(__name__)


DRAIN_SECONDS = 5.0
"""Orchestrators wait 10 to 30 seconds after SIGTERM before they kill."""


@dataclass(frozen=True)
class RunOptions:
    """How to run: intervals in seconds, where to listen, where to keep state."""

    poll_interval: float = 1.0
    publish_interval: float = 5.0
    shutdown_delay: float = 0.0
    listen: Sequence[str] = (":10877",)
    telemetry_path: str = "/metrics"
    web_config_file: Path | None = None
    state_path: Path | None = None
    server: ModelServer | None = None


class IngestThread(threading.Thread):
    """Runs the engine until `stop`; then drains the logs and saves. An unexpected error ends the process loudly."""

    def __init__(self, engine: Engine, options: RunOptions, on_failure: Callable[[], None]) -> None:
        super().__init__(name="ingest", daemon=True)
        self._engine = engine
        self._options = options
        self._on_failure = on_failure
        self._wake = threading.Event()
        self._stop_by: float | None = None
        self._finished = False
        self._orders: list[Callable[[], None]] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Poll, publish on a timer, obey orders between blocks."""
        try:
            self._loop()
        except BaseException as error:  # handed to the main thread, which exits with it
            self.failure = error
            log.exception("the ingest thread died")
            self._on_failure()

    def order(self, what: Callable[[], None]) -> None:
        """Have the ingest thread run `what` before its next block: the engine belongs to it alone.

        Raises ConfigError once the thread has read its last block.
        """
        if self._finished:
            raise ConfigError("the exporter is shutting down")
        self._orders.append(what)
        self._wake.set()

    def stop(self) -> None:
        """Read the logs to their end, for a few seconds at most, save, and finish; the rest is for the next start."""
        self._stop_by = time.monotonic() + DRAIN_SECONDS
        self._wake.set()

    def _loop(self) -> None:
        engine, interval = self._engine, self._options.publish_interval
        due = time.monotonic() + min(interval, 1.0)  # a first page soon, also while a backlog is being read
        first = True
        while True:
            while self._orders:
                self._orders.pop(0)()
            more = engine.read_some()
            if time.monotonic() >= due or (first and not more):
                engine.publish()
                due = time.monotonic() + interval
                first = False
            if self._stop_by is not None and (not more or time.monotonic() >= self._stop_by):
                break
            if more:
                continue
            self._wake.wait(max(0.0, min(self._options.poll_interval, due - time.monotonic())))
            self._wake.clear()
        self._finished = True
        while self._orders:
            self._orders.pop(0)()
        engine.publish()


class Reloader:
    """Loads the configuration anew and has the ingest thread go on under it."""

    def __init__(
        self, load: Callable[[], ExporterSettings], engine: Engine, thread: IngestThread, peers: PeerReader
    ) -> None:
        self._load = load
        self._engine = engine
        self._thread = thread
        self._peers = peers
        self._loop = asyncio.get_running_loop()

    async def reload(self) -> None:
        """Return when the new configuration is in force. Raises MLCanaryError, and the former one stays."""
        try:
            fresh = await asyncio.to_thread(self._load)
        except MLCanaryError as error:
            message = str(error)
            self._thread.order(lambda: self._engine.reload_failed(message))
            log.error("configuration refused, the former one stays: %s", error)  # noqa: TRY400 - no bug of ours
            raise
        done = asyncio.Event()

        def apply() -> None:
            self._engine.reload(fresh)
            self._loop.call_soon_threadsafe(done.set)

        self._thread.order(apply)
        await done.wait()
        self._peers.replan(fresh.peers, fresh.salt_fingerprint)
        log.info("configuration reloaded")

    def on_hangup(self) -> None:
        """SIGHUP. What goes wrong is logged: a signal has nobody to tell."""
        task = self._loop.create_task(self.reload())
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def run_exporter(
    load: Callable[[], ExporterSettings], options: RunOptions, started: Callable[[Sequence[str]], None]
) -> None:
    """Run until SIGTERM or SIGINT. `load` reads the configuration anew; `started` is told the bound addresses.

    Raises MLCanaryError for what the operator can mend, and whatever ended the ingest thread.
    """
    _allow_many_files()
    web_config = WebConfigFile(options.web_config_file) if options.web_config_file is not None else None
    settings = load()
    peers = PeerReader(settings.peers, settings.salt_fingerprint, time.time)
    engine = _make_engine(settings, options, peers)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    thread = IngestThread(engine, options, lambda: _call(loop, stop.set))
    reloader = Reloader(load, engine, thread, peers)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reloader.on_hangup)
    application = exporter_application(
        lambda: engine.page,
        ready=lambda: "" if engine.ready else "the logs are being read for the first time",
        reload=reloader.reload,
        web_config=web_config,
        metrics_path=options.telemetry_path,
    )
    try:
        async with serving(application, options.listen, web_config) as addresses, _reading(peers, stop):
            gc.collect()
            gc.freeze()  # modules live as long as the process: no collection need look at them again
            thread.start()
            started(addresses)
            await stop.wait()
            thread.stop()
            await asyncio.to_thread(thread.join)
            await asyncio.sleep(options.shutdown_delay)  # a last scrape may still come
    finally:
        if thread.failure is None:
            engine.close()
    if thread.failure is not None:
        raise thread.failure


@contextlib.asynccontextmanager
async def _reading(peers: PeerReader, stop: asyncio.Event) -> AsyncIterator[None]:
    """Read the peers for the length of the block; a bug in that ends the process loudly."""
    task = asyncio.create_task(peers.run())
    task.add_done_callback(lambda _ended: stop.set())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _make_engine(settings: ExporterSettings, options: RunOptions, peers: PeerReader) -> Engine:
    for warning in settings.warnings:
        log.warning("%s", warning)
    checkpoint = Checkpoint(options.state_path) if options.state_path is not None else None
    if checkpoint is None:
        log.warning("no --state.path: a restart reads the logs from their start again")
    return Engine(settings, clock=time.time, checkpoint=checkpoint, server=options.server, peers=lambda: peers.view)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Run something on the loop, from another thread."""
    loop.call_soon_threadsafe(what)


def _allow_many_files() -> None:
    """Every followed log holds a descriptor; the usual soft limit of 1,024 is for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
