"""What the judge remembers while a log is replayed, and where its readings come from: both in memory.

Guarantee: the readings have the names, labels and values that Prometheus would hold had it scraped the exporter at that
moment. The archive keeps every step and every record, so that a verdict can be recomputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlcanary.catalog import BY_NAME
from mlcanary.judge.contract import CanaryKey, Plan, Step
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.reading import Reading
from mlcanary.judge.store import FIRST_HASH, Changes, NewRecord, Saved
from mlcanary.monitor.monitor import Monitor

_WANTED = frozenset({read.INFO, *read.COUNTERS, *read.FACTS, *read.REFERENCES})


class MonitorReader:
    """Implements `judge.intake.reading.Reader`. All files are one exporter: they share one join, and so one page.

    `mlcanary_up` is not among the series: a file that cannot be read ends a replay.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._at = 0.0
        self._known: dict[tuple[str, str, tuple[str, ...]], tuple[str, dict[str, str], bytes] | None] = {}

    def now(self) -> float:
        """The time of the newest reading: no other one is ever due."""
        return self._at

    def read(self, at: float, models: Sequence[str] | None = None) -> Reading:
        """Everything that the judge asks for, as it is now."""
        self._at = at
        found = []
        for name, suffix, labels, value in self._monitor.samples(at):
            key = name, suffix, labels
            entry = self._known[key] if key in self._known else self._learn(key)
            if entry is not None and (models is None or entry[1].get("model") in models):
                found.append(read.Sample(entry[0], entry[1], value, entry[2]))
        return Reading(at, found)

    def _learn(self, key: tuple[str, str, tuple[str, ...]]) -> tuple[str, dict[str, str], bytes] | None:
        """How a series is called on the wire; None if nobody asks for it. Prometheus drops empty labels."""
        name, suffix, labels = key
        entry = None
        if name + suffix in _WANTED:
            names = (*BY_NAME[name].labels, "le") if suffix == "_bucket" else BY_NAME[name].labels
            pairs = {label: value for label, value in zip(names, labels, strict=True) if value}
            entry = name + suffix, pairs, b"%d" % len(self._known)
        self._known[key] = entry
        return entry


class MemoryArchive:
    """Implements `judge.store.Archive`. `ended`: why a canary ended; the others went on to the end of the log."""

    def __init__(self) -> None:
        self.plans: dict[CanaryKey, Plan] = {}
        self.ended: dict[CanaryKey, str] = {}
        self.records: list[NewRecord] = []
        self._steps: dict[CanaryKey, list[Step]] = {}

    def load(self) -> Saved:
        """Nothing."""
        return Saved(None, None, (), {}, FIRST_HASH)

    def steps(self, key: CanaryKey, after: int = 0) -> Iterator[Step]:
        """Steps of a canary, oldest first."""
        return iter(self._steps.get(key, [])[after:])

    def commit(self, changes: Changes) -> None:
        """Keep one grid time."""
        for key, plan, _ in changes.started:
            self.plans[key] = plan
        for key, step in changes.steps:
            self._steps.setdefault(key, []).append(step)
        self.records += changes.records
        self.ended |= changes.ended

    def running(self) -> list[CanaryKey]:
        """Canaries that are judged now, oldest first."""
        return [key for key in self.plans if key not in self.ended]

    def save_snapshots(self, snapshots: Mapping[CanaryKey, bytes]) -> None:
        """Steps are enough."""

    def prune(self, before: float) -> None:
        """A replay is over before anything is old."""

    def close(self) -> None:
        """Nothing to give back."""
