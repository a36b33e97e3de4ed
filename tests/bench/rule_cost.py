"""What the shipped rules cost a Prometheus that watches a fleet: 300 models, 2 versions, 30 features, 2 sidecars each.

Run as `python tests/bench/rule_cost.py [--models 6] [--for 300] [--sidecars 2]`: lines of Markdown. A fleet of some
models is written (see `fleet.py`), and a Prometheus with the shipped rules evaluates all groups some times at one pace.
Its CPU time per round is shared out over the groups by the time that each took, and scaled to the models of `--for`:
all that a rule does is per series. What matters is the sum of CPU per interval of a group, in cores: a quarter of two
is 0.5.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fleet import Fleet, write_blocks  # noqa: E402 - beside this file, not installed
from prometheus_tools import get, prometheus, wait_for  # noqa: E402
from promtool_cases import shipped_groups  # noqa: E402

DEFAULT_INTERVAL = 30.0
"""Evaluation interval of groups without one of their own; half of Prometheus' default."""

CPU = "process_cpu_seconds_total"
WARM_ROUNDS, ROUNDS, ROUND_SECONDS = 3, 2, 25
CORES, DEAREST = 2, 60
SECONDS_PER_SAMPLE = 22e-6
"""How long writing may take, on a busy machine: the history ends that much later, for it is seen for 5 minutes."""

SERIES_OF_A_PAGE = 6000
OPTIONAL = ("details", "estimated", "joint", "labels", "multiclass", "ranking", "regression", "segments", "values")
"""Recording files that no alert needs, by the first part of their groups' names."""

TIME_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None) -> float:
    """A duration of a rule file; the default where it names none."""
    return DEFAULT_INTERVAL if text is None else float(text[:-1]) * TIME_UNITS[text[-1]]


def names_read() -> set[str]:
    """All names in the rules."""
    texts = (rule["expr"] for group in shipped_groups() for rule in group["rules"])
    return {name for text in texts for name in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text)}


@dataclass
class Cost:
    """What was measured: wall seconds of each evaluation by group and by "group/number/rule"; CPU of one round."""

    groups: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rules: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, str] = field(default_factory=dict)
    cpu: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def look(self, url: str) -> bool:
        """Take in what has been evaluated since; whether every group has been, so many times."""
        found = get(f"{url}/api/v1/rules")
        for group in found["data"]["groups"] if found else ():
            name, last = group["name"], group["lastEvaluation"]
            if last != self.seen.get(name) and not last.startswith("0"):
                self.seen[name] = last
                self.groups[name].append(group["evaluationTime"])
                for i, rule in enumerate(group["rules"]):
                    self.rules[f"{name}/{i}/{rule['name']}"].append(rule["evaluationTime"])
        return all(len(self.groups[group["name"]]) >= ROUNDS for group in shipped_groups())


def evaluated(folder: Path, fleet: Fleet) -> Cost:
    """Evaluate all groups some times, at one pace. Only the last rounds count: the first ones read cold pages."""
    samples = fleet.models * 2 * fleet.sidecars * SERIES_OF_A_PAGE * fleet.history / fleet.step
    end = time.time() + samples * SECONDS_PER_SAMPLE
    written = write_blocks(folder / "data", fleet, end)
    time.sleep(max(0.0, end - time.time() + 1))
    rules = folder / "rules.json"
    rules.write_text(json.dumps({"groups": [{**group, "interval": f"{ROUND_SECONDS}s"} for group in shipped_groups()]}))
    cost = Cost()
    with prometheus(folder, {"rule_files": [str(rules)]}, environment={}) as url:
        time.sleep(WARM_ROUNDS * ROUND_SECONDS)
        cost.look(url)
        cost.groups.clear()
        cost.rules.clear()
        before, begun = _own(url, CPU), time.monotonic()
        wait_for("evaluations", lambda: cost.look(url), 150)
        cost.cpu = (_own(url, CPU) - before) / (time.monotonic() - begun) * ROUND_SECONDS
        cost.counts = {"recorded": int(_own(url, "prometheus_tsdb_head_series")), "raw": sum(written.values())}
    return cost


def _own(url: str, name: str) -> float:
    """A figure of Prometheus about itself. What is in its head is what rules made: all else lies in blocks."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found
    return float(found[1])


def report(fleet: Fleet, models: int, cost: Cost) -> Iterator[str]:
    """Tables in Markdown. CPU is shared out over groups and rules by the time that each took."""
    interval = {group["name"]: seconds(group.get("interval")) for group in shipped_groups()}
    taken = {name: median(times) for name, times in cost.groups.items()}
    each = cost.cpu / sum(taken.values()) * models / fleet.models
    yield f"{models} models of 2 versions, {fleet.features} features, {fleet.sidecars} sidecars; from {fleet.models}."
    yield ""
    yield "| group | rules | interval, s | CPU of an evaluation, s | cores |"
    yield "| --- | --- | --- | --- | --- |"
    rules = {group["name"]: len(group["rules"]) for group in shipped_groups()}
    for name in sorted(taken, key=lambda name: -taken[name] / interval[name]):
        cpu = taken[name] * each
        yield f"| {name} | {rules[name]} | {interval[name]:.0f} | {cpu:.2f} | {cpu / interval[name]:.3f} |"
    total = sum(taken[name] * each / interval[name] for name in taken)
    yield f"| all | {sum(rules.values())} | | | {total:.3f} |"
    core = {name for name in taken if not name.startswith(tuple(f"mlcanary-{part}-" for part in OPTIONAL))}
    cores = sum(taken[name] * each / interval[name] for name in core)
    yield f"| what alerts need | {sum(rules[name] for name in core)} | | | {cores:.3f} |"
    yield ""
    yield f"All together {total:.2f} cores, {total / CORES:.0%} of {CORES}."
    raw = cost.counts["raw"] / fleet.models / 2 / fleet.sidecars
    yield f"Series of a model: {raw:.0f} that rules read from each sidecar, "
    yield f"{cost.counts['recorded'] / fleet.models:.0f} recorded, alerts included."
    yield ""
    yield "Dearest rules, CPU ms per model:"
    yield ""
    single = {name: 1000 * median(times) * each / models for name, times in cost.rules.items()}
    for name in sorted(single, key=lambda name: -single[name])[:DEAREST]:
        yield f"- {single[name]:.2f} {name}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--for", type=int, default=300, dest="scaled")
    parser.add_argument("--sidecars", type=int, default=2)
    asked = parser.parse_args(arguments)
    fleet = Fleet(asked.models, asked.sidecars, names=names_read())
    with tempfile.TemporaryDirectory() as folder:
        for line in report(fleet, asked.scaled, evaluated(Path(folder), fleet)):
            print(line)


if __name__ == "__main__":
    main()
