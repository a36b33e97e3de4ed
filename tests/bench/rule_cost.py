"""What the shipped rules cost a Prometheus that watches a fleet: 300 models, 2 versions, 30 features.

Run as `python tests/bench/rule_cost.py [--models 4 12] [--for 300] [--pace 5] [--rounds 3]`: lines of Markdown. Fleets
of two sizes are written (see `fleet.py`), and a Prometheus with the shipped rules evaluates all groups some times at
one pace. Its CPU time per round is shared out over the groups by the time that each took; a line through the two sizes
tells what the models of `--for` cost. What matters is the sum of CPU per interval of a group in cores: a quarter of two
is 0.5. CPU and times are medians of the rounds, so that one pause of the machine does not show.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fleet import SHARES, Fleet, sidecar_series  # noqa: E402 - beside this file, not installed
from prometheus_tools import LOADED_RULES, RULE_FILES, get, prometheus  # noqa: E402
from remote_write import Body  # noqa: E402

DEFAULT_INTERVAL = 30.0
"""Evaluation interval of groups without one of their own; half of Prometheus' default."""

CPU = "process_cpu_seconds_total"
WARM_ROUNDS = 2
CORES, DEAREST, SHOWN = 2, 20, 12
SECONDS_PER_SAMPLE = 12e-6
"""How long writing may take, on a busy machine: the history ends that much later, for it is seen for 5 minutes."""

TIME_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None) -> float:
    """A duration of a rule file; the default where it names none."""
    return DEFAULT_INTERVAL if text is None else float(text[:-1]) * TIME_UNITS[text[-1]]


def measured_groups(further: bool) -> list[dict[str, Any]]:
    """The groups that `rules/*.yml` loads, or those of `rules/further` beside them."""
    files = RULE_FILES if further else LOADED_RULES
    return [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]


def names_read(groups: Sequence[Mapping[str, Any]]) -> set[str]:
    """All names in the rules."""
    texts = (rule["expr"] for group in groups for rule in group["rules"])
    return {name for text in texts for name in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text)}


@dataclass
class Cost:
    """What was measured, one figure a round: wall seconds of groups and of "group/number/rule"; CPU seconds of all."""

    group_rounds: dict[str, list[float]] = field(default_factory=dict)
    rule_rounds: dict[str, list[float]] = field(default_factory=dict)
    cpu_rounds: list[float] = field(default_factory=list)
    series: dict[str, int] = field(default_factory=dict)
    version: str = ""

    @property
    def groups(self) -> dict[str, float]:
        """Median wall seconds of an evaluation of each group."""
        return {name: median(took) for name, took in self.group_rounds.items()}

    @property
    def rules(self) -> dict[str, float]:
        """Median wall seconds of each rule."""
        return {name: median(took) for name, took in self.rule_rounds.items()}

    @property
    def cpu(self) -> float:
        """Median CPU seconds of a round."""
        return median(self.cpu_rounds)

    def share(self, name: str) -> float:
        """CPU seconds of an evaluation of a group: of the round, as much as it took of the time."""
        return self.groups[name] / sum(self.groups.values()) * self.cpu

    def look(self, url: str) -> None:
        """Take in what the last evaluation of each group took."""
        for group in get(f"{url}/api/v1/rules")["data"]["groups"]:
            self.group_rounds.setdefault(group["name"], []).append(group["evaluationTime"])
            for i, rule in enumerate(group["rules"]):
                name = f"{group['name']}/{i}/{rule['name']}"
                self.rule_rounds.setdefault(name, []).append(rule["evaluationTime"])
        self.version = get(f"{url}/api/v1/status/buildinfo")["data"]["version"]
        every = get(f"{url}/api/v1/query", query='count by (__name__) ({__name__=~".+"})')["data"]["result"]
        self.series = {one["metric"]["__name__"]: int(one["value"][1]) for one in every}

    def recorded(self, group: Mapping[str, Any]) -> int:
        """Series that the rules of a group record."""
        return sum(self.series.get(rule["record"], 0) for rule in group["rules"] if "record" in rule)


@dataclass
class History:
    """Every series of a fleet, written on from scrape to scrape."""

    fleet: Fleet
    end: float = 0.0

    def __post_init__(self) -> None:
        fleet = self.fleet
        of_sidecars = product(range(fleet.models), SHARES, range(fleet.sidecars))
        every = [list(sidecar_series(fleet, *sidecar, time.time())) for sidecar in of_sidecars]
        self.bodies = [Body([{**grown.labels, "__name__": grown.name} for grown in series]) for series in every]
        self.values = [np.array([grown.start for grown in series]) for series in every]
        self.growths = [np.array([grown.growth for grown in series]) for series in every]
        self.size = sum(map(len, every))

    def write(self, url: str, scrapes: int) -> None:
        """So many scrapes more, up to about now."""
        self.end = self.end or time.time() + self.size * scrapes * SECONDS_PER_SAMPLE - scrapes * self.fleet.step
        for _ in range(scrapes):
            self.end += self.fleet.step
            for i, body in enumerate(self.bodies):
                body.send(url, self.values[i], self.end)
                self.values[i] = self.values[i] + self.growths[i]


def evaluated(folder: Path, fleet: Fleet, groups: Sequence[Mapping[str, Any]], pace: float, rounds: int) -> Cost:
    """Evaluate all groups once a round over series in the head, as a Prometheus has them that scrapes the fleet.

    The first rounds do not count: what groups read of each other is not all there. Samples are written between rounds.
    """
    history = History(fleet)
    seconds = max(25.0, fleet.models * pace)
    rules = folder / "rules.json"
    rules.write_text(json.dumps({"groups": [{**group, "interval": f"{seconds:.0f}s"} for group in groups]}))
    cost = Cost()
    flags = ("--web.enable-remote-write-receiver", "--web.enable-lifecycle")
    with prometheus(folder, {}, environment={}, flags=flags) as url:
        history.write(url, int(fleet.history / fleet.step))
        print(f"{history.size} series written, {history.end - time.time():.0f} s too early", file=sys.stderr)
        time.sleep(max(0.0, history.end - time.time()))
        (folder / "prometheus.yml").write_text(json.dumps({"rule_files": [str(rules)]}))
        urllib.request.urlopen(urllib.request.Request(f"{url}/-/reload", method="POST"), timeout=60).close()
        time.sleep(WARM_ROUNDS * seconds)
        for _ in range(rounds):
            history.write(url, int((time.time() - history.end) / fleet.step))
            before = _own(url, CPU)
            time.sleep(seconds)  # asking for the rules costs more than evaluating those of a few models
            cost.cpu_rounds.append(_own(url, CPU) - before)
            cost.look(url)
    return cost


def _own(url: str, name: str) -> float:
    """A figure of Prometheus about itself."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found
    return float(found[1])


def fitted(small: Cost, large: Cost, sizes: tuple[int, int], models: int) -> dict[str, float]:
    """CPU seconds of an evaluation of each group for so many models: a straight line through two sizes.

    A rule costs something even where there is nothing: scaled from one size, that would be taken for a cost per model.
    """
    found = {}
    for name in large.groups:
        few, many = small.share(name), large.share(name)
        slope = max((many - few) / (sizes[1] - sizes[0]), 0.0)
        found[name] = many + slope * (models - sizes[1])
    return found


def report(
    fleet: Fleet, small: Cost, large: Cost, sizes: tuple[int, int], models: int, groups: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Tables in Markdown. CPU is shared out over groups and rules by the time that each took."""
    interval = {group["name"]: seconds(group.get("interval")) for group in groups}
    cpu = fitted(small, large, sizes, models)
    scraped = f"scraped every {fleet.step:.0f} s, {fleet.sidecars} exporters of each version"
    yield (
        f"Prometheus {large.version}: {models} models of 2 versions, {fleet.features} features, {scraped};"
        f" a line through {sizes[0]} and {sizes[1]} models."
    )
    yield ""
    cpu_of = f"CPU of an evaluation, s: {sizes[0]} | {sizes[1]} | {models}"
    yield f"| group | rules | series of a model | interval, s | {cpu_of} | cores |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for group in sorted(groups, key=lambda group: -cpu[group["name"]] / interval[group["name"]]):
        name = group["name"]
        size = f"{len(group['rules'])} | {large.recorded(group) / sizes[1]:.0f} | {interval[name]:.0f}"
        took = f"{small.share(name):.3f} | {large.share(name):.3f} | {cpu[name]:.2f}"
        yield f"| {name} | {size} | {took} | {cpu[name] / interval[name]:.3f} |"
    total = sum(cpu[name] / interval[name] for name in cpu)
    series = sum(large.recorded(group) for group in groups) / sizes[1]
    yield f"| all | {sum(len(group['rules']) for group in groups)} | {series:.0f} | | | | | {total:.3f} |"
    yield ""
    rounds = "; ".join(", ".join(f"{took:.1f}" for took in cost.cpu_rounds) for cost in (small, large))
    yield f"All together {total:.2f} cores, {total / CORES:.0%} of {CORES}. Rounds of all groups, s: {rounds}."
    yield ""
    yield from _scraped(large, sizes[1])
    yield ""
    yield f"Dearest rules, CPU ms per model, of {sizes[1]}:"
    yield ""
    each = 1000 * large.cpu / sum(large.groups.values()) / sizes[1]
    single = {name: taken * each for name, taken in large.rules.items()}
    for name in sorted(single, key=lambda name: -single[name])[:DEAREST]:
        yield f"- {single[name]:.2f} {name}"


def _scraped(cost: Cost, models: int) -> Iterator[str]:
    of_model = {name: found / models for name, found in cost.series.items() if name.startswith("mlcanary_")}
    yield f"Series of a model that rules read: {sum(of_model.values()):.0f}, most of them"
    yield ""
    for name in sorted(of_model, key=lambda name: -of_model[name])[:SHOWN]:
        yield f"- {of_model[name]:.0f} {name}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs=2, default=(4, 12), metavar=("FEW", "MANY"))
    parser.add_argument("--for", type=int, default=300, dest="scaled")
    parser.add_argument("--sidecars", type=int, default=1, help="of each version")
    parser.add_argument("--step", type=float, default=30.0, help="seconds between scrapes")
    parser.add_argument("--pace", type=float, default=5.0, help="seconds per model from round to round")
    parser.add_argument("--rounds", type=int, default=3, help="that are measured; their median counts")
    parser.add_argument("--further", action="store_true", help="with the rules that nothing shipped reads")
    asked = parser.parse_args(arguments)
    groups = measured_groups(asked.further)
    costs = []
    for models in asked.models:
        fleet = Fleet(models, asked.sidecars, history=3900.0, step=asked.step, names=names_read(groups))
        with tempfile.TemporaryDirectory() as folder:
            costs.append(evaluated(Path(folder), fleet, groups, asked.pace, asked.rounds))
    small, large = costs
    few, many = asked.models
    print("\n".join(report(fleet, small, large, (few, many), asked.scaled, groups)))


if __name__ == "__main__":
    main()
