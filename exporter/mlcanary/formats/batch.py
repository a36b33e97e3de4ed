"""Columns of a batch to rows: what one record says of all its rows, and what it says of each.

Guarantee: a batch whose columns differ in length gives no row at all, because nobody could say which values belong
together. A row that cannot be used is set aside as a reject; the others of its line are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mlcanary.formats.contract import reject_of
from mlcanary.formats.rows import Rejected, Row
from mlcanary.records import Reject

UNEVEN = "batch"
"""Reason: the parts of a batch do not have the same number of rows."""

_MOST_DROPPED = 10_000


class Batches:
    """Makes the rows of a line, and keeps the rejects of single rows until they are taken."""

    def __init__(self) -> None:
        self._dropped: list[Reject] = []

    def rows(self, shared: Mapping[str, Any], columns: Mapping[str, list[Any]], line: bytes) -> Iterator[Row]:
        """One row per place of `columns`, each with all of `shared`; one row in all where there are no columns.

        A batch of several rows gets the ids `<id>/0`, `<id>/1`, ... where `id` is shared. Raises Rejected.
        """
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            sizes = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
            raise Rejected(UNEVEN, f"the parts of a batch differ in their number of rows: {sizes}")
        count = lengths.pop() if lengths else 1
        shared_id = shared.get("id")
        for i in range(count):
            values = {**shared, **{name: column[i] for name, column in columns.items()}}
            if count > 1 and shared_id is not None and "id" not in columns:
                values["id"] = f"{shared_id}/{i}"
            row = self.row(values, line)
            if row is not None:
                yield row

    def row(self, values: Mapping[str, Any], line: bytes) -> Row | None:
        """The row with these values, None if their types are not those of a row: then it waits in `take_dropped`."""
        try:
            return msgspec.convert({key: value for key, value in values.items() if value is not None}, Row)
        except msgspec.ValidationError as error:
            self.drop(reject_of(error, line))
            return None

    def drop(self, reject: Reject) -> None:
        """Set a reject aside."""
        if len(self._dropped) < _MOST_DROPPED:
            self._dropped.append(reject)

    def take_dropped(self) -> list[Reject]:
        """The rejects since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped
