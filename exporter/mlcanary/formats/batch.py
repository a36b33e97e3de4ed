"""Columns of a batch to rows: what one record says of all its rows, and what it says of each.

Guarantee: a batch whose columns differ in length gives no row at all, because nobody could say which values belong
together. A row that cannot be used is set aside as a reject; the others of its line are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mlcanary.formats.contract import reject_of
from mlcanary.formats.json_path import shown
from mlcanary.formats.payloads import PayloadPlan, answers_of, features_of
from mlcanary.formats.rows import Rejected, Row
from mlcanary.records import Reject

PAYLOAD = "payload"
"""Reason: what a record holds is not what its format says, as parts of a batch that differ in their number of rows."""

NO_PAYLOAD = "no_payload"
"""Reason: the writer left the payload out of the record, mostly because it was too large."""

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
            raise Rejected(PAYLOAD, f"the parts of a batch differ in their number of rows: {sizes}")
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


def call_columns(asked: Any, answered: Any, plan: PayloadPlan, task: str) -> dict[str, list[Any]]:
    """Features and answers of a request and its response, a value per row each; None for a body that is not there.

    Raises Rejected.
    """
    columns: dict[str, list[Any]] = {}
    if asked is not None:
        columns["features"] = features_of(asked, plan)
    if answered is not None:
        answers = answers_of(answered, plan, task=task)
        for key in ("prediction", "score", "scores", "items"):
            values = [getattr(answer, key) for answer in answers]
            if any(value is not None for value in values):
                columns[key] = values
    return columns


def chosen(key: str, found: Any, allowed: tuple[Any, ...]) -> Any:
    """`found`. Raises ValueError if it is none of what is allowed."""
    if found not in allowed:
        raise ValueError(f"{key}: found {shown(found)}; allowed: {', '.join(map(str, allowed))}")
    return found


def payload_plan(mapping: Mapping[str, Any]) -> PayloadPlan:
    """How payloads are read: `feature_names`, `class_names`, `output`. Raises ValueError."""
    return PayloadPlan(
        names_of("feature_names", mapping["feature_names"]) if "feature_names" in mapping else (),
        names_of("class_names", mapping["class_names"]) if "class_names" in mapping else (),
        output=chosen("output", mapping.get("output", "auto"), ("auto", "score", "prediction")),
    )


def names_of(key: str, entry: Any) -> tuple[str, ...]:
    """A list of different names. Raises ValueError."""
    if not isinstance(entry, list) or not entry or not all(isinstance(name, str) and name for name in entry):
        raise ValueError(f"{key}: found {shown(entry)}; allowed: a list of names")
    if len(set(entry)) < len(entry):
        raise ValueError(f"{key}: found a name twice in {entry!r}; allowed: each name once")
    return tuple(entry)


def check_keys(mapping: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Raises ValueError for a key that no mapping of this format has."""
    for key in mapping:
        if key not in allowed:
            raise ValueError(f"{key}: no such key; allowed: {', '.join(allowed)}")
