"""The handler as a process: webhook, workers, operator's endpoints, reload.

    POST /v1/alerts                      Alertmanager's webhook; 202 after the events are on disk
    POST /-/freeze   ?target=&reason=    stop automatic action, on one target or on all
    POST /-/unfreeze ?target=
    POST /-/reload                       as SIGHUP; a configuration that does not load changes nothing
    GET  /metrics, /, /-/healthy, /-/ready

The endpoints that change something ask for credentials even on loopback: a page in a browser can post there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from mlcanary.errors import ConfigError, InputError, StateError
from mlcanary.handler import landing
from mlcanary.handler.effect import PATIENT, Environment, Pace
from mlcanary.handler.incidents import ActionState, Incident, IncidentState
from mlcanary.handler.ledger import EVERYTHING, Checkpoint, Ledger
from mlcanary.handler.metrics import CONTENT_TYPE, UNMATCHED, HandlerMetrics
from mlcanary.handler.payload import Alert, Delivery, parse
from mlcanary.handler.policy import Reason
from mlcanary.handler.prometheus import Prometheus
from mlcanary.handler.settings import Settings, TargetPlan, require_safe_exposure
from mlcanary.handler.targets.registry import create
from mlcanary.handler.worker import TargetWorker
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.identity import Scope, requires
from mlcanary.webserver.server import ListenAddress, create_application, serving

log = logging.getLogger(__name__)

_AUDIT_ROWS = 50
_REASON_LIMIT = 200


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

    # --- life

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; an error of ours in a worker ends the process, loudly."""
        self._start_workers()
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                waiting = {stopped, changed, *self._tasks.values()}
                done, _ = await asyncio.wait(
                    waiting, timeout=self._options.prune_every, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()
                if not done:
                    self._prune()
                for task in done & set(self._tasks.values()):
                    if not task.cancelled() and task.exception() is not None:
                        log.critical("a bug in a worker ends the handler", extra={"target": task.get_name()})
                    task.result()
        finally:
            stopped.cancel()
            await self._stop_workers()
            self.ledger.close()

    def _prune(self) -> None:
        try:
            self.ledger.prune(self._options.clock())
        except StateError:
            log.exception("the ledger could not be pruned, it is tried again")

    def ready(self) -> str:
        """What is missing before the handler can be relied on; empty if nothing is."""
        waiting = [name for name, worker in self.workers.items() if not worker.ready]
        return f"taking up unfinished work of {', '.join(waiting)}" if waiting else ""

    async def reload(self) -> None:
        """Load the configuration again and start the workers anew. Raises ConfigError and changes nothing."""
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
        if settings.freeze_file != self.settings.freeze_file:
            raise ConfigError("freeze_file changes at a restart only")
        exposed = [a for a in self._options.listen if not ListenAddress.parse(a).loopback]
        require_safe_exposure(settings, exposed, self._authenticates())
        await self._stop_workers()
        self.settings = settings
        self._start_workers()
        log.info("configuration loaded again", extra={"digest": settings.digest})

    def _authenticates(self) -> bool:
        return self._web_config is not None and self._web_config.current().authenticates

    def _start_workers(self) -> None:
        options = self._options
        environment = Environment(
            ledger=self.ledger,
            prometheus=Prometheus(self.settings.prometheus),
            metrics=self.metrics,
            clock=options.clock,
            new_id=options.new_id,
            checkpoint=options.checkpoint,
            pace=options.pace,
        )
        for plan in self.settings.targets:
            self.metrics.introduce(plan)
            worker = TargetWorker(plan, create(plan.kind), environment)
            self.workers[plan.name] = worker
            self._tasks[plan.name] = asyncio.create_task(worker.run(), name=plan.name)
        for incident in self.ledger.open_incidents():
            if incident.target not in self.workers:
                self._give_up(incident)
        self._changed.set()

    def _give_up(self, incident: Incident) -> None:
        """End an incident of a target that is no longer configured, with what was under way there."""
        now, stuck, note = self._options.clock(), IncidentState.STUCK, "the target is no longer configured"
        unfinished = self.ledger.unfinished(incident.target)
        for action in unfinished:
            self.ledger.finish(action, ActionState.UNKNOWN, stuck, note=note, now=now)
        if not unfinished:
            self.ledger.close_incident(incident, stuck, note=note, now=now)
        self.metrics.add("rollbacks_total", incident.target, incident.model, stuck)
        log.error("incident of a target that is gone", extra={"incident": incident.id})

    async def _stop_workers(self) -> None:
        for worker in self.workers.values():
            worker.stop()
        tasks, self._tasks, self.workers = list(self._tasks.values()), {}, {}
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                log.error("worker ended with an error", exc_info=result)

    # --- the webhook

    async def receive(self, request: web.Request) -> web.Response:
        """`POST /v1/alerts`."""
        try:
            delivery = parse(await request.read())
            counts = self._store(delivery)
        except web.HTTPRequestEntityTooLarge:
            self.metrics.add("webhook_requests_total", "413")
            raise
        except InputError as error:
            self.metrics.add("webhook_requests_total", "400")
            log.warning("webhook refused", extra={"error": str(error)[:_REASON_LIMIT]})
            return web.json_response({"error": str(error)[:_REASON_LIMIT]}, status=400)
        except StateError as error:
            self.metrics.add("webhook_requests_total", "503")
            log.exception("webhook could not be stored")
            return web.json_response({"error": str(error)}, status=503)
        self.metrics.add("webhook_requests_total", "202")
        now = self._options.clock()
        self.metrics.set("webhook_last_received_timestamp_seconds", now)
        if delivery.watchdog:
            self.metrics.set("watchdog_last_received_timestamp_seconds", now)
        if delivery.truncated:
            log.error("alerts were left out by the sender: set max_alerts: 0 there")
        return web.json_response(counts, status=202)

    def _store(self, delivery: Delivery) -> dict[str, int]:
        wanted: list[tuple[Alert, str]] = []
        ignored = len(delivery.ignored)
        for alert in delivery.alerts:
            names = [plan.name for plan in self.settings.targets if _matches(plan, alert)]
            if not names:
                self.metrics.add("decisions_total", UNMATCHED, "suppress", Reason.UNKNOWN_TARGET)
            if not alert.firing:  # nothing is promoted on that
                for name in names:
                    self.metrics.add("decisions_total", name, "suppress", Reason.RESOLVED)
            ignored += not names or not alert.firing
            wanted += [(alert, name) for name in names if alert.firing]
        new = self.ledger.receive(wanted, self._options.clock()) if wanted else []
        for (_, name), is_new in zip(wanted, new, strict=True):
            if not is_new:
                self.metrics.add("decisions_total", name, "suppress", Reason.DUPLICATE)
            if (worker := self.workers.get(name)) is not None:
                worker.wake()
        return {"accepted": sum(new), "duplicate": len(new) - sum(new), "ignored": ignored}

    # --- operators and people

    async def freeze(self, request: web.Request) -> web.Response:
        """`POST /-/freeze`."""
        reason = request.query.get("reason", "")[:_REASON_LIMIT]
        return self._operate(
            request, lambda scope, now: self.ledger.freeze(scope, reason=reason, actor="http", now=now)
        )

    async def unfreeze(self, request: web.Request) -> web.Response:
        """`POST /-/unfreeze`."""
        return self._operate(request, lambda scope, now: self.ledger.unfreeze(scope, actor="http", now=now))

    def _operate(self, request: web.Request, change: Callable[[str, float], None]) -> web.Response:
        if not self._authenticates():
            hint = "set bearer_token_file or basic_auth_users in --web.config.file, or use freeze_file"
            return web.json_response({"error": f"needs credentials: {hint}"}, status=403)
        scope = request.query.get("target", EVERYTHING)
        if scope != EVERYTHING and scope not in self.workers:
            return web.json_response({"error": "no such target"}, status=404)
        try:
            change(scope, self._options.clock())
        except StateError as error:
            return web.json_response({"error": str(error)}, status=503)
        for worker in self.workers.values():
            worker.wake()
        return web.json_response({"frozen": {name: self.ledger.frozen(name) for name in self.workers}})

    async def answer_reload(self, _request: web.Request) -> web.Response:
        """`POST /-/reload`."""
        if not self._authenticates():
            return web.json_response({"error": "needs credentials; SIGHUP does the same"}, status=403)
        try:
            await self.reload()
        except ConfigError as error:
            log.error("configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
            return web.json_response({"error": str(error)}, status=500)
        return web.json_response({"digest": self.settings.digest})

    async def answer_metrics(self, _request: web.Request) -> web.Response:
        """`GET /metrics`."""
        return web.Response(body=self.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def answer_landing(self, _request: web.Request) -> web.Response:
        """`GET /`."""
        targets = [self._status(plan) for plan in self.settings.targets]
        rows = self.ledger.audit_rows(_AUDIT_ROWS)
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=landing.page(targets, rows), content_type="text/html", headers=headers)

    def _status(self, plan: TargetPlan) -> landing.TargetStatus:
        shares = ", ".join(f"{version} {self._share(plan, version)}" for version in plan.versions)
        incident = self.ledger.last_incident(plan.name)
        worker = self.workers.get(plan.name)
        progress = worker.progress.note if worker is not None and worker.progress is not None else ""
        about = f"{incident.bad} -> {incident.good}: {incident.state}" if incident else ""
        note = progress if incident and incident.open else incident.note if incident else ""
        frozen = self.ledger.frozen(plan.name)
        return landing.TargetStatus(plan.name, plan.model, plan.mode, frozen, shares, about, note)

    def _share(self, plan: TargetPlan, version: str) -> str:
        series = ("target_share_ratio", plan.name, plan.model, version)
        seen = self.metrics.value("target_up", plan.name) == 1.0 and self.metrics.known(*series)
        return f"{self.metrics.value(*series):.0%}" if seen else "unknown"


def _matches(plan: TargetPlan, alert: Alert) -> bool:
    """Whether a configured target answers for the alert: model, version and every configured label."""
    labels = dict(alert.labels)
    same = all(labels.get(name) == value for name, value in plan.labels)
    return same and alert.model == plan.model and alert.version in plan.versions


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the handler's routes, as listed in the module."""
    router = application.router
    router.add_post("/v1/alerts", requires(Scope.ALERT)(service.receive))
    router.add_post("/-/freeze", requires(Scope.OPERATE)(service.freeze))
    router.add_post("/-/unfreeze", requires(Scope.OPERATE)(service.unfreeze))
    router.add_route("POST", "/-/reload", requires(Scope.OPERATE)(service.answer_reload))
    router.add_route("PUT", "/-/reload", requires(Scope.OPERATE)(service.answer_reload))
    router.add_get("/metrics", requires(Scope.READ)(service.answer_metrics))
    router.add_get("/", requires(Scope.READ)(service.answer_landing))


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
    application = create_application(web_config=web_config, ready=service.ready)
    routes(application, service)
    async with serving(application, options.listen, web_config) as bound:
        listening(bound)
        await service.run(stop)


async def _reload(service: HandlerService) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await service.reload()
        except ConfigError as error:
            log.error("configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
