"""What a page costs: rendering 10,000 series against prometheus-client, a scrape of a page that is there, a publish.

Run as `python tests/bench/render.py`: one JSON object. Times are CPU milliseconds, medians of rounds in turn; values
differ in every round, so that nothing but the text of labels can be kept. `client` is prometheus-client's
`generate_latest` over a custom collector that hands it the same samples.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from memory import write_log, write_reference  # noqa: E402 - beside this file, not installed

from mlcanary.engine import Engine  # noqa: E402
from mlcanary.exposition.families import Family, families  # noqa: E402
from mlcanary.exposition.page import Page  # noqa: E402
from mlcanary.exposition.text import TextRenderer  # noqa: E402
from mlcanary.exposition.web import exporter_application  # noqa: E402
from mlcanary.measures.contract import sample  # noqa: E402
from mlcanary.settings import Flags, load_settings  # noqa: E402
from mlcanary.webserver.server import serving  # noqa: E402

ROUNDS = 15
SERIES = 10_000
SCRAPES = 200
RECORDS = 5_000


def cpu_milliseconds(what: Callable[[], object]) -> float:
    """CPU time of one call, without the collector of what others left."""
    gc.collect()
    start = time.process_time()
    what()
    return 1000 * (time.process_time() - start)


def values(round_number: int, divisor: float) -> Iterator[float]:
    """Half counts, half quotients, other ones each round; whole numbers all if the divisor is 1."""
    return (float(i * 7 + round_number) if i % 2 else (i + round_number) / divisor for i in range(SERIES))


NAMES = tuple((f"feature_{i // 40:03d}", str(i)) for i in range(SERIES))
"""Label values live as long as the reference profile that they come from."""


def page_of(round_number: int, divisor: float) -> list[Family]:
    """As many counters of bins as gauges of shares."""
    made = []
    for i, value in enumerate(values(round_number, divisor)):
        name = "feature_bin_total" if i % 2 else "feature_reference_ratio"
        labels = ("m", "v1", *NAMES[i]) if i % 2 else ("m", *NAMES[i])
        made.append(sample(name, labels, value))
    return families(made)


class Client(Collector):
    """The same samples for prometheus-client."""

    def __init__(self, divisor: float) -> None:
        self.round_number = 0
        self.divisor = divisor

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """One counter and one gauge, as a custom collector yields them."""
        counter = CounterMetricFamily("mlcanary_feature_bin", "x", labels=["model", "version", "feature", "bin"])
        gauge = GaugeMetricFamily("mlcanary_feature_reference_ratio", "x", labels=["model", "feature", "bin"])
        for i, value in enumerate(values(self.round_number, self.divisor)):
            if i % 2:
                counter.add_metric(["m", "v1", *NAMES[i]], value)
            else:
                gauge.add_metric(["m", *NAMES[i]], value)
        yield counter
        yield gauge


def rendering(divisor: float) -> dict[str, float]:
    """Both renderers in turn: ours makes both formats, the client one."""
    renderer, registry, client = TextRenderer(), CollectorRegistry(), Client(divisor)
    registry.register(client)
    ours, theirs = [], []
    for round_number in range(ROUNDS + 1):
        client.round_number = round_number
        found = page_of(round_number, divisor)
        one = cpu_milliseconds(partial(renderer.render, found))
        other = cpu_milliseconds(lambda: generate_latest(registry))
        if round_number:  # the first one warms up
            ours.append(one)
            theirs.append(other)
    return {
        "series": SERIES,
        "ours": round(median(ours), 2),
        "client": round(median(theirs), 1),
        "ratio": round(median(theirs) / median(ours), 1),
    }


def publishing(directory: Path) -> tuple[dict[str, float], Page]:
    """A page of 4 versions and 25 features, with traffic before each page and without any."""
    log, profile = directory / "log.jsonl", directory / "profile.json"
    now = time.time()
    write_log(log, RECORDS, now - RECORDS / 1000, 0)
    write_reference(log, profile)
    engine = Engine(load_settings(Flags(log_paths=(str(log),), reference=profile)), clock=lambda: now)
    taken: dict[str, list[float]] = {"busy": [], "idle": []}
    for kind, seconds in taken.items():
        for i in range(ROUNDS):
            if kind == "busy":
                write_log(log, 400, now, i + 1)
            while engine.read_some():
                pass
            now += 5.0
            seconds.append(cpu_milliseconds(engine.publish))
    page = engine.page
    engine.close()
    return {"series": page.series, **{kind: round(median(of[2:]), 1) for kind, of in taken.items()}}, page


async def scraping(page: Page) -> dict[str, float]:
    """Time from request to the last byte, both formats, client and server in one loop; a plain file is the floor."""

    async def nothing() -> None:
        return None

    application = exporter_application(lambda: page, ready=lambda: "", reload=nothing, web_config=None)
    found = {}
    async with (
        serving(application, ["127.0.0.1:0"], None) as addresses,
        aiohttp.ClientSession(f"http://{addresses[0]}", auto_decompress=False) as client,
    ):
        for name, path, encoding in (("nothing", "/-/healthy", "gzip"), ("packed", "/metrics", "gzip")):
            taken = []
            for _ in range(SCRAPES):
                start = time.perf_counter()
                async with client.get(path, headers={"Accept-Encoding": encoding}) as answer:
                    await answer.read()
                taken.append(1000 * (time.perf_counter() - start))
            found[name] = round(median(taken), 2)
    return found


def measured() -> dict[str, Any]:
    """Everything."""
    with tempfile.TemporaryDirectory() as name:
        publish, page = publishing(Path(name))
    packed = cpu_milliseconds(lambda: page.body(openmetrics=False, packed=True))
    return {
        "render_counts": rendering(1.0),
        "render_half_fractions": rendering(7.0),
        "publish": publish,
        "scrape": asyncio.run(scraping(page)),
        "pack_once_per_page": round(packed, 1),
        "page_megabytes": round(len(page.text) / 1e6, 2),
        "packed_megabytes": round(len(page.body(openmetrics=False, packed=True)) / 1e6, 2),
    }


if __name__ == "__main__":
    print(json.dumps(measured()))
