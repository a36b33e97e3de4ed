"""Smallest and largest number per name.

Guarantee: exact, and merge is commutative, associative and idempotent, so any processes and slots of time combine in
any order. Input: finite numbers. Cost: O(1) per update, O(names) per merge, two floats per name. Error: none. They
cannot be subtracted: a window merges its slots instead. Source: none needed.
"""

from __future__ import annotations

from typing import Self


class Extremes:
    """Least and greatest number of every name that had one.

    >>> extremes = Extremes()
    >>> extremes.update("a", 1.0, 5.0); extremes.update("a", -2.0, 3.0)
    >>> extremes.merge(Extremes({"a": (0.0, 9.0), "b": (7.0, 7.0)})).of
    {'a': (-2.0, 9.0), 'b': (7.0, 7.0)}
    """

    __slots__ = ("of",)

    def __init__(self, of: dict[str, tuple[float, float]] | None = None) -> None:
        self.of: dict[str, tuple[float, float]] = of if of is not None else {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extremes) and self.of == other.of

    __hash__ = None  # type: ignore[assignment]  # it changes

    def update(self, name: str, least: float, greatest: float) -> None:
        """Take in the extremes of a batch."""
        known = self.of.get(name)
        self.of[name] = (least, greatest) if known is None else (min(known[0], least), max(known[1], greatest))

    def merge(self, other: Self) -> Self:
        """The state that would have seen both inputs."""
        merged = type(self)(dict(self.of))
        for name, (least, greatest) in other.of.items():
            merged.update(name, least, greatest)
        return merged

    def empty(self) -> Self:
        """One that has seen nothing."""
        return type(self)()
