"""A small world for the handler's tests: a release with traffic, a query API that tells of it, a router.

`Release` counts predictions in the versions that the router really serves, as told by `route`. `QueryAPI`
answers the handler's instant queries about it over loopback HTTP, in place of a Prometheus (whose own answers
are held against the same queries by test_loop_with_prometheus.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

import own_ports
from loopback_server import loopback

MODEL, GOOD, BAD = "clicks", "v1", "v2"
TOKEN = "a-token-of-the-tests-only"
Route = Callable[[], Mapping[str, float]]
Vector = list[tuple[dict[str, str], float]]
free_port = own_ports.free_port


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; the one place where tests wait."""
    deadline = time.monotonic() + seconds
    while True:
        met = condition()
        if not isinstance(met, bool):
            met = await met
        if met:
            return
        assert time.monotonic() < deadline, f"not met within {seconds} s: {condition}"
        await asyncio.sleep(0.02)


@dataclass
class Release:
    """Two versions under traffic. `rate` predictions per second are split as `route` says."""

    route: Route
    rate: float = 2000.0
    firing: bool = True
    delta: float | None = -0.3
    zscore: float | None = -12.0
    age: float = 1.0
    sample_age: float = 0.1
    up: float | None = 1.0
    roles: list[tuple[str, str]] = field(default_factory=lambda: [(GOOD, "baseline"), (BAD, "canary")])
    baseline: float = 0.9
    past: float | None = 0.9
    verdict: float | None = 1.0
    verdict_age: float | None = 1.0
    judge_read: float | None = 20.0
    gates: list[str] = field(default_factory=list)
    families: dict[str, float] = field(default_factory=lambda: {"errors": -0.3, "quality": 9.0})
    measures: dict[str, float] = field(default_factory=lambda: {"accuracy": 1.0, "log_loss": 10.0})
    judged: bool = False
    servers: dict[str, float] = field(default_factory=lambda: {GOOD: 1.0, BAD: 1.0})
    alerts: list[dict[str, str]] = field(default_factory=list)
    active_at: float | None = None
    others: dict[str, float] = field(default_factory=dict)
    accuracy_after: float = 0.9
    accuracy_of_bad: float = 0.5
    counters: dict[str, float] = field(default_factory=lambda: {GOOD: 5000.0, BAD: 500.0})
    labeled: dict[tuple[str, str, str], float] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    seen: float = 0.0
    word: str | None = None
    may_expand: bool = True
    clock: Callable[[], float] = time.time

    def flow(self) -> dict[str, float]:
        """Let the traffic since the last call happen; gives the shares now."""
        now = self.clock()
        shares = dict(self.route())
        if self.seen:
            for version, share in shares.items():
                count = self.rate * share * (now - self.seen)
                self.counters[version] = self.counters.get(version, 0.0) + count
                if share > 0:
                    self.newest[version] = now
                self._label(version, count)
        self.seen = now
        for version in (GOOD, BAD):
            self.newest.setdefault(version, now)
        return shares

    def _label(self, version: str, count: float) -> None:
        right = count * (self.accuracy_after if version == GOOD else self.accuracy_of_bad)
        for predicted, part in (("1", right), ("0", count - right)):
            key = (version, "1", predicted)
            self.labeled[key] = self.labeled.get(key, 0.0) + part


class QueryAPI:
    """`/api/v1/query` over a release. `broken` answers 500, `queries` keeps what was asked."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.broken = False
        self.queries: list[str] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[QueryAPI]:
        """Answer for the length of the block."""
        async with loopback(web.get("/api/v1/query", self._answer)) as url:
            self.url = url
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        expression = request.query["query"]
        self.queries.append(expression)
        if self.broken:
            return web.json_response({"status": "error", "error": "broken"}, status=500)
        now = time.time()
        result = [{"metric": labels, "value": [now, str(value)]} for labels, value in self._evaluate(expression)]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    def _evaluate(self, text: str) -> Vector:
        if not text.startswith("ALERTS"):  # asked all the time, and the route may take its time
            self.release.flow()
        for pattern, answer in ANSWERS:
            if re.match(pattern, text):
                return answer(self.release)
        if not text.startswith(("model_version:", "sqrt(")):
            return []
        stderr = "_stderr" in text or text.startswith("sqrt(")
        told = _recorded(self.release.past if " offset " in text else self.release.baseline, stderr)
        return told + [({"version": version}, value) for version, value in self.release.others.items()]


def _recorded(value: float | None, stderr: bool) -> Vector:
    return [] if value is None else [({"version": GOOD}, 0.005 if stderr else value)]


def _one(value: float | None) -> Vector:
    return [] if value is None else [({}, value)]


def _serving(release: Release) -> Vector:
    return [({"version": version}, release.rate * share) for version, share in release.route().items()]


def _by(label: str, values: Mapping[str, float]) -> Vector:
    return [({label: name}, value) for name, value in values.items()]


def _labeled(release: Release) -> Vector:
    return [({"version": v, "actual": a, "predicted": p}, n) for (v, a, p), n in release.labeled.items()]


def _judged(release: Release, value: float) -> Vector:
    return [] if release.word is None else [({}, value)]


ANSWERS: tuple[tuple[str, Callable[[Release], Vector]], ...] = (
    (r"max by \(cluster, namespace, verdict\)", lambda r: [] if r.word is None else [({"verdict": r.word}, 1.0)]),
    (r"min by \(cluster, namespace\) \(mlcanary_judge_may_expand", lambda r: _judged(r, float(r.may_expand))),
    (r"max by \(cluster, namespace\) \(mlcanary_judge_trials", lambda r: _judged(r, r.counters.get(BAD, 0.0))),
    (r"min by \(cluster, namespace\) \(mlcanary_judge_judged", lambda r: _judged(r, r.clock())),
    (r"count by \(measure\) \(ALERTS", lambda r: [({"measure": "verdict"}, 1.0)] if r.firing else []),
    (r"model_version:mlcanary_judge:active", lambda r: _one(1.0 if r.judged else None)),
    (r"max by \(cluster, namespace\) \(mlcanary_judge_verdict", lambda r: _one(r.verdict)),
    (r"max\(time\(\) - timestamp\(mlcanary_judge_verdict", lambda r: _one(r.verdict_age)),
    (r"min\(time\(\) - mlcanary_judge_read", lambda r: _one(r.judge_read)),
    (r"max by \(gate\)", lambda r: _by("gate", dict.fromkeys(r.gates, 1.0))),
    (r"max by \(family\) \(mlcanary_judge_family_log_evalue\{", lambda r: _by("family", r.families)),
    (r"max by \(family\)", lambda r: _by("family", dict.fromkeys(r.families, 6.2))),
    (r"max by \(measure\)", lambda r: _by("measure", r.measures)),
    (r"count\(ALERTS", lambda r: _one(1.0 if r.firing else None)),
    (r"group by \(version, role\)", lambda r: [({"version": v, "role": o}, 1.0) for v, o in r.roles]),
    (r"min\(0 \* \(min_over_time\(mlcanary_log_lag_bytes", lambda r: _one(r.up)),
    (r"sum by \(version\) \(rate\(", _serving),
    (r"sum by \(version\) \(group by", lambda r: _by("version", r.servers)),
    (r"ALERTS\{", lambda r: [(labels, 1.0) for labels in r.alerts]),
    (r"ALERTS_FOR_STATE\{", lambda r: [(labels, r.active_at) for labels in r.alerts if r.active_at is not None]),
    (r".*timestamp\(mlcanary_predictions_total", lambda r: _one(r.sample_age)),
    (r".*timestamp\(", lambda r: _one(r.age if r.delta is not None else None)),
    (r"model_version:\w+:\w+_delta", lambda r: _one(r.delta)),
    (r"model_version:\w+:\w+_zscore", lambda r: _one(r.zscore)),
    (r"mlcanary_predictions_total", lambda r: [({"version": v}, n) for v, n in r.counters.items()]),
    (r"max\(mlcanary_last_prediction", lambda r: _one(r.newest[BAD])),
    (r"mlcanary_labeled_predictions_total", _labeled),
)


@dataclass(frozen=True)
class Process:
    """A child in its own process group."""

    popen: subprocess.Popen[bytes]

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal the group and reap the child."""
        if self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
        self.popen.wait(10)


@contextlib.contextmanager
def running(argv: list[str], **options: object) -> Iterator[Process]:
    """A process for the length of the block."""
    popen = subprocess.Popen(argv, start_new_session=True, **options)  # type: ignore[call-overload]
    process = Process(popen)
    try:
        yield process
    finally:
        process.end(signal.SIGKILL)


class HAProxy:
    """A real HAProxy with two servers that need not exist, and its runtime socket."""

    def __init__(self, directory: Path, *, balance: str = "roundrobin") -> None:
        self.directory = directory
        self.socket = str(directory / "haproxy.sock")
        self.config = directory / "haproxy.cfg"
        self.config.write_text(
            "global\n"
            f"  stats socket {self.socket} level admin\n"
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n"
            f"frontend in\n  bind 127.0.0.1:{free_port()}\n  default_backend models\n"
            f"backend models\n  balance {balance}\n"
            "  server stable 127.0.0.1:1 weight 90\n  server canary 127.0.0.1:2 weight 10\n"
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[HAProxy]:
        """The process for the length of the block."""
        with running(["haproxy", "-db", "-f", str(self.config)], stderr=subprocess.DEVNULL):
            deadline = time.monotonic() + 5
            while not self._answers():
                assert time.monotonic() < deadline
            yield self

    def _answers(self) -> bool:
        try:
            return bool(self.ask("show info"))
        except OSError:
            return False

    def ask(self, line: str) -> str:
        """An answer of the runtime API."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(self.socket)
            client.sendall(f"{line}\n".encode())
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        return answer.decode()

    def weights(self) -> dict[str, int]:
        """Weights by version."""
        servers = {GOOD: "stable", BAD: "canary"}
        return {v: int(self.ask(f"get weight models/{s}").split()[0]) for v, s in servers.items()}

    def shares(self) -> dict[str, float]:
        """Weights as shares."""
        weights = self.weights()
        return {version: weight / sum(weights.values()) for version, weight in weights.items()}

    def section(self) -> str:
        """The target's section in the handler's configuration."""
        return f"{{type: haproxy, socket: {self.socket}, backend: models, servers: {{v1: stable, v2: canary}}}}"


class Link:
    """A symbolic link that names the serving version."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "current"
        self.path.symlink_to("models/v2")

    def active(self) -> str:
        """The version that the link points to."""
        return os.readlink(self.path).removeprefix("models/")

    def shares(self) -> dict[str, float]:
        """All traffic to the active version, but for a trickle that keeps the other one known."""
        return {v: 0.99 if v == self.active() else 0.01 * (v == GOOD) for v in (GOOD, BAD)}

    def section(self) -> str:
        """The target's section in the handler's configuration."""
        return f"{{type: file, path: {self.path}, values: {{v1: models/v1, v2: models/v2}}}}"


def configuration(prometheus: str, target: str, *, mode: str = "react", extra: str = "") -> str:
    """A handler configuration with short intervals."""
    return (
        f"prometheus: {{url: '{prometheus}', timeout: 2s}}\n"
        "defaults:\n"
        f"  mode: {mode}\n"
        "  reconcile: 200ms\n"
        "  verification: {window: 200ms, min_predictions: 50, deadline: 40s, tolerance: 2s, min_labels: 50}\n"
        "  evidence: {recheck: 200ms, deadline: 30s}\n"
        f"targets:\n- name: router\n  model: {MODEL}\n  target: {target}\n{extra}"
    )


def alert(**changes: str) -> dict[str, object]:
    """One firing alert as Alertmanager writes it; labels can be changed."""
    labels = {
        "alertname": "MLCanaryAccuracyBelowBaseline",
        "action": "rollback",
        "measure": "accuracy",
        "window": "5m",
        "severity": "critical",
        "model": MODEL,
        "version": BAD,
    }
    own = {key: changes.pop(key) for key in ("status", "fingerprint", "startsAt") if key in changes}
    return {
        "status": own.get("status", "firing"),
        "labels": {**labels, **changes},
        "annotations": {"summary": "x"},
        "startsAt": own.get("startsAt", "2026-01-02T03:04:05.678901234Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": own.get("fingerprint", "c0ffee0123456789"),
    }


def payload(*alerts: dict[str, object], **changes: object) -> bytes:
    """A webhook body of version 4."""
    body: dict[str, object] = {
        "version": "4",
        "groupKey": '{}/{action="rollback"}:{model="clicks"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "handler",
        "groupLabels": {"model": MODEL},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "notification_reason": "a field of newer versions",
        "alerts": list(alerts or (alert(),)),
        **changes,
    }
    return msgspec.json.encode(body)
