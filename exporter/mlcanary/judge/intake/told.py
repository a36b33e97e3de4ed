"""What exporters say of a model beside what they count: edges, meanings of events, shares, the reference profile.

Guarantee: a pure function of a reading, whatever the order of its series.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.reading import Reading, Sample
from mlcanary.judge.intake.roles import ModelName

Page = tuple[tuple[str, str], ...]
"""Labels of an exporter, sorted: all that are not the metric's own."""


@dataclass(slots=True)
class Told:
    """What a reading says of a model. `shares`: by version; `references`: feature -> bin -> share of the profile."""

    edges: set[str] = field(default_factory=set)
    events: dict[str, set[str]] = field(default_factory=dict)
    matured: bool = False
    shares: dict[str, set[float]] = field(default_factory=dict)
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)

    def note(self, sample: Sample) -> None:
        """Take in a series, if it says anything of the kind. Where exporters differ, the larger value counts."""
        name, labels, value = sample.name, sample.labels, sample.value
        feature = labels.get("feature", "")
        if name == read.EDGES:
            self.edges.add(labels.get("edges", ""))
        elif name == read.EVENT:
            self.events.setdefault(labels.get("meaning", ""), set()).add(labels.get("event", ""))
        elif name == read.MATURITY:
            self.matured = self.matured or value > 0
        elif name == read.SHARE:
            self.shares.setdefault(labels.get("version", ""), set()).add(value)
        elif name == read.REFERENCE:
            bins, label = self.references.setdefault(feature, {}), labels.get("bin", "")
            bins[label] = max(value, bins.get(label, value))
        elif name == read.ROWS:
            self.rows[feature] = max(value, self.rows.get(feature, value))
        elif name == read.MISSING:
            self.missing[feature] = max(value, self.missing.get(feature, value))

    def share(self, canary: str, baseline: str) -> float | None:
        """Configured share of the canary in the traffic of both; None while exporters disagree or do not know."""
        of_canary, of_baseline = self.shares.get(canary, set()), self.shares.get(baseline, set())
        if len(of_canary) != 1 or len(of_baseline) != 1:
            return None
        (c,), (b,) = of_canary, of_baseline
        return c / (c + b) if c + b > 0 else None


def facts(reading: Reading) -> tuple[dict[ModelName, Told], dict[Page, list[str]]]:
    """What is said of each model, and the sources that cannot be read by page."""
    told: dict[ModelName, Told] = {}
    down: dict[Page, list[str]] = {}
    for sample in reading.series:
        name, labels = sample.name, sample.labels
        if name in read.COUNTERS:
            continue
        if name == read.UP:
            if sample.value == 0:
                down.setdefault(page_of(labels, ("source",)), []).append(labels.get("source", ""))
            continue
        where = labels.get("cluster", ""), labels.get("namespace", ""), labels.get("model", "")
        told.setdefault(where, Told()).note(sample)
    return told, down


def page_of(labels: dict[str, str], own: tuple[str, ...]) -> Page:
    """The exporter of a series whose metric has these labels of its own."""
    return tuple(label for label in sorted(labels.items()) if label[0] not in own)
