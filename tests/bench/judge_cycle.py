"""What one cycle of the judge costs: 100 models with 12 measures and 30 features of 22 bins, read over HTTP.

A process of its own answers as Prometheus does, from seeded traffic; the reader, the counters, the judge and its state
file are the real ones. The process that is measured stays on one core. Prints JSON: CPU seconds by part of the steady
cycles, wall seconds, resident memory.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs

import msgspec
import numpy as np
import requests

from mlcanary.catalog import LATENCY_BUCKETS
from mlcanary.judge.canary import Canary
from mlcanary.judge.cycle import Judge
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.counters import Counters
from mlcanary.judge.intake.prometheus import PrometheusReader
from mlcanary.judge.publish import metrics
from mlcanary.judge.settings import parse_settings
from mlcanary.judge.store import Store

MODELS, FEATURES, BINS, SCORES = 100, 30, 22, 50
RATE, SHARE, INTERVAL = 50.0, 0.2, 30.0
HISTORY = 200.0
"""Intervals that the baseline has counted before the canary comes."""
CYCLES = 20
"""Steady cycles; each canary makes one snapshot in them."""
EPOCH = 1_700_000_010.0

_CLASSES = ("0", "1")
_SHIFTS = np.linspace(-0.8, 0.8, SCORES)
_POSITIVE, _NEGATIVE = np.exp(_SHIFTS) / np.exp(_SHIFTS).sum(), np.exp(-_SHIFTS) / np.exp(-_SHIFTS).sum()
_SLOW = 0.7 ** np.arange(len(LATENCY_BUCKETS) + 1)


class Traffic:
    """Counters of one version of one model, cumulative, in the order of `names`."""

    def __init__(self, seed: int, model: str, version: str, per_interval: float) -> None:
        self._random = np.random.default_rng([seed, version == "v2"])
        self._n = per_interval
        self._values = np.zeros(len(NAMES))
        place = {"instance": f"{model}-{version}:10877", "job": "mlcanary", "model": model, "version": version}
        self._heads = [json.dumps({"__name__": name, **place, **own}, separators=(",", ":")) for name, own in NAMES]

    def advance(self, intervals: float) -> None:
        """Count on."""
        self._values += counted(self._random, int(self._random.poisson(self._n * intervals)))

    def series(self, at: float) -> list[str]:
        """The result of an instant query, piece by piece."""
        stamp = f'"value":[{at:.0f},"'
        return [
            f'{{"metric":{head},{stamp}{value:.15g}"]}}'
            for head, value in zip(self._heads, self._values.tolist(), strict=True)
        ]


def names() -> list[tuple[str, dict[str, str]]]:
    """Every counter of a version with its own labels, in the order of `counted`."""
    found: list[tuple[str, dict[str, str]]] = [(read.PREDICTIONS, {"predicted": p}) for p in (*_CLASSES, "none")]
    found += [(read.LATENCY, {"le": le}) for le in (*map(repr, LATENCY_BUCKETS), "+Inf")]
    found += [(read.CONFUSION, {"actual": a, "predicted": p}) for a in _CLASSES for p in _CLASSES]
    found += [(f"mlcanary_log_loss{part}", {}) for part in ("_count", "_sum", "_squares_total")]
    found += [
        (read.SCORES, {"actual": a, "bin": f"{i / SCORES:g}"}) for a in ("positive", "negative") for i in range(SCORES)
    ]
    found += [(read.MATURE, {}), (read.MATURE_EVENTS, {"event": "click"}), (read.MATURE_EVENTS, {"event": "buy"})]
    found += [(read.MATURE_BOTH, {}), (read.MATURE_VALUE, {"event": "buy", "sign": "positive"})]
    found += [(read.MATURE_SQUARES, {"event": "buy"})]
    found += [(read.JOINS, {"result": result}) for result in ("matched", "expired")]
    for i in range(FEATURES):
        found += [(read.BINS, {"feature": f"f{i}", "bin": f"{b / BINS:.3f}"}) for b in range(BINS)]
        found.append((read.FEATURE_MISSING, {"feature": f"f{i}"}))
    return found


NAMES = names()


def counted(random: np.random.Generator, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """What a version counts for n requests."""
    failed = random.binomial(n, 0.01)
    answered = n - failed
    labelled = random.binomial(answered, 0.95)
    positive = random.binomial(labelled, 0.2)
    cells = random.multinomial(labelled, (0.7, 0.1, 0.08, 0.12))
    clicks = random.binomial(answered, 0.1)
    bought = random.binomial(clicks, 0.2)
    losses, orders = random.exponential(0.4, labelled), random.lognormal(3.0, 0.8, bought)
    half = random.binomial(answered, 0.3)
    fast = random.multinomial(n, _SLOW[::-1] / _SLOW.sum())
    missing = random.binomial(answered, 0.01, FEATURES)
    bins = random.multinomial(answered - missing, np.full(BINS, 1.0 / BINS))
    parts = [(answered - half, half, failed), fast.cumsum(), cells, (labelled, losses.sum(), (losses**2).sum())]
    parts += [random.multinomial(positive, _POSITIVE), random.multinomial(labelled - positive, _NEGATIVE)]
    parts += [(answered, clicks, bought, bought, orders.sum(), (orders**2).sum()), (labelled, answered - labelled)]
    parts.append(np.concatenate([bins, missing[:, None]], axis=1).ravel())
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])


class World:
    """All models. `clock`: Prometheus time, set by whoever asks `/clock?t=`."""

    def __init__(self) -> None:
        self.clock = EPOCH
        self._at = EPOCH
        self.models = [f"model-{i:03}" for i in range(MODELS)]
        per = RATE * INTERVAL
        self._arms = {
            (model, version): Traffic(i, model, version, per * share)
            for i, model in enumerate(self.models)
            for version, share in (("v1", 1.0 - SHARE), ("v2", SHARE))
        }
        for model in self.models:
            self._arms[model, "v1"].advance(HISTORY)

    def answer(self, query: str, at: float) -> str:
        """The JSON of a query."""
        if query == "time()":
            return f'{{"status":"success","data":{{"resultType":"scalar","result":[{self.clock},"{self.clock}"]}}}}'
        while self._at < at:
            self._at += INTERVAL
            for traffic in self._arms.values():
                traffic.advance(1.0)
        found: list[str] = []
        named = re.search(r'model=~"([^"]*)"', query)
        asked = named.group(1).replace("\\\\", "").split("|") if named else self.models
        if read.INFO in query:
            for model in self.models:
                for version, role in (("v1", "baseline"), ("v2", "canary")):
                    place = {"instance": f"{model}-{version}:10877", "job": "mlcanary"}
                    info = {"model": model, "version": version, "role": role, "task": "binary"}
                    found += [one(at, read.INFO, 1, **place, **info), one(at, read.UP, 1, **place, source="log")]
        elif query.startswith("max by"):
            found = [each for model in asked for each in profile(at, model, query)]
        else:
            for model in asked:
                found += self._arms[model, "v1"].series(at) + self._arms[model, "v2"].series(at) + facts(at, model)
        return f'{{"status":"success","data":{{"resultType":"vector","result":[{",".join(found)}]}}}}'


def one(at: float, name: str, value: float, **labels: str) -> str:
    """A series of an instant vector."""
    return json.dumps({"metric": {"__name__": name, **labels}, "value": [at, f"{value:.15g}"]}, separators=(",", ":"))


def facts(at: float, model: str) -> list[str]:
    """What exporters say beside what they count."""
    found = []
    for version in ("v1", "v2"):
        place = {"instance": f"{model}-{version}:10877", "job": "mlcanary", "model": model}
        found.append(one(at, read.EDGES, 1, **place, edges="ab12"))
        found.append(one(at, read.MATURITY, 60, **place))
        found += [
            one(at, read.EVENT, 1, **place, event=e, meaning=m) for e, m in (("click", "click"), ("buy", "conversion"))
        ]
        found += [one(at, read.SHARE, s, **place, version=v) for v, s in (("v1", 1 - SHARE), ("v2", SHARE))]
    return found


def profile(at: float, model: str, query: str) -> list[str]:
    """The reference profile of a model."""
    names = [f"f{i}" for i in range(FEATURES)]
    if read.ROWS in query:
        return [one(at, "", 10_000, model=model, feature=name) for name in names]
    if read.MISSING in query:
        return [one(at, "", 0.01, model=model, feature=name) for name in names]
    return [
        one(at, "", 1 / BINS, model=model, feature=name, bin=f"{b / BINS:.3f}") for name in names for b in range(BINS)
    ]


def serve(port: Any) -> None:
    """Answer until killed."""
    world = World()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if self.path == "/clock":
                world.clock = float(form["t"][0])
                body = b"{}"
            else:
                body = world.answer(form["query"][0], float(form.get("time", ["0"])[0])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()


class Clock:
    """CPU seconds of this process by part; those of an inner part are not counted to the outer one."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.parts[self._open[-1]] = self.parts.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Count what a function or method costs."""
        inner: Callable[..., Any] = getattr(owner, name)

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._turn()
            self._open.append(part)
            try:
                return inner(*args, **kwargs)
            finally:
                self._turn()
                self._open.pop()

        setattr(owner, name, timed)

    def take(self) -> dict[str, float]:
        """What the parts took since the last call."""
        found, self.parts = self.parts, {}
        return found


PARTS = (
    (Judge, "run_once", "rest of the cycle"),
    (PrometheusReader, "read", "read and decode"),
    (Counters, "take", "counters"),
    (Canary, "advance", "judge"),
    (Canary, "assess", "assess"),
    (Canary, "state", "snapshots"),
    (Counters, "state", "save"),
    (Store, "commit", "save"),
    (Judge, "_record", "records"),
    (metrics, "render", "page"),
)


def measure(cycles: int) -> dict[str, Any]:
    """Steady cycles after the first two."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    url = f"http://127.0.0.1:{ours.recv()}"
    settings = parse_settings("interval: 30s\nsettle: 0s\ndefaults: {warm_up: 0s}", "bench", url)
    clock = Clock()
    for owner, name, part in PARTS:
        clock.watch(owner, name, part)
    taken: list[dict[str, float]] = []
    walls: list[float] = []
    reader = PrometheusReader(url)
    with tempfile.TemporaryDirectory() as directory:
        judge = Judge(reader, Store(Path(directory) / "judge.sqlite"), settings, "bench", time.perf_counter)
        for i in range(cycles + 2):
            requests.post(f"{url}/clock", data={"t": repr(EPOCH + INTERVAL * i)}, timeout=60).close()
            began = time.perf_counter()
            view = judge.run_once()
            walls.append(time.perf_counter() - began)
            metrics.render(view)
            taken.append(clock.take())
            assert not view.problem, view.problem
            assert len(view.canaries) == MODELS
            print(i, f"{sum(taken[-1].values()):.2f}", file=sys.stderr, flush=True)
        judge.close()
        found = summary(taken, walls, view)
        decoding = decode_alone(url, view.read_at or 0.0)
    server.terminate()
    return {**found, "decoding": decoding}


def decode_alone(url: str, at: float) -> float:
    """CPU seconds of untyped JSON decoding of all counters: what any reader takes at least."""
    query = {"query": "{}", "time": repr(at)}
    body = requests.post(f"{url}/api/v1/query", data=query, timeout=60).content
    began = time.process_time()
    msgspec.json.decode(body)
    return time.process_time() - began


def summary(taken: list[dict[str, float]], walls: list[float], view: Any) -> dict[str, Any]:
    """Figures of the steady cycles."""
    steady = taken[2:]
    totals = [sum(parts.values()) for parts in steady]
    named = sorted({part for parts in steady for part in parts})
    found = next(iter(view.canaries.values())).assessment
    return {
        "first": sum(taken[0].values()) + sum(taken[1].values()),
        "median": median(totals),
        "largest": max(totals),
        "wall": median(walls[2:]),
        "parts": {part: sum(parts.get(part, 0.0) for parts in steady) / len(steady) for part in named},
        "models": MODELS,
        "series": view.series,
        "measures": len(found.measures),
        "features": len(found.features),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES)))
