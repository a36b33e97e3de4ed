"""The contract by which every indicator of the catalogue is held against a reference library.

One `Concern` per module `concern_*.py` in this folder: how to feed its measures, and one `Oracle` per indicator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlcanary.measures.contract import Measure

Values = Mapping[tuple[str, ...], float]
"""Expected values by the own labels of the metric: those after model, version and window. Empty: undefined."""


@dataclass(frozen=True)
class Oracle:
    """What a library says of rows.

    The figure must be equal to `within` (relative, absolute under 1), or, where `bound` names a gauge, lie no farther
    than that gauge says, or, where `lower` and `upper` do, the library's value must lie between the two.
    """

    expected: Callable[[Sequence[Any]], Values]
    within: float = 1e-9
    bound: str = ""
    lower: str = ""
    upper: str = ""


@dataclass(frozen=True)
class Concern:
    """Rows of each stream of `nasty_streams.STREAMS`, a measure to feed with them, and oracles by indicator name."""

    make: Callable[[], Measure]
    rows: Callable[[str], Sequence[Any]]
    take: Callable[[Measure, Sequence[Any]], None]
    oracles: Mapping[str, Oracle] = field(default_factory=dict)


def per_label(values: Mapping[str, float | None]) -> Values:
    """Values by one own label, those that are None left out."""
    return {(name,): value for name, value in values.items() if value is not None}


def plain(value: float | None) -> Values:
    """The value of a metric without own labels, or nothing."""
    return {} if value is None else {(): value}
