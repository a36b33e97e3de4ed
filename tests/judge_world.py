"""A Prometheus in memory: pages scraped at given times, read at instants with a lookback of five minutes.

A `Sidecar` counts as the exporter does; a `World` keeps what was scraped from it. A scrape that failed marks every
series of the page as gone, as Prometheus does; a scrape that never took place leaves the last values for five minutes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlcanary.catalog import LATENCY_BUCKETS
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.counters import ArmGains, Counters
from mlcanary.judge.intake.reading import Reading, ReadingError, Sample
from mlcanary.judge.intake.roles import Arms, canary_models, find_arms

LOOKBACK = 300.0

Series = tuple[str, tuple[tuple[str, str], ...]]
Page = Mapping[Series, float]

MODEL, BASELINE, CANARY = "churn", "v1", "v2"
ARMS = Arms("", "", MODEL, CANARY, BASELINE)


def series(name: str, **labels: str) -> Series:
    """A series by name and labels, in one spelling."""
    return name, tuple(sorted(labels.items()))


class Sidecar:
    """Counters and facts of one exporter; `labels` are those that Prometheus puts on its series."""

    def __init__(self, instance: str, **labels: str) -> None:
        self.labels = {"job": "mlcanary-exporter", "instance": instance, **labels}
        self.counters: dict[Series, float] = {}
        self.facts: dict[Series, float] = {}

    def add(self, name: str, amount: float = 1.0, model: str = MODEL, **labels: str) -> None:
        """Count; a series is born with its first count, even of 0."""
        key = series(name, model=model, **labels)
        self.counters[key] = self.counters.get(key, 0.0) + amount

    def say(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Set a gauge."""
        self.facts[series(name, **labels)] = value

    def play(self, version: str, role: str, model: str = MODEL, task: str = "binary") -> None:
        """Give a version a role, instead of any other; its requests are born at zero."""
        for key in [k for k in self.facts if k[0] == read.INFO and {("model", model), ("version", version)} <= {*k[1]}]:
            del self.facts[key]
        self.say(read.INFO, model=model, version=version, role=role, task=task)
        self.requests(version, 0, 0, model=model)

    def requests(self, version: str, answered: int, failed: int, *, predicted: str = "1", model: str = MODEL) -> None:
        """Count requests; answered ones take 20 ms, failed ones 2 s."""
        self.add(read.PREDICTIONS, answered, model, version=version, predicted=predicted)
        self.add(read.PREDICTIONS, failed, model, version=version, predicted="none")
        for upper in (*LATENCY_BUCKETS, float("inf")):
            fast, slow = answered * (upper >= 0.02), failed * (upper >= 2.0)
            le = "+Inf" if upper == float("inf") else repr(upper)
            self.add(read.LATENCY, fast + slow, model, version=version, le=le)

    def labeled(self, version: str, actual: str, predicted: str, count: int = 1, *, model: str = MODEL) -> None:
        """Count labelled predictions."""
        self.add(read.CONFUSION, count, model, version=version, actual=actual, predicted=predicted)

    def loss(self, version: str, value: float, count: int = 1, *, name: str = "log_loss", model: str = MODEL) -> None:
        """Count losses of one value."""
        for part, amount in (("_count", 1.0), ("_sum", value), ("_squares_total", value * value)):
            self.add(f"mlcanary_{name}{part}", count * amount, model, version=version)

    def feature(self, version: str, feature: str, label: str | None, count: int = 1, *, model: str = MODEL) -> None:
        """Count values of a feature in a bin; None: missing ones."""
        if label is None:
            self.add(read.FEATURE_MISSING, count, model, version=version, feature=feature)
        else:
            self.add(read.BINS, count, model, version=version, feature=feature, bin=label)

    def business(self, *versions: str, known: bool = True, model: str = MODEL) -> None:
        """Have clicks and purchases of versions born at zero; `known`: the exporter says which event means what."""
        for version in versions:
            self.add(read.MATURE, 0, model, version=version)
            self.add(read.MATURE_BOTH, 0, model, version=version)
            for event in ("click", "purchase"):
                self.add(read.MATURE_EVENTS, 0, model, version=version, event=event)
            self.add(read.MATURE_SQUARES, 0, model, version=version, event="purchase")
            for sign in ("positive", "negative"):
                self.add(read.MATURE_VALUE, 0, model, version=version, event="purchase", sign=sign)
        if known:
            self.say(read.EVENT, model=model, event="click", meaning="click")
            self.say(read.EVENT, model=model, event="purchase", meaning="conversion")

    def restart(self) -> None:
        """Begin anew: every counter is born again at zero."""
        self.counters = dict.fromkeys(self.counters, 0.0)

    def page(self) -> dict[Series, float]:
        """What a scrape gets now."""
        return {**self.facts, **self.counters}


class World:
    """Implements `Reader`. `time`: its clock, set by scrapes and by hand; `down`: it answers nobody."""

    def __init__(self) -> None:
        self.time = 0.0
        self.down = False
        self.asked: list[float] = []
        self._scrapes: dict[tuple[tuple[str, str], ...], tuple[list[float], list[Page | None]]] = {}

    def scrape(self, at: float, *sidecars: Sidecar, failed: bool = False) -> None:
        """Scrape sidecars at `at`, which is not before any earlier scrape of them."""
        self.time = max(self.time, at)
        for sidecar in sidecars:
            times, pages = self._scrapes.setdefault(tuple(sorted(sidecar.labels.items())), ([], []))
            times.append(at)
            pages.append(None if failed else sidecar.page())

    def now(self) -> float:
        """As `Reader.now`."""
        self._answer()
        return self.time

    def read(self, at: float, models: Sequence[str] | None = None) -> Reading:
        """As `Reader.read`."""
        self._answer()
        self.asked.append(at)
        everything = [
            Sample(name, {**dict(labels), **dict(place)}, value)
            for place, (times, pages) in self._scrapes.items()
            for (name, labels), value in _at(times, pages, at).items()
        ]
        wanted = set(canary_models(Reading(at, everything)) if models is None else models)
        found: dict[object, Sample] = {}
        for sample in everything:
            kept = read.REFERENCES.get(sample.name)
            if sample.name not in {read.INFO, read.UP}:
                if sample.labels.get("model") not in wanted:
                    continue
                if kept is None and sample.name not in read.COUNTERS and sample.name not in read.FACTS:
                    continue
            labels = {k: v for k, v in sample.labels.items() if kept is None or k in kept}
            found[sample.name, *sorted(labels.items())] = Sample(sample.name, labels, sample.value)
        return Reading(at, list(found.values()))

    def _answer(self) -> None:
        if self.down:
            raise ReadingError("http://prometheus.example: connection refused")


def _at(times: Sequence[float], pages: Sequence[Page | None], at: float) -> Page:
    """What was scraped last, if it succeeded and is within the lookback."""
    last = bisect_right(times, at) - 1
    if last < 0 or times[last] <= at - LOOKBACK:
        return {}
    return pages[last] or {}


@dataclass
class Watch:
    """A world with sidecars that play both roles, read every 30 seconds."""

    sidecars: list[Sidecar]
    world: World = field(default_factory=World)
    counters: Counters = field(default_factory=Counters)
    at: float = 0.0

    @classmethod
    def of(cls, count: int = 1) -> Watch:
        """Sidecars that have both versions; the first reading has been taken."""
        sidecars = [Sidecar(f"pod-{i}:10877") for i in range(count)]
        for each in sidecars:
            each.play(BASELINE, "baseline")
            each.play(CANARY, "canary")
        return cls(sidecars)

    def step(self, *failed: Sidecar, skipped: Sequence[Sidecar] = ()) -> ArmGains:
        """Scrape and read; the gains of the one pair of arms."""
        self.at += 30.0
        for each in self.sidecars:
            if each not in skipped:
                self.world.scrape(self.at - 10.0, each, failed=each in failed)
        reading = self.world.read(self.at)
        (gains,) = self.counters.take(reading, find_arms(reading) or [ARMS])
        return gains
