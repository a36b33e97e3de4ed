"""Which columns of a table are no features, or are not what they seem: ids, times, numbers with a text among them.

Columns are those of `mlcanary.tables.read_columns`; each function takes what `present_values` of
`mlcanary.measures.profiling` leaves. Guarantee: what is said of a column follows from its name and its values alone;
times are told from at most 1,000 of them. Pure; linear in the values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

from mlcanary.doctor.paths import is_time, mostly, words_of
from mlcanary.doctor.tables import thousands, time_format

_ENOUGH = 100
"""With fewer values, each may well be another."""
_LOOKED_AT = 1000
_NEARLY_ALL = 0.95
_ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "guid", "key", "index", "row", "unnamed"})
_TIME_WORDS = frozenset({"time", "timestamp", "ts", "date", "day", "at", "epoch", "created", "updated"})


class Mixed(NamedTuple):
    """A column of `present` values, most of them `numbers`; `example` is one that is none."""

    numbers: int
    present: int
    example: str


def why_no_feature(name: str, present: Sequence[Any]) -> str | None:
    """Why a column is no feature by the look of it; None if it may be one.

    >>> why_no_feature("signup", ["2026-11-26"]), why_no_feature("customer", [f"c{i}" for i in range(100)])
    ('times', 'nearly every row has its own')
    """
    if not present:
        return None
    if _are_times(name, present):
        return "times"
    if _tells_rows_apart(present) and (_are_mostly_texts(present) or _are_ids(name, present)):
        return "nearly every row has its own"
    return None


def all_different(present: Sequence[Any]) -> bool:
    """Whether each of many whole numbers or texts is another one: perhaps an id."""
    return _tells_rows_apart(present) and len(set(present)) == len(present)


def mixed(present: Sequence[Any]) -> Mixed | None:
    """What a column holds of which most, but not all, are numbers.

    >>> mixed([43.0, 29.0, "unknown"])
    Mixed(numbers=2, present=3, example='unknown')
    """
    texts = [value for value in present if isinstance(value, str)]
    numbers = sum(map(_is_number, present))
    return Mixed(numbers, len(present), texts[0]) if texts and 2 * numbers > len(present) else None


def thousands_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Columns that hold numbers with commas between thousands, with an example; other numbers may be among them."""
    found = {}
    for name, present in columns.items():
        grouped = [value for value in present if isinstance(value, str) and thousands(value)]
        if grouped and len(grouped) + sum(map(_is_number, present)) >= _NEARLY_ALL * len(present):
            found[name] = grouped[0].strip()
    return found


def maybe_scores(columns: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Columns of fractions in 0..1, as the score of a binary model is."""
    for name, present in columns.items():
        if present and all(_is_number(v) and 0 <= v <= 1 for v in present) and any(0 < v < 1 for v in present):
            yield name


def maybe_labels(columns: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Columns of which every value is 0 or 1, true or false, and both are there."""
    for name, present in columns.items():
        if all(isinstance(v, int | float) and v in (0, 1) for v in present) and len(set(present)) == 2:
            yield name


def _are_times(name: str, present: Sequence[Any]) -> bool:
    some = present[:: math.ceil(len(present) / _LOOKED_AT)]
    if all(isinstance(value, date) for value in some):  # a datetime is a date
        return True
    if all(isinstance(value, str) for value in some):
        return mostly(map(is_time, some)) or time_format(some) is not None
    if not (all(map(_is_number, some)) and mostly(map(is_time, some))):
        return False
    return not _TIME_WORDS.isdisjoint(words_of(name)) or 2 * len(set(some)) > len(some) >= _ENOUGH


def _tells_rows_apart(present: Sequence[Any]) -> bool:
    """Ids, addresses, times; not numbers with fractions."""
    if len(present) < _ENOUGH or not all(isinstance(v, str) or (_is_number(v) and v == int(v)) for v in present):
        return False
    return len(Counter(present)) > _NEARLY_ALL * len(present)


def _are_mostly_texts(present: Sequence[Any]) -> bool:
    return 2 * sum(isinstance(value, str) for value in present) > len(present)


def _are_ids(name: str, present: Sequence[Any]) -> bool:
    """Numbers that are called so, or count the rows; a text among them changes nothing."""
    if not _ID_WORDS.isdisjoint(words_of(name)):
        return True
    numbers = [value for value in present if not isinstance(value, str)]
    return mostly(later == former + 1 for former, later in pairwise(numbers))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
