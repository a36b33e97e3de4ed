"""Releases as a real Prometheus sees them: pages of two sidecars over HTTP, which count faster than time passes.

Each scrape of a page moves its counters on by one step, which stands for `Release.interval` seconds of traffic. Names
and labels are the exporter's: its own renderer writes the page from rows of the catalogue.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from judge_arms import FEATURE_EDGES, LATENCY, SCORE_EDGES, Release
from mlcanary.catalog import JOIN_RESULTS, NEGATIVE, NO_PREDICTION, OTHER, POSITIVE, Role, Task
from mlcanary.exposition.families import families
from mlcanary.exposition.text import TEXT_TYPE, TextRenderer
from mlcanary.judge.contract import FEATURE, Step
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Floats

BASELINE, CANARY = "v1", "v2"
VERSIONS = (BASELINE, CANARY)
ROLES = {BASELINE: Role.BASELINE, CANARY: Role.CANARY}
MATURITY = 600.0
"""Seconds of traffic after which a prediction counts with its label."""

FOR_EVER = 86400.0 * 365

Totals = dict[str, Floats]


def labels_of(edges: Floats) -> tuple[str, ...]:
    """Bins by their upper edge."""
    return (*(f"{edge:g}" for edge in edges), "+Inf")


class LiveRelease:
    """Counters of both versions of a model after any number of steps; the pages of the versions go on by themselves.

    `first`: the step with which the canary begins. `rows`: requests of the canary after each step drawn so far.
    """

    def __init__(self, model: str, release: Release, first: int = 2) -> None:
        self.model, self.release, self.first = model, release, first
        self.rows = [0.0]
        self._drawn = release.steps(FOR_EVER)
        self._waiting: dict[str, deque[Step]] = {version: deque() for version in VERSIONS}
        self._totals: dict[str, Totals] = {}

    def advance(self, version: str) -> None:
        """Count one more step of a version."""
        if not self._waiting[version]:
            step = next(self._drawn)
            if not self._totals:
                history = {name: np.array(structure.history) for name, structure in step.born.items()}
                self._totals[BASELINE] = history
                self._totals[CANARY] = {name: np.zeros_like(counts) for name, counts in history.items()}
            self.rows.append(self.rows[-1] + sum(step.canary.get("requests", ())))
            for waiting in self._waiting.values():
                waiting.append(step)
        step, totals = self._waiting[version].popleft(), self._totals[version]
        for name, counts in (step.canary if version == CANARY else step.baseline).items():
            totals[name] = totals[name] + counts

    def samples(self, version: str, steps: int) -> Iterator[Sample]:
        """What the sidecar of a version shows after so many steps."""
        if version == CANARY and steps < self.first:
            return
        model = self.model
        yield Sample("mlcanary_model_info", "", (model, version, ROLES[version], Task.BINARY), 1.0)
        yield Sample("mlcanary_bin_edges_info", "", (model, "082f587ee3d1"), 1.0)
        yield Sample("mlcanary_label_maturity_seconds", "", (model,), MATURITY)
        for event, meaning in (("click", "click"), ("purchase", "conversion")):
            yield Sample("mlcanary_business_event_info", "", (model, event, meaning), 1.0)
        yield from counters(model, version, self._totals[version])


def counters(model: str, version: str, totals: Totals) -> Iterator[Sample]:
    """Counts in the layout of `contract.Counts` as series; predictions without a label count as predicted 0."""
    at = (model, version)
    (answered, failed), called = totals["requests"], totals["confusion"][1] + totals["confusion"][5]
    for predicted, value in ((NO_PREDICTION, failed), ("1", called), ("0", answered - called)):
        yield Sample("mlcanary_predictions_total", "", (*at, predicted), float(value))
    yield Sample("mlcanary_feature_rows_total", "", at, float(answered))
    for le, value in zip(labels_of(LATENCY), totals["latency"].cumsum().tolist(), strict=True):
        yield Sample("mlcanary_prediction_latency_seconds", "_bucket", (*at, le), value)
    for i, actual in enumerate("01"):
        for j, predicted in enumerate("01"):
            value = float(totals["confusion"][4 * i + j])
            yield Sample("mlcanary_labeled_predictions_total", "", (*at, actual, predicted), value)
    count, total, squares = totals["log_loss"].tolist()
    yield Sample("mlcanary_log_loss", "_count", at, count)
    yield Sample("mlcanary_log_loss", "_sum", at, total)
    yield Sample("mlcanary_log_loss_squares_total", "", at, squares)
    bins = labels_of(SCORE_EDGES)
    for k, (actual, label) in enumerate((actual, label) for actual in (POSITIVE, NEGATIVE) for label in bins):
        yield Sample("mlcanary_labeled_score_bin_total", "", (*at, actual, label), float(totals["scores"][k]))
    decided, labelled = totals["coverage"].tolist()
    joined = {"matched": labelled, "expired": decided - labelled}
    for result in JOIN_RESULTS:
        yield Sample("mlcanary_label_joins_total", "", (*at, result), joined.get(result, 0.0))
    yield from _business(at, totals["mature"])
    for name, counts in totals.items():
        if name.startswith(FEATURE):
            yield from _feature(at, name.removeprefix(FEATURE), counts)


def _business(at: tuple[str, str], counts: Floats) -> Iterator[Sample]:
    predictions, clicks, conversions, clicked, value, squares = counts.tolist()
    yield Sample("mlcanary_mature_predictions_total", "", at, predictions)
    yield Sample("mlcanary_mature_events_total", "", (*at, "click"), clicks)
    yield Sample("mlcanary_mature_events_total", "", (*at, "purchase"), conversions)
    yield Sample("mlcanary_mature_clicked_conversions_total", "", at, clicked)
    yield Sample("mlcanary_mature_value_total", "", (*at, "purchase", POSITIVE), value)
    yield Sample("mlcanary_mature_value_total", "", (*at, "purchase", NEGATIVE), 0.0)
    yield Sample("mlcanary_mature_value_squares_total", "", (*at, "purchase"), squares)


def _feature(at: tuple[str, str], feature: str, counts: Floats) -> Iterator[Sample]:
    bins = ("red", "green", "blue", OTHER) if feature == "colour" else labels_of(FEATURE_EDGES)
    *values, missing = counts.tolist()
    for label, value in zip(bins, values, strict=True):
        yield Sample("mlcanary_feature_bin_total", "", (*at, feature, label), value)
    yield Sample("mlcanary_feature_missing_total", "", (*at, feature), missing)


class Sidecars:
    """The pages of both versions of many releases. `limit`: the steps after which nothing changes any more.

    A page is made right after the one before it was sent, so that a scrape is short.
    """

    def __init__(self, releases: Sequence[LiveRelease], limit: int) -> None:
        self._releases = {release.model: release for release in releases}
        self.limit = limit
        self.steps = dict.fromkeys(VERSIONS, 0)
        self.ended_at: dict[str, float] = {}
        """When a page first showed the last step, Unix seconds."""
        self._lock = threading.Lock()
        self._renderers = {version: TextRenderer() for version in VERSIONS}
        self._pages = {version: self._made(version) for version in VERSIONS}

    def retire(self, model: str) -> None:
        """End a release: its traffic goes elsewhere, and no page shows it any more."""
        with self._lock:
            self._releases.pop(model, None)

    def fetched(self, version: str) -> bytes:
        """The page of a version now."""
        with self._lock:
            if self.steps[version] == self.limit:
                self.ended_at.setdefault(version, time.time())
            return self._pages[version]

    def go_on(self, version: str) -> None:
        """Count the next step and make its page."""
        with self._lock:
            if self.steps[version] < self.limit:
                self._pages[version] = self._made(version)

    def _made(self, version: str) -> bytes:
        self.steps[version] += 1
        found = [Sample("mlcanary_up", "", ("log",), 1.0)]
        for release in self._releases.values():
            release.advance(version)
            found += release.samples(version, self.steps[version])
        return self._renderers[version].render(families(found))[0]


@contextmanager
def serving(sidecars: Sidecars) -> Iterator[int]:
    """Serve the pages at /v1 and /v2; gives the port of loopback."""

    class Page(BaseHTTPRequestHandler):
        """Answers every GET; what it has answered with is over."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """The page of a version, then the making of the next one."""
            version = self.path.removeprefix("/")
            body = sidecars.fetched(version)
            self.send_response(200)
            self.send_header("Content-Type", TEXT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # a scrape that ran out of time gets this page again
                self.wfile.write(body)
                sidecars.go_on(version)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True  # Prometheus keeps its connections
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
