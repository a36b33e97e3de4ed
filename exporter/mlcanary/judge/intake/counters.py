"""Counters to gains: what both arms of a canary counted between two readings, summed over all exporters.

Guarantee: a function of the readings in their order, bit for bit, and of nothing else. Counts are exact, whatever the
number of exporters that share the traffic; sums of numbers are rounded once. A page (one exporter, all labels but the
metric's own) that is new tells where its counters start and gains nothing; one that is away keeps its last values; one
of whose counters any fell has begun anew at zero. Source of the reset rule: Prometheus, rate(), per series; here per
page and version, since a restart resets all of them, also those that have outgrown their last value.
Cost: O(series) a reading, one array of 8 bytes per series in memory.
Hazard: the same exporter scraped twice under different labels counts twice, here as in every rule.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlcanary.errors import StateError
from mlcanary.judge.contract import FEATURE, Counts, Facts, Structure
from mlcanary.judge.intake import layouts
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.pages import ModelCounters, Own, SavedModel, Unit
from mlcanary.judge.intake.reading import Reading, Sample
from mlcanary.judge.intake.roles import Arms, ModelName
from mlcanary.judge.intake.told import Page, Told, facts, page_of
from mlcanary.stats.accumulator import Floats

Ints = NDArray[np.intp]

KEPT = 86400.0
"""Seconds for which an exporter that is away is remembered; one that comes back later starts anew."""

_OTHER_EDGES, _INCONSISTENT, _UNKNOWN_CELLS = "other_edges", "inconsistent", "unknown_cells"
"""Why an input was left out of a step: its bins differ between exporters or from those at its birth, its counts
contradict each other, it has counters without a cell."""


class ArmGains(msgspec.Struct, frozen=True):
    """What two arms gained in (start, end]; `start` None at their first reading, which gains nothing.

    `born`: inputs first seen at `end`; their counts begin with the next gains. `dropped`: inputs left out, by reason.
    `facts.edges_mismatch` is about exporters that differ now; edges that changed since birth only leave inputs out.
    `pages`: exporters of the canary and of the baseline at `end`.
    """

    arms: Arms
    start: float | None
    end: float
    canary: Counts
    baseline: Counts
    born: dict[str, Structure]
    facts: Facts
    dropped: dict[str, int]
    pages: tuple[int, int]


class _Layout:
    """All inputs of some arms side by side: which slots go to which column, and the columns of each input."""

    def __init__(self, cells: dict[str, Own], goals: dict[str, list[layouts.Goal] | None]) -> None:
        self.spans: dict[str, tuple[int, int]] = {}
        self.unknown = [name for name, found in goals.items() if found is None]
        """Inputs with a counter that has no place among their cells."""
        placed: list[layouts.Goal] = []
        self.width = 0
        for name, found in goals.items():
            if found is not None:
                placed += [(self.width + column, slot, sign) for column, slot, sign in found]
                start, self.width = self.width, self.width + layouts.width(name, cells[name])
                self.spans[name] = start, self.width
        columns, slots, signs = zip(*placed, strict=True) if placed else ((), (), ())
        self._columns, self._slots = np.array(columns, dtype=np.intp), np.array(slots, dtype=np.intp)
        self._signs = np.array(signs)
        self._starts = np.array([start for start, _ in self.spans.values()], dtype=np.intp)

    def counts(self, gains: Floats) -> Floats:
        """Gains by column."""
        weights = gains[self._slots] * self._signs
        found: Floats = np.bincount(self._columns, weights=weights, minlength=self.width).astype(np.float64, copy=False)
        return found + 0.0

    def sums_and_least(self, counts: Floats) -> tuple[list[float], list[float]]:
        """Of the columns of each input."""
        if not self.spans:
            return [], []
        return np.add.reduceat(counts, self._starts).tolist(), np.minimum.reduceat(counts, self._starts).tolist()


@dataclass(slots=True)
class _Memory:
    """What is fixed for arms: cells by input, and the hash of the bin edges at birth. `at`: when last seen."""

    at: float | None = None
    cells: dict[str, Own] = field(default_factory=dict)
    edges: str = ""
    layout: _Layout = field(default_factory=lambda: _Layout({}, {}))
    stamp: tuple[object, ...] = ()
    """What cells and layout were last worked out from."""
    packed: tuple[int, bytes] = (-1, b"")

    def dump(self) -> tuple[float | None, str, bytes]:
        """What cannot be found again; the cells packed."""
        if self.packed[0] != len(self.cells):
            self.packed = len(self.cells), zlib.compress(msgspec.msgpack.encode(self.cells), 1)
        return self.at, self.edges, self.packed[1]

    @classmethod
    def load(cls, saved: tuple[float | None, str, bytes]) -> _Memory:
        """What `dump` gave."""
        at, edges, cells = saved
        return cls(at, msgspec.msgpack.decode(zlib.decompress(cells), type=dict[str, Own]), edges)


class _State(msgspec.Struct, array_like=True):
    resets: int
    at: float | None
    models: list[tuple[ModelName, SavedModel]]
    memories: list[tuple[tuple[str, ...], tuple[float | None, str, bytes]]]


class Counters:
    """Memory of the last values of every counter. `resets`: pages and versions that were seen to begin anew."""

    def __init__(self) -> None:
        self.resets = 0
        self._at: float | None = None
        self._models: dict[ModelName, ModelCounters] = {}
        self._memories: dict[tuple[str, ...], _Memory] = {}
        self._places: dict[object, tuple[ModelCounters, Unit, int]] = {}

    def take(self, reading: Reading, arms: Sequence[Arms]) -> list[ArmGains]:
        """What each of these arms gained since it was last among them, in their order.

        Input: readings in ascending order of time; one that is not later than the last gains nothing.
        """
        if self._at is not None and reading.at <= self._at:
            return [_nothing(each, reading.at) for each in arms]
        self._at = reading.at
        told, down = facts(reading)
        touched = self._sort(reading)
        for model in self._models.values():
            model.number()
        for name, fact in told.items():
            if fact.events and name in self._models:
                self._models[name].learn(fact.events)
        for model, unit in touched:
            self.resets += unit.absorb(model.size, reading.at)
        found = [self._of(each, reading.at, told.get(each.model_name, Told()), down) for each in arms]
        for _, unit in touched:
            unit.fresh = None
        self._forget_old(reading.at)
        return found

    def forget(self, arms: Arms) -> None:
        """Let go of the cells of arms that have ended; what their pages last said stays known."""
        self._memories.pop(arms.name, None)

    def _sort(self, reading: Reading) -> list[tuple[ModelCounters, Unit]]:
        """Put every counter into its slot; the units that are in the reading, in order."""
        touched: list[tuple[ModelCounters, Unit]] = []
        places = self._places
        for sample in reading.series:
            key = sample.key or (sample.name, *sample.labels.items())
            place = places.get(key)
            if place is None:
                if sample.name not in read.COUNTERS:
                    continue
                place = places[key] = self._place(sample)
            model, unit, slot = place
            fresh = unit.fresh
            if fresh is None:
                fresh = unit.fresh = [math.nan] * model.size
                touched.append((model, unit))
            if slot >= len(fresh):
                fresh.extend([math.nan] * (model.size - len(fresh)))
            fresh[slot] = sample.value
        return touched

    def _place(self, sample: Sample) -> tuple[ModelCounters, Unit, int]:
        labels, own = sample.labels, read.COUNTERS[sample.name]
        name = labels.get("cluster", ""), labels.get("namespace", ""), labels.get("model", "")
        model = self._models.setdefault(name, ModelCounters())
        page = page_of(labels, (*own, "model", "version"))
        unit = model.unit(labels.get("version", ""), page)
        return model, unit, model.slot(sample.name, tuple(labels.get(label, "") for label in own))

    def _of(self, arms: Arms, at: float, told: Told, down: dict[Page, list[str]]) -> ArmGains:
        model = self._models.get(arms.model_name)
        if model is None or not arms.baseline:
            return _nothing(arms, at)
        memory = self._memories.setdefault(arms.name, _Memory())
        start, memory.at = memory.at, at
        units = _units(model, arms)
        mismatch = len(told.edges) > 1
        changed = bool(memory.edges and told.edges and told.edges != {memory.edges})
        born = {} if arms.conflict else _settle_cells(memory, model, units, told, mismatch or changed)
        present = [{page: unit for page, unit in arm.items() if unit.fresh is not None} for arm in units]
        canary: Counts = {}
        baseline: Counts = {}
        dropped: dict[str, int] = {}
        if start is not None and not arms.conflict:
            gains = [model.gains(list(arm.values())) for arm in present]
            canary, baseline, dropped = _counts(memory.layout, born, gains, mismatch or changed)
        known = Facts(
            sources_broken=tuple(sorted({name for arm in present for page in arm for name in down.get(page, ())})),
            conflict=arms.conflict,
            edges_mismatch=mismatch,
            expected_share=None if arms.split else told.share(arms.canary, arms.baseline),
        )
        return ArmGains(arms, start, at, canary, baseline, born, known, dropped, (len(present[0]), len(present[1])))

    def _forget_old(self, at: float) -> None:
        """Let go of what has not been seen for `KEPT` seconds."""
        oldest = at - KEPT
        self._memories = {name: memory for name, memory in self._memories.items() if (memory.at or at) >= oldest}
        if sum(model.forget(oldest) for model in self._models.values()):
            self._places.clear()
            self._models = {name: model for name, model in self._models.items() if model.versions}

    def state(self) -> bytes:
        """Everything that the next gains depend on."""
        return msgspec.msgpack.encode(
            _State(
                self.resets,
                self._at,
                [(name, model.dump()) for name, model in self._models.items()],
                [(name, memory.dump()) for name, memory in self._memories.items()],
            )
        )

    @classmethod
    def from_state(cls, data: bytes) -> Counters:
        """Counters that go on bit for bit where `state` was taken. Raises StateError for anything else."""
        try:
            state = msgspec.msgpack.decode(data, type=_State)
            counters = cls()
            counters.resets, counters._at = state.resets, state.at
            counters._models = {name: ModelCounters.load(saved) for name, saved in state.models}
            counters._memories = {name: _Memory.load(saved) for name, saved in state.memories}
        except (msgspec.MsgspecError, zlib.error, ValueError, UnicodeDecodeError) as error:
            raise StateError(f"the saved counters cannot be read: {error}") from error
        return counters


def _nothing(arms: Arms, at: float) -> ArmGains:
    return ArmGains(arms, None, at, {}, {}, {}, Facts(conflict=arms.conflict), {}, (0, 0))


def _units(model: ModelCounters, arms: Arms) -> list[dict[Page, Unit]]:
    """Pages of the canary and of the baseline; of an A/A comparison every other page of the baseline."""
    if not arms.split:
        return [model.versions.get(version, {}) for version in (arms.canary, arms.baseline)]
    pages = model.versions.get(arms.baseline, {})
    return [{page: unit for page, unit in pages.items() if unit.order % 2 == part} for part in (1, 0)]


def _settle_cells(
    memory: _Memory, model: ModelCounters, units: Sequence[dict[Page, Unit]], told: Told, other_edges: bool
) -> dict[str, Structure]:
    """Inputs that the baseline shows for the first time; afterwards every input knows its places."""
    shown = [model.shown(arm.values()) for arm in units]
    either = shown[0] | shown[1]
    ripe: frozenset[str] = frozenset()
    if not memory.cells.keys() >= layouts.RIPENING:
        ripe = layouts.ripe(model.families, model.totals(units[1].values()))
    events = tuple(sorted(model.events.items()))
    stamp = (shown[1].tobytes(), either.tobytes(), events, told.matured, other_edges, ripe)
    if stamp == memory.stamp:
        return {}
    memory.stamp = stamp
    known = layouts.Known(
        model.only(shown[1]), ripe, model.events, told.matured, told.references, told.rows, told.missing
    )
    found = {
        name: structure
        for name, structure in layouts.inputs(known)
        if name not in memory.cells and not (other_edges and _bound(name))
    }
    memory.cells |= {name: structure.cells for name, structure in found.items()}
    if any(map(_bound, found)) and not memory.edges:
        memory.edges = next(iter(told.edges), "")
    memory.layout = _Layout(memory.cells, layouts.place(memory.cells, model.only(either), model.events))
    if not found:
        return {}
    totals = memory.layout.counts(model.totals(units[1].values()))
    return {name: _with_history(name, structure, memory.layout, totals) for name, structure in found.items()}


def _with_history(name: str, structure: Structure, layout: _Layout, totals: Floats) -> Structure:
    start, stop = layout.spans.get(name, (0, 0))
    counts = layouts.settle(name, totals[start:stop]) if stop > start else None
    width = layouts.width(name, structure.cells)
    return msgspec.structs.replace(structure, history=(0.0,) * width if counts is None else tuple(counts.tolist()))


def _counts(
    layout: _Layout, born: Collection[str], gains: Sequence[Floats], other_edges: bool
) -> tuple[Counts, Counts, dict[str, int]]:
    """Counts of both arms by input. An input that is left out is so for both: arms are compared over the same time."""
    arms: tuple[Counts, Counts] = {}, {}
    dropped: dict[str, int] = {}
    columns = [layout.counts(arm) for arm in gains]
    sums, least = zip(*map(layout.sums_and_least, columns), strict=True)
    for i, (name, (start, stop)) in enumerate(layout.spans.items()):
        if name in born or not (sums[0][i] or sums[1][i] or least[0][i] < 0 or least[1][i] < 0):
            continue
        both: list[Floats | None] = [arm[start:stop] for arm in columns]
        if name in layouts.INTRICATE:
            both = [None if counts is None else layouts.settle(name, counts) for counts in both]
        elif least[0][i] < 0 or least[1][i] < 0 or _too_many(name, (sums[0][i], sums[1][i]), arms):
            both = [None, None]
        if other_edges and _bound(name):
            dropped[_OTHER_EDGES] = dropped.get(_OTHER_EDGES, 0) + 1
        elif both[0] is None or both[1] is None:
            dropped[_INCONSISTENT] = dropped.get(_INCONSISTENT, 0) + 1
        else:
            for arm, counts in zip(arms, both, strict=True):
                if counts is not None and any(values := counts.tolist()):
                    arm[name] = tuple(values)
    if layout.unknown:
        dropped[_UNKNOWN_CELLS] = len(layout.unknown)
    return *arms, dropped


def _too_many(name: str, sums: tuple[float, float], arms: Sequence[Counts]) -> bool:
    """Whether a feature has more values than requests were answered: its series were away while their page was known,
    and came back with all that they had counted.
    """
    if not name.startswith(FEATURE):
        return False
    return any(total > arm.get("requests", (0.0, 0.0))[0] for total, arm in zip(sums, arms, strict=True))


def _bound(name: str) -> bool:
    """Whether the cells of an input are bins whose edges belong to the model."""
    return name == "scores" or name.startswith(FEATURE)
