"""The handler as a process: ledger, workers, reload; what others may ask of it lies in `web`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from mlcanary.errors import ConfigError, StateError
from mlcanary.handler.core.incidents import ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.releases import OrderState
from mlcanary.handler.evidence.prometheus import Prometheus
from mlcanary.handler.evidence.silences import Alertmanager
from mlcanary.handler.ledger.store import Checkpoint, Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.settings import Settings, TargetPlan, approvers, require_safe_exposure, require_two_people
from mlcanary.handler.targets.registry import create
from mlcanary.handler.web import api, gates, openapi, operators, pages, webhook
from mlcanary.handler.web.admission import admission
from mlcanary.handler.work.effect import PATIENT, Environment, Pace
from mlcanary.handler.work.notices import Notifier
from mlcanary.handler.work.worker import TargetWorker
from mlcanary.webserver.config import LoadedWebConfig, WebConfigFile
from mlcanary.webserver.identity import Scope
from mlcanary.webserver.server import ListenAddress, create_application, serving

log = logging.getLogger(__name__)

PAGE_SECONDS = 600.0
"""The window of the rule MLCanaryRollbackFailed: what ended before was told by the process that ran then."""
_GONE = "the target is no longer configured"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line and the test harness choose. `checkpoint` does nothing in production."""

    state_path: Path
    listen: tuple[str, ...]
    web_config_file: Path | None
    clock: Callable[[], float]
    new_id: Callable[[], str]
    checkpoint: Checkpoint
    pace: Pace = PATIENT
    prune_every: float = 3600.0


class HandlerService:
    """Owns the ledger, the metrics and one worker per target. Create inside a running event loop.

    Raises StateError if the ledger is held by another handler or cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        load: Callable[[], Settings],
        web_config: WebConfigFile | None,
    ) -> None:
        self._options = options
        self._web_config = web_config
        self._load = load
        self.settings = settings
        self.metrics = HandlerMetrics()
        self.ledger = Ledger(
            options.state_path,
            freeze_file=Path(settings.freeze_file) if settings.freeze_file else None,
            checkpoint=options.checkpoint,
        )
        self.workers: dict[str, TargetWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._ending = False
        self._count_again()

    # --- life

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; an error of ours in a worker ends the process, loudly."""
        self._start_messages()
        environment = self._environment()
        for plan in self.settings.targets:
            self._start_worker(plan, environment)
        self._leave_gone_targets()
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                # A task that a reload has cancelled is done at once: to wait for it would spin until that is over.
                working = {task for task in (self._messages, *self._tasks.values()) if not task.cancelled()}
                waiting = {stopped, changed, *working}
                done, _ = await asyncio.wait(
                    waiting, timeout=self._options.prune_every, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()
                if not done:
                    self._prune()
                for task in done & working:
                    if task.cancelled():
                        continue
                    if task.exception() is not None:
                        log.critical("a bug in a worker ends the handler", extra={"target": task.get_name()})
                    task.result()
        finally:
            stopped.cancel()
            self._ending = True
            for worker in self.workers.values():
                worker.stop()
            await self._stop_messages()
            await asyncio.gather(*map(self._stop_worker, list(self.workers)))
            self.ledger.close()

    def _count_again(self) -> None:
        """Count what ended badly a short time ago: a crash right after the commit must not lose the page."""
        for incident in self.ledger.ended_badly(self._options.clock() - PAGE_SECONDS):
            self.metrics.add("rollbacks_total", incident.target, incident.model, incident.state)

    def _prune(self) -> None:
        try:
            self.ledger.prune(self._options.clock())
        except StateError:
            log.exception("the ledger could not be pruned, it is tried again")

    def now(self) -> float:
        """Unix seconds by the handler's clock."""
        return self._options.clock()

    def prometheus(self) -> Prometheus:
        """A reader of Prometheus whose answers and failures are shown."""
        return Prometheus(self.settings.prometheus, lambda answered: self.metrics.set("evidence_up", float(answered)))

    def new_id(self) -> str:
        """A fresh random name."""
        return self._options.new_id()

    def ready(self) -> str:
        """What is missing before the handler can be relied on; empty if nothing is."""
        names = [plan.name for plan in self.settings.targets]
        waiting = [name for name in names if name not in self.workers or not self.workers[name].ready]
        return f"taking up unfinished work of {', '.join(waiting)}" if waiting else ""

    async def reload(self) -> None:
        """Load the configuration again and start the workers anew. Raises ConfigError and changes nothing.

        Each target goes on as soon as its own step has ended; this returns when the slowest has.
        """
        async with self._reloading:
            await self._reload(self._load())

    async def _reload(self, settings: Settings) -> None:
        kept = {target.name for target in settings.targets}
        for incident in self.ledger.open_incidents():
            if incident.target not in kept:
                raise ConfigError(
                    f"target {incident.target} has an open incident and is missing in the new configuration",
                    hint="wait until it ends",
                )
        for target in self.settings.targets:
            release = None if target.name in kept else self.ledger.open_release(target.name)
            if release is not None:
                raise ConfigError(
                    f"target {target.name} has an open release and is missing in the new configuration",
                    hint="withdraw it, or wait until it ends",
                )
        if settings.freeze_file != self.settings.freeze_file:
            raise ConfigError("freeze_file changes at a restart only")
        exposed = [a for a in self._options.listen if not ListenAddress.parse(a).loopback]
        require_safe_exposure(settings, exposed, self.authenticates())
        require_two_people(settings, self._loaded_web())
        await self._stop_messages()
        await self._replace_workers(settings)
        log.info("configuration loaded again", extra={"digest": settings.digest})

    def authenticates(self) -> bool:
        """Whether callers must prove who they are."""
        return self._web_config is not None and self._web_config.current().authenticates

    def approvers(self, plan: TargetPlan, ordered_by: str) -> tuple[str, ...]:
        """Who may approve what `ordered_by` has ordered on a target, by name."""
        loaded = self._loaded_web()
        if loaded is None:
            return ()
        if not plan.approval.four_eyes:
            return loaded.holders(Scope.APPROVE)
        return tuple(name for name in approvers(loaded) if name != ordered_by)

    def _loaded_web(self) -> LoadedWebConfig | None:
        return self._web_config.current() if self._web_config is not None else None

    # --- workers and messages

    def _start_messages(self) -> None:
        self._notifier = Notifier(self.ledger, self.settings.notify, self.metrics, self._options.clock)
        self._messages = asyncio.create_task(self._notifier.run(), name="messages")
        self._changed.set()

    async def _stop_messages(self) -> None:
        self._messages.cancel()
        await asyncio.wait({self._messages})

    def _environment(self) -> Environment:
        options, alertmanager = self._options, self.settings.alertmanager
        return Environment(
            ledger=self.ledger,
            prometheus=self.prometheus(),
            metrics=self.metrics,
            clock=options.clock,
            new_id=options.new_id,
            checkpoint=options.checkpoint,
            pace=options.pace,
            tell=self._tell,
            alertmanager=None if alertmanager is None else Alertmanager(alertmanager),
        )

    def _tell(self, kind: str, target: str, body: Mapping[str, object]) -> None:
        """Those of the newest configuration, also from a worker that is older."""
        self._notifier.tell(kind, target, body)

    def _start_worker(self, plan: TargetPlan, environment: Environment) -> None:
        self.metrics.introduce(plan)
        worker = TargetWorker(plan, create(plan.kind), environment)
        self.workers[plan.name] = worker
        self._tasks[plan.name] = asyncio.create_task(worker.run(), name=plan.name)
        self._changed.set()

    async def _stop_worker(self, name: str) -> None:
        """Wait until a worker has ended its step. Until then it stands among the others, and answers."""
        task = self._tasks[name]
        self.workers[name].stop()
        await asyncio.wait({task})
        self.workers.pop(name, None)
        self._tasks.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("worker ended with an error", exc_info=task.exception())

    async def _replace_workers(self, settings: Settings) -> None:
        """A new worker for each target, started when its old one has ended.

        What a target writes to may have been another one's before: where that changes, all who leave must be gone.
        """
        before = {plan.name: plan.kind for plan in self.settings.targets}
        after = {plan.name: plan.kind for plan in settings.targets}
        leaving = [name for name, kind in before.items() if after.get(name) != kind]
        self.settings = settings
        self._start_messages()
        environment = self._environment()
        left = asyncio.gather(*map(self._stop_worker, leaving))

        async def renew(plan: TargetPlan) -> None:
            await (left if before.get(plan.name) != plan.kind else self._stop_worker(plan.name))
            if not self._ending:
                self._start_worker(plan, environment)

        await asyncio.gather(left, *map(renew, settings.targets))
        if not self._ending:
            self._leave_gone_targets()

    def _leave_gone_targets(self) -> None:
        """End what waits for targets that are no longer configured, and tell nothing of them any more."""
        for incident in self.ledger.open_incidents():
            if incident.target not in self.workers:
                self._give_up(incident)
        for order in self.ledger.orders_elsewhere([plan.name for plan in self.settings.targets]):
            self.ledger.end_order(order, OrderState.REFUSED, note=_GONE, now=self._options.clock())
            self.metrics.add("orders_total", order.target, order.kind, OrderState.REFUSED)
        self.metrics.keep(self.settings.targets)

    def _give_up(self, incident: Incident) -> None:
        """End an incident of a target that is no longer configured, with what was under way there."""
        now, stuck, note = self._options.clock(), IncidentState.STUCK, _GONE
        unfinished = self.ledger.unfinished(incident.target)
        if incident.state is IncidentState.AWAITING_APPROVAL:
            self.ledger.abandon(incident, note=note, reopen=False, now=now)
            return
        for action in unfinished:
            sent = action.state is ActionState.DISPATCHED
            if action.kind is ActionKind.ROLLBACK and sent:
                self.ledger.finish(action, ActionState.UNKNOWN, stuck, note=note, now=now)
            else:
                ended = ActionState.UNKNOWN if sent else ActionState.FAILED
                self.ledger.finish_beside(action, ended, note=note, now=now)
        if self.ledger.open_incident(incident.target) is not None:
            self.ledger.close_incident(incident, stuck, note=note, now=now)
        self.metrics.add("rollbacks_total", incident.target, incident.model, stuck)
        log.error("incident of a target that is gone", extra={"incident": incident.id})


def application_of(service: HandlerService, web_config: WebConfigFile | None) -> web.Application:
    """Every route of the handler, guarded."""
    application = create_application(web_config=web_config, ready=service.ready, admission=admission(service))
    for part in (webhook, operators, api, gates, pages):
        part.routes(application, service)
    openapi.routes(application)
    return application


async def serve(
    settings: Settings, options: RunOptions, load: Callable[[], Settings], listening: Callable[[Sequence[str]], None]
) -> None:
    """Run the handler until SIGTERM or SIGINT. Raises ConfigError and StateError before it listens.

    `listening` is called with the bound addresses.
    """
    web_config = WebConfigFile(options.web_config_file) if options.web_config_file is not None else None
    exposed = [address for address in options.listen if not ListenAddress.parse(address).loopback]
    authenticates = web_config is not None and web_config.current().authenticates
    require_safe_exposure(settings, exposed, authenticates)
    require_two_people(settings, web_config.current() if web_config is not None else None)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = HandlerService(settings, options, load, web_config)
    reloads: set[asyncio.Task[None]] = set()

    def hang_up() -> None:
        task = asyncio.create_task(_reload(service))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    application = application_of(service, web_config)
    async with serving(application, options.listen, web_config) as bound:
        listening(bound)
        await service.run(stop)


async def _reload(service: HandlerService) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await service.reload()
        except ConfigError as error:
            log.error("configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
