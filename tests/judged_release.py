"""A release for tests of the judge: exporters that count seeded traffic, and a Prometheus in memory that scrapes them.

What the exporters count at a time is a function of the seed alone, so that a disturbed and an undisturbed run see the
same world. `MemoryPrometheus` answers instants as Prometheus does: the newest sample of the last five minutes, none
after a scrape that did not bring the series.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mlcanary.judge.intake.reading import Reading, ReadingError, Sample

EPOCH = 1_700_000_010.0
"""A multiple of 30 seconds."""

LOOKBACK = 300.0
SCRAPE = 15.0
CTR = 0.8
"""Of both versions: without any outcome nothing is ever promoted."""
Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclasses.dataclass(frozen=True)
class Release:
    """Traffic of two versions. `rates`: failures of the canary and of the baseline; `requests`: per second, of all."""

    seed: int
    rates: tuple[float, float]
    seconds: int = 1800
    requests: float = 40.0
    share: float = 0.5
    exporters: int = 2
    begins: int = 60

    def counts(self) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Cumulative (second, exporter; answered, failed, clicked) by version; the canary has none before `begins`."""
        random = np.random.default_rng(self.seed)
        found = {}
        for version, failing, part in (("v2", self.rates[0], self.share), ("v1", self.rates[1], 1 - self.share)):
            total = random.poisson(self.requests * part / self.exporters, (self.seconds + 1, self.exporters))
            if version == "v2":
                total[: self.begins] = 0
            failed = random.binomial(total, failing)
            clicked = random.binomial(total - failed, CTR)
            found[version] = np.stack([total - failed, failed, clicked], axis=-1).cumsum(axis=0)
        return found

    def pages(self, restarts: Sequence[tuple[int, int]] = ()) -> Callable[[int, int], Page]:
        """What an exporter shows at a second. `restarts`: (second, exporter) at which it begins anew from zero."""
        counts = self.counts()

        def page(exporter: int, second: int) -> Page:
            lost = max((at for at, which in restarts if which == exporter and at <= second), default=None)
            found: Page = {}
            for version, role in (("v1", "baseline"), ("v2", "canary")):
                if version == "v2" and second < self.begins:
                    continue
                labels = (("model", "clicks"), ("version", version))
                info = (*labels, ("role", role), ("task", "binary"))
                found["mlcanary_model_info", info] = 1.0
                now = counts[version][second, exporter]
                base = counts[version][lost, exporter] if lost is not None else np.zeros(3, dtype=np.int64)
                answered, failed, clicked = (float(value) for value in now - base)
                for predicted, value in (("1", answered), ("none", failed)):
                    found["mlcanary_predictions_total", (*labels, ("predicted", predicted))] = value
                found["mlcanary_mature_predictions_total", labels] = answered
                found["mlcanary_mature_events_total", (*labels, ("event", "click"))] = clicked
            found["mlcanary_business_event_info", (("model", "clicks"), ("event", "click"), ("meaning", "click"))] = 1.0
            found["mlcanary_up", (("source", "log"),)] = 1.0
            return found

        return page


class MemoryPrometheus:
    """Scraped pages, and a clock that the test sets. Implements `judge.intake.reading.Reader`.

    `failing`: called before each answer; raises ReadingError while the API cannot be reached.
    """

    def __init__(self) -> None:
        self.clock = EPOCH
        self.failing: Callable[[], None] = lambda: None
        self.reads: list[float] = []
        self._series: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[list[float], list[float | None]]] = {}
        self._last: dict[str, set[tuple[str, tuple[tuple[str, str], ...]]]] = {}

    def scrape(self, at: float, instance: str, page: Page | None) -> None:
        """Store a page, None for one that could not be had: its series are then marked stale."""
        named = {
            (name, tuple(sorted((*own, ("instance", instance))))): value for (name, own), value in (page or {}).items()
        }
        for key in self._last.get(instance, set()) - named.keys():
            self._put(key, at, None)
        for key, value in named.items():
            self._put(key, at, value)
        self._last[instance] = set(named)

    def _put(self, key: tuple[str, tuple[tuple[str, str], ...]], at: float, value: float | None) -> None:
        times, values = self._series.setdefault(key, ([], []))
        times.append(at)
        values.append(value)

    def now(self) -> float:
        """The clock of the test."""
        self.failing()
        return self.clock

    def read(self, at: float, models: Sequence[str] | None = None) -> Reading:
        """Every series at an instant that is not after the clock."""
        self.failing()
        assert at <= self.clock
        self.reads.append(at)
        return Reading(at, list(self._instant(at, models)))

    def _instant(self, at: float, models: Sequence[str] | None) -> Iterator[Sample]:
        for (name, labels), (times, values) in self._series.items():
            i = bisect.bisect_right(times, at) - 1
            if i >= 0 and times[i] > at - LOOKBACK and (value := values[i]) is not None:
                told = dict(labels)
                if models is None or "model" not in told or told["model"] in models:
                    yield Sample(name, told, value)


def scraped(
    release: Release,
    *,
    restarts: Sequence[tuple[int, int]] = (),
    missed: Iterable[tuple[int, int]] = (),
    doubled: Iterable[tuple[int, int]] = (),
    away: tuple[float, float] | None = None,
) -> MemoryPrometheus:
    """A Prometheus that has scraped a whole release, each exporter at its own moment of every `SCRAPE` seconds.

    `missed` and `doubled`: (number of the scrape, exporter). `away`: seconds between which Prometheus itself was down.
    """
    prometheus, page = MemoryPrometheus(), release.pages(restarts)
    lost, twice = set(missed), set(doubled)
    for k in range(int(release.seconds / SCRAPE)):
        for exporter in range(release.exporters):
            second = k * SCRAPE + 2 + 3 * exporter
            if second > release.seconds or (away is not None and away[0] <= second < away[1]):
                continue
            instance = f"10.0.0.{exporter}:10877"
            shown = None if (k, exporter) in lost else page(exporter, int(second))
            prometheus.scrape(EPOCH + second, instance, shown)
            if (k, exporter) in twice:
                prometheus.scrape(EPOCH + second + 0.5, instance, shown)
    return prometheus


def unreachable() -> None:
    """Raise what a reader raises while the API is away."""
    raise ReadingError("connection refused", hint="is it running?")
