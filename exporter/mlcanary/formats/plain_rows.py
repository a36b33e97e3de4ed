"""Plain lines of a block as arrays and numbers of names: what both ways of decoding give, and columns are made of.

Guarantee: both ways give the same for the same lines, in whatever order. A value that a column cannot hold is told by
`wrong` or by a code ODD; such a line becomes a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE, Classes, Codes, Floats, Mask, Users, take_list
from mlcanary.formats.layout import LaidOut
from mlcanary.formats.rows import LONGEST_NAME, user_hashes
from mlcanary.records import canonical_class

ODD = -2
"""Code of a value that a column cannot hold."""

_CACHE = 10_000

Places = NDArray[np.intp]


class Named(NamedTuple):
    """A column of few different values: which these are, and the place of the value of each row among them."""

    values: Sequence[Any]
    place: NDArray[np.intp]

    @classmethod
    def of(cls, column: Sequence[Any]) -> Named:
        """Of a value per row.

        >>> Named.of(["a", None, "a"]).values, Named.of(["a", None, "a"]).place.tolist()
        (['a', None], [0, 1, 0])
        """
        place = {value: i for i, value in enumerate(dict.fromkeys(column))}
        return cls(list(place), np.fromiter(map(place.__getitem__, column), dtype=np.intp, count=len(column)))


class UserColumn(Protocol):
    """Who asked, row by row."""

    def hashes(self, rows: Places | None, salt: bytes) -> tuple[Users, Mask]:
        """Hashes of the users of these rows, or of all; 0 where there is none, and where there is one."""


class ListedUsers(NamedTuple):
    """Users as they were decoded."""

    users: Sequence[Any]

    def hashes(self, rows: Places | None, salt: bytes) -> tuple[Users, Mask]:
        """See `UserColumn`."""
        count = len(self.users) if rows is None else len(rows)
        if self.users.count(None) == len(self.users):
            return np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=bool)
        return user_hashes(take_list(self.users, rows), salt)


class PlainPredictions(NamedTuple):
    """Predictions, n rows. `lines`: where each line is, in the terms of who decoded it.

    `when`: as the line has it, NaN where it has no time; in seconds or in another unit that its size tells. `keys`: of
    (model, version), None where the line does not name it. `score`, `latency_ms`, `queue_ms`: NaN where missing.
    `label`: None if no line has one. `features`: in columns, or of each row as they stand in its line.
    """

    lines: Places
    wrong: Mask
    when: Floats
    ids: Sequence[str | None]
    keys: Named
    predicted: Codes
    label: Codes | None
    score: Floats
    latency_ms: Floats
    queue_ms: Floats
    users: UserColumn
    features: LaidOut | Sequence[Any]


class PlainLabels(NamedTuple):
    """Labels, n rows, in the terms of `PlainPredictions`. `codes`: NONE where there is no label."""

    lines: Places
    wrong: Mask
    when: Floats
    ids: Sequence[str]
    models: Named
    codes: Codes


class ClassCodes:
    """Codes of classes by their value in JSON: 1, 1.0 and true are one class."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self._known: dict[Any, int] = {None: NONE}

    def of(self, values: Sequence[Any]) -> Codes:
        """One code per value, NONE for None, ODD for what a column cannot hold."""
        try:
            return np.fromiter(map(self._known.__getitem__, values), dtype=np.int32, count=len(values))
        except KeyError:
            return np.fromiter(map(self.code, values), dtype=np.int32, count=len(values))

    def code(self, value: Any) -> int:
        """The code of one value."""
        found = self._known.get(value)
        if found is not None:
            return found
        name = canonical_class(value)
        code = None if name is None or len(name) > LONGEST_NAME else self.classes.code(name)
        found = ODD if code is None else code
        if len(self._known) < _CACHE:
            self._known[value] = found
        return found
