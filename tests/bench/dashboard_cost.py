"""How long the panels of the dashboards take on a Prometheus that watches a fleet, and which of them stay empty.

Run as `python tests/bench/dashboard_cost.py [--models 300]`: lines of Markdown. A fleet of 2 versions and 30 features a
model is written (see `fleet.py`), and what a judge and a handler say of every model; a Prometheus with the shipped
rules records. Then, while no rule is evaluated, every query of every panel is asked at the 240 points that Grafana asks
for whatever the time range: for one model and all its versions where the dashboard chooses a model, else for all
models. Three times, of which the median counts; the goal is a second for the slowest. Panels that show nothing are
named with what they say instead. `--url` asks a Prometheus that runs, as that of a kept demo, in place of a fleet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "dashboards")]

from draw import BOARDS, CHOICE, POINTS, View, answers  # noqa: E402 - beside this file, not installed
from rule_cost import measured_groups  # noqa: E402

from fleet import BASELINE, PLACE, SHARES, Fleet, Grown, page, sidecar_series, write_blocks  # noqa: E402
from prometheus_tools import RULES, prometheus  # noqa: E402
from promtool_cases import series_name  # noqa: E402
from release_history import STEP, scrapes  # noqa: E402
from remote_write import Body  # noqa: E402

ROUNDS, GOAL, SHOWN = 3, 1.0, 10
WRITING_SECONDS = 2.2
"""How long the history of a model may take to be written: it ends so much later."""
RECORDED, LOOKED_AT = 480.0, 60.0
"""Seconds that the rules record after the end of the history, and the last of them, which are looked at."""
HURRIED = "120s"
"""How often every group is evaluated, so that those which read each other have all had their turn by then."""
LOOKBACK = "--query.lookback-delta=15m"
"""Keeps in sight what does not grow; counters that somebody reads over minutes go on."""
BATCH = 4000
"""Series of one request: Prometheus refuses what is larger than 32 MB."""


@dataclass(frozen=True)
class Answer:
    """What one query of a panel took, and how many series it gave."""

    board: str
    query: str
    seconds: float
    series: int
    empty: str


def names_read() -> set[str]:
    """All names in the rules and the dashboards."""
    texts = [path.read_text() for path in (*RULES.glob("*.yml"), *BOARDS.glob("*.json"))]
    return {name for text in texts for name in re.findall(r"mlcanary_[a-z0-9_]+", text)}


def said_beside(fleet: Fleet, end: float) -> Iterator[Grown]:
    """Series that the pages of a fleet lack, for each of its models: of judge, handler, processes and other tasks."""
    lacking = {*fleet.names} - {line.name for line in page(fleet.fault(0), fleet.features, fleet.bins)} | {"up"}
    known: set[str] = set()
    for i, ((name, pairs), values) in product(range(fleet.models), scrapes().series.items()):
        labels = {**dict(pairs), **PLACE}
        own = labels.get("job") == "mlcanary-exporter"
        if name not in lacking or (own and name == "up"):
            continue
        if "model" in labels:
            labels["model"] = fleet.model(i)
        if own:
            labels["instance"] = f"{fleet.model(i)}-{labels.get('version', BASELINE)}-0:10877"
        if (series := series_name(name, labels)) in known:  # what a judge says of itself is said once
            continue
        known.add(series)
        last, growth = float(values[-1]), float(values[-1] - values[-2]) / STEP * fleet.step
        if name.endswith("_timestamp_seconds"):
            last, growth = end - 30.0, 0.0
        yield Grown(name, labels, last, max(growth, 0.0))


def go_on(url: str, fleet: Fleet, end: float) -> None:
    """Write further scrapes of the counters whose rate over minutes panels or rules ask for."""
    texts = "".join(path.read_text() for path in (*RULES.glob("*.yml"), *BOARDS.glob("*.json")))
    names = set(re.findall(r"(mlcanary_\w+)(?:\{[^}]*\})?\[(?:\$__rate_interval|5m)\]", texts))
    done = round(fleet.history / fleet.step) + 1
    every = (sidecar_series(fleet, i, version, 0, end) for i, version in product(range(fleet.models), SHARES))
    grows = (one for one in chain(chain.from_iterable(every), said_beside(fleet, end)) if one.name in names)
    while series := [*islice(grows, BATCH)]:
        body = Body([{**one.labels, "__name__": one.name} for one in series])
        for k in range(1, round(RECORDED / fleet.step) + 1):
            body.send(url, np.array([float(one.at(done + k)) for one in series]), end + k * fleet.step)


def asked(url: str, span: tuple[float, float], choice: Mapping[str, str]) -> Iterator[Answer]:
    """Every query of every panel; `choice`: of the variables, where it is not what the dashboards begin with."""
    view = View(url, {**CHOICE, **choice}, *span)
    for path in sorted(BOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                taken, series = [], 0
                for _ in range(ROUNDS):
                    begun = time.perf_counter()
                    with contextlib.suppress(AssertionError):  # no answer: what it took until then is long enough
                        series = len(answers(view, target))
                    taken.append(time.perf_counter() - begun)
                print(f"{path.stem} / {panel['title']}: {median(taken):.3f} s", file=sys.stderr, flush=True)
                empty = panel["fieldConfig"]["defaults"].get("noValue", "the column stays empty")
                query = f"{panel['title']} ({target['refId']})"
                yield Answer(path.stem, query, median(taken), series, empty)


def report(whose: str, found: list[Answer]) -> Iterator[str]:
    """Markdown."""
    ranked = sorted(found, key=lambda answer: -answer.seconds)
    yield f"{len(found)} queries at {POINTS} points, {whose}; goal: the slowest under {GOAL:g} s."
    yield ""
    yield "| dashboard | panel (query) | seconds | series |"
    yield "| --- | --- | --- | --- |"
    for answer in ranked[:SHOWN]:
        yield f"| {answer.board} | {answer.query} | {answer.seconds:.3f} | {answer.series} |"
    yield ""
    yield f"Median {median(answer.seconds for answer in found):.3f} s. Empty, and what the panel says:"
    yield ""
    for board, query, empty in sorted({(a.board, a.query, a.empty) for a in found if not a.series}):
        yield f"- {board} / {query}: {empty}"


def of_fleet(models: int) -> list[Answer]:
    """Every query on a Prometheus with a fleet of its own."""
    fleet = Fleet(models=models, sidecars=1, history=600.0, step=60.0, names=names_read())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("writing the history ...", file=sys.stderr, flush=True)
        end = time.time() + WRITING_SECONDS * models
        write_blocks(folder / "data", fleet, end, said_beside(fleet, end))
        print(f"... {end - time.time():.0f} s too early", file=sys.stderr, flush=True)
        time.sleep(max(0.0, end - time.time() + 1.0))  # nothing is recorded before the end of a block
        groups = [{**group, "interval": HURRIED} for group in measured_groups(further=False)]
        (folder / "rules.json").write_text(json.dumps({"groups": groups}))
        flags = ("--web.enable-remote-write-receiver", "--web.enable-lifecycle", LOOKBACK)
        with prometheus(folder, {"rule_files": [f"{folder}/rules.json"]}, environment={}, flags=flags) as url:
            go_on(url, fleet, end)
            print("letting the rules record ...", file=sys.stderr, flush=True)
            time.sleep(max(0.0, end + RECORDED - time.time()))
            (folder / "prometheus.yml").write_text("{}")  # hurried as they are, the rules would take both cores
            urllib.request.urlopen(urllib.request.Request(f"{url}/-/reload", method="POST"), timeout=60).close()
            span = (end + RECORDED - LOOKED_AT, end + RECORDED)
            return list(asked(url, span, {"model": fleet.model(7 % models), "feature": "number_00"}))


def main() -> int:
    """Print the report; 1 if a panel is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--url", help="a Prometheus that runs, as a kept demo's, in place of a fleet")
    parser.add_argument("--minutes", type=float, default=3.0, help="of that Prometheus, up to now")
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="a variable of the dashboards")
    given = parser.parse_args()
    if given.url:
        span = (time.time() - 60.0 * given.minutes, time.time())
        found, whose = list(asked(given.url, span, dict(each.split("=", 1) for each in given.var))), given.url
    else:
        found, whose = of_fleet(given.models), f"{given.models} models"
    print("\n".join(report(whose, found)))
    return int(max(answer.seconds for answer in found) >= GOAL)


if __name__ == "__main__":
    sys.exit(main())
