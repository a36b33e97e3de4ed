"""The contract of every accumulator, and the two storages that all of them use.

Counters only add up: `merge` is addition, so any number of processes, windows and restarts combine in any
order to the same figures. `minus` takes an earlier state of the same counters away: that is a window.
A `Sketch` merges as well, but never twice: what both sides saw counts once, so nothing can be taken away again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Vector:
    """Additive counters in one float64 array of fixed shape; counts are exact up to 2**53.

    Subclasses give the array a meaning. Cost: O(size) per merge, copy or minus; 8 bytes per counter.
    """

    __slots__ = ("values",)

    def __init__(self, values: Floats) -> None:
        self.values = values

    def like(self, values: Floats) -> Self:
        """A new accumulator of the same parameters over `values`."""
        return type(self)(values)

    def merge(self, other: Self) -> Self:
        """The state that would have seen both inputs. Raises ValueError if the shapes differ."""
        self._demand_same_shape(other)
        return self.like(self.values + other.values)

    def minus(self, earlier: Self) -> Self:
        """What was added since `earlier`, a former state of the same counters."""
        self._demand_same_shape(earlier)
        return self.like(self.values - earlier.values)

    def copy(self) -> Self:
        """An independent state: later updates of one do not show in the other."""
        return self.like(self.values.copy())

    @property
    def nbytes(self) -> int:
        """Memory of the counters."""
        return self.values.nbytes

    @property
    def layout(self) -> Any:
        """What the numbers of `pack` are; compares equal where they are the same."""
        return self.values.shape

    def pack(self) -> Floats:
        """The counters, shape (n,); to be read only."""
        return self.values.ravel()

    def unpack(self, layout: Any, packed: Floats) -> Self:
        """An accumulator of the same parameters over a former state; `packed` is not copied."""
        return self.like(packed.reshape(layout))

    def dump(self) -> Any:
        """A form that msgpack can carry; `load` restores it bit for bit."""
        return self.values.tobytes()

    def load(self, dumped: Any) -> None:
        """Take over a dumped state. Raises ValueError if it belongs to another shape."""
        values = np.frombuffer(dumped, dtype=np.float64)
        if values.size != self.values.size:
            raise ValueError(f"{type(self).__name__}: {values.size} saved counters, {self.values.size} now")
        self.values = values.reshape(self.values.shape).copy()

    def _demand_same_shape(self, other: Vector) -> None:
        if self.values.shape != other.values.shape:
            raise ValueError(f"{type(self).__name__}: shapes {self.values.shape} and {other.values.shape} differ")


class Tally:
    """Additive counters by name, for names that are learnt while running.

    >>> tally = Tally()
    >>> tally.add(("yes",)); tally.add(("yes",)); tally.add(("no",), 0.5)
    >>> sorted(tally.items())
    [(('no',), 0.5), (('yes',), 2.0)]

    Names are tuples of strings. A name once seen stays, also at zero: a counter must not vanish.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: dict[tuple[str, ...], float] | None = None) -> None:
        self.counts: dict[tuple[str, ...], float] = counts if counts is not None else {}

    def add(self, name: tuple[str, ...], amount: float = 1.0) -> None:
        """Add `amount` to the counter `name`, which is born at zero."""
        self.counts[name] = self.counts.get(name, 0.0) + amount

    def items(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Names and counts, in order of first sight."""
        return iter(self.counts.items())

    def total(self) -> float:
        """Sum over all names."""
        return sum(self.counts.values())

    def merge(self, other: Self) -> Self:
        """The state that would have seen both inputs."""
        names = self.counts | other.counts
        return type(self)({n: self.counts.get(n, 0.0) + other.counts.get(n, 0.0) for n in names})

    def minus(self, earlier: Self) -> Self:
        """What was added since `earlier`, a former state of the same counters."""
        return type(self)({n: c - earlier.counts.get(n, 0.0) for n, c in self.counts.items()})

    def copy(self) -> Self:
        """An independent state."""
        return type(self)(dict(self.counts))

    @property
    def nbytes(self) -> int:
        """Memory of the counters, roughly: an entry of a dictionary, its name shared with other states."""
        return _ENTRY_BYTES * len(self.counts)

    @property
    def layout(self) -> Any:
        """What the numbers of `pack` are; compares equal where they are the same."""
        return tuple(self.counts)

    def pack(self) -> Floats:
        """The counts, shape (n,)."""
        return np.fromiter(self.counts.values(), dtype=np.float64, count=len(self.counts))

    def unpack(self, layout: Any, packed: Floats) -> Self:
        """A former state."""
        return type(self)(dict(zip(layout, packed.tolist(), strict=True)))

    def dump(self) -> Any:
        """A form that msgpack can carry."""
        return [[list(name), count] for name, count in self.counts.items()]

    def load(self, dumped: Any) -> None:
        """Take over a dumped state."""
        self.counts = {tuple(name): float(count) for name, count in dumped}


_ENTRY_BYTES = 130


class Sketch(ABC):
    """What is known of a set: `merge` is the union, so it is associative, commutative and idempotent.

    There is no `minus`, hence no window: a measure keeps sketches for fixed spans of event time.
    """

    __slots__ = ()

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """The state that would have seen both inputs. Raises ValueError if the parameters differ."""

    @abstractmethod
    def copy(self) -> Self:
        """An independent state."""

    @abstractmethod
    def dump(self) -> Any:
        """A form that msgpack can carry; `load` restores it bit for bit."""

    @abstractmethod
    def load(self, dumped: Any) -> None:
        """Take over a dumped state. Raises ValueError if it belongs to other parameters."""


Accumulator = Vector | Tally
