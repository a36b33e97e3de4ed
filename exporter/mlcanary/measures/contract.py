"""The contract of a measure.

A measure owns accumulators (`parts`), feeds them from batches, and shows them twice: as counters that merge
over sidecars, and as gauges of one window. What cannot be subtracted, such as distinct users, is kept in `sketches`,
which no window copies, and shown by `facts`. What cannot be subtracted but belongs to a window, such as a minimum, is
kept in `slots`: the panel takes their content over and over, and gives a window's measure the merged content of its
time. A measure never keeps a record. A new measure is one file, one row group
in the catalogue, one test, and one line in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mlcanary.catalog import NO_PREDICTION, OTHER
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Accumulator


@dataclass(frozen=True, slots=True)
class Labeled:
    """A prediction with its label; `score` None where the log had none, `delay` from prediction to label in seconds.

    `positive` is None where the class cannot be known to be positive or negative. `segments` are the values of the
    plan's segment features, in their order; `user` a salted hash; `assumed`: no label came, and the plan says what a
    prediction then counts as.
    """

    actual: str
    predicted: str | None
    score: float | None
    positive: bool | None
    delay: float
    scores: Mapping[str, float] | None = None
    items: tuple[str, ...] | None = None
    user: int | None = None
    segments: tuple[str, ...] = ()
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A business event joined to its prediction, as it arrives; `ts` is the event time of the prediction."""

    event: str
    value: float | None
    ts: float
    user: int | None = None
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matured:
    """A prediction whose wait is over: `labeled` None without a label; `events` happened in it, with their values."""

    ts: float
    labeled: Labeled | None
    events: Mapping[str, float | None]
    user: int | None = None
    segments: tuple[str, ...] = ()


class Measure:
    """Base of every measure: accumulators by name, and the arithmetic that windows and checkpoints need.

    Samples that a measure yields carry its own labels only; the panel puts model and version before them.
    """

    families: ClassVar[tuple[str, ...]] = ()
    """Catalogue rows that this measure emits; a test holds the samples against it."""

    budget: ClassVar[str] = ""
    """The class of `exposition.budget.ORDER` under which its samples are left out; "" if they always stay."""

    timed: ClassVar[bool] = False
    """Whether its gauges depend on the length of the window, beside what was counted in it."""

    def __init__(self, plan: ModelPlan) -> None:
        self.plan = plan
        self.parts: dict[str, Any] = {}
        self.sketches: dict[str, Any] = {}
        self.slots: dict[str, Any] = {}
        self._folded: set[tuple[str, str]] = set()

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan over the same bin edges (thresholds, roles, reference counts)."""
        self.plan = plan

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Take in requests of one model version, failed ones included."""

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Take in predictions whose label is final."""

    def on_provisional(self, batch: Sequence[Labeled]) -> None:
        """Take in labels as they arrive, of predictions that `on_labeled` will bring again once they are mature."""

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Take in business events as they arrive."""

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Take in every prediction whose wait is over, labelled or not: a cohort of equal age."""

    def facts(self, now: float) -> Iterator[Sample]:
        """Gauges that no window has a part in; `now` in Unix seconds."""
        yield from ()

    def counters(self) -> Iterator[Sample]:
        """Monotone counters since the start."""
        yield from ()

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Estimates over what these parts hold, gathered in `seconds`; nothing where undefined."""
        yield from ()

    def labels(self) -> float | None:
        """Labelled rows behind the gauges; None for a measure whose gauges need none."""
        return None

    def adopt(self, names: Iterable[str]) -> None:
        """Make the parts of these names, which a checkpoint holds, where they are not made from the start."""

    def leave_out(self, classes: Collection[str], features: Collection[str]) -> None:
        """Make no samples of these classes and features any more; they do not fit on the page."""

    def take_folded(self) -> set[tuple[str, str]]:
        """(cap of `Limits`, name) that were folded into `other` or dropped since the last call."""
        folded, self._folded = self._folded, set()
        return folded

    def capped(self, part: str, name: str, cap: str) -> tuple[str]:
        """The counter of a tally to use for a learnt name: its own while there is room, else `other`."""
        counts = self.parts[part].counts
        if (name,) in counts:
            return (name,)
        learnt = len(counts) - ((OTHER,) in counts) - ((NO_PREDICTION,) in counts)
        if learnt < getattr(self.plan.limits, cap):
            return (name,)
        self._folded.add((cap, name))
        return (OTHER,)

    def take_slots(self) -> dict[str, Any]:
        """What the slots hold; they go on empty."""
        if not self.slots:
            return _NO_SLOTS
        taken, self.slots = self.slots, {name: slot.empty() for name, slot in self.slots.items()}
        return taken

    def copy(self) -> Any:
        """The same measure over independent parts."""
        return self._with({name: part.copy() for name, part in self.parts.items()})

    def minus(self, earlier: Measure) -> Any:
        """What came in since `earlier`; a part that was born since then counts in full."""
        before = earlier.parts
        return self._with({n: p.minus(before[n]) if n in before else p.copy() for n, p in self.parts.items()})

    def over(self, parts: Mapping[str, Any]) -> Any:
        """The same measure over other parts."""
        return self._with(dict(parts))

    def _with(self, parts: dict[str, Accumulator]) -> Measure:
        other = object.__new__(type(self))
        other.__dict__ = {**self.__dict__, "parts": parts}
        return other


_NO_SLOTS: dict[str, Any] = {}
"""One for all measures without slots: every window of every version holds sixty of them."""


def undefined(figure: str, reason: str) -> Sample:
    """Says why a figure of the window is absent: no_labels, one_class, no_positive_prediction, no_reference ..."""
    return sample("window_undefined", (figure, reason), 1.0)


def sample(name: str, labels: tuple[str, ...], value: float, suffix: str = "") -> Sample:
    """A sample under a catalogue name without its prefix."""
    return Sample(f"mlcanary_{name}", suffix, labels, value)
