"""Last values of the counters of a model, page by page, and what was gained since.

Guarantee: gains are exact differences of what the pages said. A page that is new gains nothing; one that is away keeps
its last values; where any counter of a version on a page fell, that version began anew there at zero. Cost: one array
of 8 bytes per series.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.told import Page
from mlcanary.stats.accumulator import Floats

Own = tuple[str, ...]
"""Values of a counter's own labels."""

Families = dict[str, dict[Own, int]]
"""Slots of counters by family and own labels."""

SavedUnit = tuple[Page, int, float | None, bytes]
SavedModel = tuple[bytes, list[tuple[str, list[SavedUnit]]], dict[str, int], dict[str, tuple[str, ...]]]


@dataclass(slots=True)
class Unit:
    """A version on a page. `values`: last seen by slot, NaN if never; `order`: its place among the version's pages."""

    order: int
    values: Floats = field(default_factory=lambda: np.zeros(0))
    at: float | None = None
    fresh: list[float] | None = None
    """Values of the reading in hand, None if the page is not in it."""
    starts: Floats = field(default_factory=lambda: np.zeros(0))
    """What the values of the reading in hand are counted from; both are 0 for series that are not in it."""
    ends: Floats = field(default_factory=lambda: np.zeros(0))

    def absorb(self, size: int, at: float) -> bool:
        """Take over the fresh values; whether the version has begun anew on this page."""
        fresh = padded(np.array(self.fresh, dtype=np.float64), size)
        fresh[~np.isfinite(fresh)] = math.nan
        old = padded(self.values, size)
        seen = ~np.isnan(fresh)
        fell = bool((fresh < old).any())
        self.ends = np.where(seen, fresh, 0.0)
        if self.at is None:
            self.starts, self.values = self.ends, fresh
        elif fell:
            self.starts, self.values = np.zeros(size), fresh
        else:
            self.starts = np.where(seen & ~np.isnan(old), old, 0.0)
            self.values = np.where(seen, fresh, old)
        self.at = at
        return fell


@dataclass(slots=True)
class ModelCounters:
    """Slots of the counters of a model, its pages by version, and which events mean what."""

    families: Families = field(default_factory=dict)
    size: int = 0
    fractional: list[int] = field(default_factory=list)
    versions: dict[str, dict[Page, Unit]] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    """Pages of each version so far, also forgotten ones."""
    events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    arrived: list[tuple[str, Page]] = field(default_factory=list)
    packed: tuple[int, bytes] = (-1, b"")

    def slot(self, family: str, own: Own) -> int:
        """The place of a counter in every array of this model."""
        slots = self.families.setdefault(family, {})
        found = slots.get(own)
        if found is None:
            found = slots[own] = self.size
            self.size += 1
            if family in read.FRACTIONAL:
                self.fractional.append(found)
        return found

    def unit(self, version: str, page: Page) -> Unit:
        """The counters of a version on a page."""
        units = self.versions.setdefault(version, {})
        found = units.get(page)
        if found is None:
            found = units[page] = Unit(-1)
            self.arrived.append((version, page))
        return found

    def number(self) -> None:
        """Number the pages that have come, in order of their labels: a reading may have its series in any order."""
        for version, page in sorted(self.arrived):
            order = self.versions[version][page].order = self.met.get(version, 0)
            self.met[version] = order + 1
        self.arrived.clear()

    def learn(self, events: Mapping[str, set[str]]) -> None:
        """Remember meanings: an exporter that began anew tells them again only after the next event."""
        for meaning, names in sorted(events.items()):
            self.events[meaning] = tuple(sorted(names.union(self.events.get(meaning, ()))))

    def forget(self, oldest: float) -> bool:
        """Let go of pages that were last seen before; whether there were any."""
        gone = False
        for version, units in list(self.versions.items()):
            for page in [page for page, unit in units.items() if unit.at is not None and unit.at < oldest]:
                del units[page]
                gone = True
            if not units:
                del self.versions[version]
        return gone

    def gains(self, units: Sequence[Unit]) -> Floats:
        """Sum of the gains of some pages by slot; sums of numbers are rounded once, whatever the number of pages."""
        total = np.zeros(self.size)
        for unit in units:
            total += unit.ends - unit.starts
        if len(units) > 1 and self.fractional:
            ends = [unit.ends[self.fractional].tolist() for unit in units]
            starts = [(-unit.starts[self.fractional]).tolist() for unit in units]
            total[self.fractional] = [math.fsum(column) for column in zip(*ends, *starts, strict=True)]
        return total

    def totals(self, units: Iterable[Unit]) -> Floats:
        """Sum of the last values of some pages by slot."""
        values = [np.nan_to_num(padded(unit.values, self.size)) for unit in units]
        total = np.zeros(self.size)
        for each in values:
            total += each
        if len(values) > 1 and self.fractional:
            columns = zip(*(each[self.fractional].tolist() for each in values), strict=True)
            total[self.fractional] = [math.fsum(column) for column in columns]
        return total

    def shown(self, units: Iterable[Unit]) -> NDArray[np.bool_]:
        """Slots that any of these pages has."""
        shown = np.zeros(self.size, dtype=np.bool_)
        for unit in units:
            shown[: unit.values.size] |= ~np.isnan(unit.values)
        return shown

    def only(self, shown: NDArray[np.bool_]) -> Families:
        """The families of these slots."""
        flags = shown.tolist()
        kept = {
            name: {own: slot for own, slot in slots.items() if flags[slot]} for name, slots in self.families.items()
        }
        return {name: slots for name, slots in kept.items() if slots}

    def dump(self) -> SavedModel:
        """Names of the slots, packed, and the last values of every page."""
        if self.packed[0] != self.size:
            names: list[tuple[str, Own]] = [("", ())] * self.size
            for family, slots in self.families.items():
                for own, slot in slots.items():
                    names[slot] = family, own
            self.packed = self.size, zlib.compress(msgspec.msgpack.encode(names), 1)
        versions = [
            (version, [(page, unit.order, unit.at, unit.values.tobytes()) for page, unit in units.items()])
            for version, units in self.versions.items()
        ]
        return self.packed[1], versions, self.met, self.events

    @classmethod
    def load(cls, saved: SavedModel) -> ModelCounters:
        """What `dump` gave. Raises ValueError, zlib.error or msgspec.MsgspecError for anything else."""
        packed, versions, met, events = saved
        model = cls(met=met, events=events)
        for family, own in msgspec.msgpack.decode(zlib.decompress(packed), type=list[tuple[str, Own]]):
            model.slot(family, own)
        for version, units in versions:
            model.versions[version] = {
                page: Unit(order, np.frombuffer(values).copy(), at) for page, order, at, values in units
            }
        return model


def padded(values: Floats, size: int) -> Floats:
    """Values by slot with NaN for slots that came later."""
    if values.size == size:
        return values
    found = np.full(size, math.nan)
    found[: values.size] = values
    return found
