"""Composition root of the exporter: one ingest thread, one event loop, signals between them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlcanary.compiled import way_in_use
from mlcanary.engine import Engine
from mlcanary.errors import ConfigError, MLCanaryError
from mlcanary.exposition.peers import PeerReader
from mlcanary.exposition.readers import Readers
from mlcanary.exposition.web import exporter_application
from mlcanary.inputs import Feed
from mlcanary.lean import SpareMemory, keep_lean, lean_arrays
from mlcanary.push.receiver import Receiver
from mlcanary.push.settings import require_safe_exposure
from mlcanary.push.spools import open_spools
from mlcanary.settings import ExporterSettings
from mlcanary.source_settings import STDIN
from mlcanary.sources.checkpoint import Checkpoint
from mlcanary.sources.spool import Spool
from mlcanary.sources.spool_source import SpoolSource
from mlcanary.sources.stdin import Pipe, PipeSource
from mlcanary.store.settings import StoreSection
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.guard import DEFAULT_ADMISSION, Admission
from mlcanary.webserver.server import ListenAddress, serving

if TYPE_CHECKING:
    from mlcanary.resources.server import ModelServer  # psutil only where a process is to be watched
    from mlcanary.store.writer import Store  # pyarrow only where a store is asked for

log = logging.getLogger(__name__)


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
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

    def __init__(self, engine: Engine, poll_interval: float, readers: Readers, on_failure: Callable[[], None]) -> None:
        super().__init__(name="ingest", daemon=True)
        self._engine = engine
        self._poll_interval = poll_interval
        self._readers = readers
        self._on_failure = on_failure
        self._wake = threading.Event()
        self._stop_by: float | None = None
        self._finished = False
        self._orders: list[Callable[[], None]] = []
        self.failure: BaseException | None = None
        engine.call_when_ready(self._wake.set)

    def run(self) -> None:
        """Poll, publish for those who read, obey orders between blocks."""
        try:
            lean_arrays()
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

    def wake(self) -> None:
        """Read on now, not at the next poll. For any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Read the logs to their end, for a few seconds at most, save, and finish; the rest is for the next start."""
        self._stop_by = time.monotonic() + DRAIN_SECONDS
        self._wake.set()

    def _loop(self) -> None:
        engine, readers = self._engine, self._readers
        made, took, spare = -math.inf, 0.0, SpareMemory()
        due = time.monotonic() + min(readers.interval, 1.0)  # a first page soon, also while a backlog is being read
        while True:
            while self._orders:
                self._orders.pop(0)()
            stop_by = self._stop_by  # asked before reading: what came before the stop is read
            more = engine.read_some()
            begun = time.monotonic()
            if begun >= due or (made < 0.0 and not more) or engine.wants_checkpoint:
                engine.publish()
                made = time.monotonic()
                took = made - begun
                spare.give_back(made)
            if made >= 0.0:
                due = readers.due(made, took)  # each time: a reader may have come or gone
            if stop_by is not None and (not more or time.monotonic() >= stop_by):
                break
            if more:
                continue
            self._wake.wait(max(0.0, min(self._poll_interval, due - time.monotonic())))
            self._wake.clear()
        self._finished = True
        while self._orders:
            self._orders.pop(0)()
        engine.publish()


class Reloader:
    """Loads the configuration anew and has the ingest thread go on under it."""

    def __init__(
        self,
        load: Callable[[], ExporterSettings],
        engine: Engine,
        thread: IngestThread,
        peers: PeerReader,
        receiver: Receiver | None,
        store: StoreSection | None,
    ) -> None:
        self._load = load
        self._receiver = receiver
        self._store = store
        self._engine = engine
        self._thread = thread
        self._peers = peers
        self._loop = asyncio.get_running_loop()

    async def reload(self) -> None:
        """Return when the new configuration is in force. Raises MLCanaryError, and the former one stays."""
        try:
            fresh = await asyncio.to_thread(self._load)
            if (fresh.push is None) is not (self._receiver is None):
                raise ConfigError("push: cannot be turned on or off by a reload", hint="restart the exporter")
            if fresh.store != self._store:
                raise ConfigError("store: cannot be changed by a reload", hint="restart the exporter")
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
        if self._receiver is not None and fresh.push is not None:
            self._receiver.replan(fresh.push)
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
    exposed = _exposed(settings, options, web_config)
    for warning in settings.warnings:
        log.warning("%s", warning)
    log.info("plain lines are decoded by: %s", way_in_use())
    checkpoint = _checkpoint(options)
    with open_spools(settings.push, options.state_path) as spools, _store(settings, options) as store:
        loop_time = asyncio.get_running_loop().time
        receiver = None if settings.push is None else Receiver(settings.push, spools, loop_time, proof=exposed)
        await _run(load, settings, options, started, web_config, checkpoint, spools, receiver, store)


async def _run(
    load: Callable[[], ExporterSettings],
    settings: ExporterSettings,
    options: RunOptions,
    started: Callable[[Sequence[str]], None],
    web_config: WebConfigFile | None,
    checkpoint: Checkpoint | None,
    spools: Mapping[str, Spool],
    receiver: Receiver | None,
    store: Store | None,
) -> None:
    peers = PeerReader(settings.peers, settings.salt_fingerprint, time.time)
    pipe, readers = Pipe(STDIN, 0), Readers(options.publish_interval, time.monotonic)
    engine = Engine(
        settings,
        clock=time.time,
        checkpoint=checkpoint,
        server=options.server,
        peers=lambda: peers.view,
        feeds=_feeds(spools, pipe),
        extra=tuple if receiver is None else receiver.samples,
        store=store,
    )
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    thread = IngestThread(engine, options.poll_interval, readers, lambda: _call(loop, stop.set))
    pipe.wake = thread.wake
    reloader = Reloader(load, engine, thread, peers, receiver, settings.store)
    for name, called in zip(_SIGNALS, (stop.set, stop.set, reloader.on_hangup), strict=True):
        loop.add_signal_handler(name, called)
    application = exporter_application(
        lambda: engine.page,
        ready=lambda: "" if engine.ready else "the logs are being read for the first time",
        reload=reloader.reload,
        web_config=web_config,
        metrics_path=options.telemetry_path,
        admission=DEFAULT_ADMISSION if receiver is None else Admission(refused=receiver.refused),
        came=readers.came,
    )
    if receiver is not None:
        receiver.routes(application)
    try:
        async with (
            serving(application, options.listen, web_config, unpack=receiver is None) as addresses,
            _reading(peers, stop),
        ):
            keep_lean()
            thread.start()
            started(addresses)
            await stop.wait()
            if receiver is not None:
                receiver.stopping = True  # what is answered from now on would not be read any more
            thread.stop()
            await asyncio.to_thread(thread.join)
            _tell_unread(engine, spools)
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


def _checkpoint(options: RunOptions) -> Checkpoint | None:
    if options.state_path is not None:
        return Checkpoint(options.state_path)
    log.warning("no --state.path: a restart reads the logs from their start again")
    return None


@contextlib.contextmanager
def _store(settings: ExporterSettings, options: RunOptions) -> Iterator[Store | None]:
    """The store, where one is asked for. Raises ConfigError, StateError."""
    if settings.store is None:
        yield None
        return
    if options.state_path is None:
        hint = "give --state.path FILE"
        raise ConfigError("store: needs a state file, or a restart would store every row again", hint=hint)
    from mlcanary.store.lean import keep_small  # noqa: PLC0415 - pyarrow only where a store is asked for
    from mlcanary.store.writer import Store  # noqa: PLC0415

    keep_small()
    with contextlib.closing(Store(settings.store, settings.plan.model)) as store:
        yield store


def _exposed(settings: ExporterSettings, options: RunOptions, web_config: WebConfigFile | None) -> bool:
    """Whether the network can push to us. Raises ConfigError if anybody there could."""
    exposed = [address for address in options.listen if not ListenAddress.parse(address).loopback]
    if settings.push is not None:
        require_safe_exposure(exposed, web_config is not None and web_config.current().authenticates)
    return bool(exposed)


def _feeds(spools: Mapping[str, Spool], pipe: Pipe) -> Mapping[str, Feed]:
    """What outlives a reload: the spools of pushes, and standard input, which is read once a source asks for it."""
    feeds: dict[str, Feed] = {STDIN: lambda _saved: PipeSource(pipe)}
    for name, spool in spools.items():
        feeds[name] = functools.partial(SpoolSource, name, spool)
    return feeds


def _tell_unread(engine: Engine, spools: Mapping[str, Spool]) -> None:
    """Without a state file the spool goes with the process, read or not."""
    left = sum(view.lag_bytes for view in engine.page.sources if view.source in spools)
    if left and any(spool.transient for spool in spools.values()):
        log.error("%d bytes of pushed records were not read in time and are gone: give --state.path", left)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Run something on the loop, from another thread."""
    loop.call_soon_threadsafe(what)


def _allow_many_files() -> None:
    """Every followed log holds a descriptor; the usual soft limit of 1,024 is for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
