"""Any JSON or CSV line as rows, by the `mapping:` of its source.

mapping:
  id: request.id                                # a path; or a list of paths, of which the first with a value counts
  ts: {path: meta.time, unit: ms}               # s, ms, us, ns; without it RFC 3339, or a number told by its size
  version: {const: v2}                          # a constant
  features: request.rows[*]                     # an object; or a list, with feature_names; `[*]`: one for each row
  score: response.scores[*]
# request: body.in                              # or bodies of a known shape, see `payloads`, with feature_names,
# response: body.out                            # class_names and output beside them

Guarantee: one line gives the rows of its batch or rejects; without `kind`, a line with an `id` and what came true, but
without anything of a prediction, is a label; see `json_path` for paths and `batch` for batches. Options
that cannot be used are told when the format is made, by the key and what is allowed there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlcanary.formats.batch import (
    NO_PAYLOAD,
    PAYLOAD,
    Batches,
    call_columns,
    check_keys,
    names_of,
    payload_plan,
)
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.json_path import Document, JsonPath, decode, shown
from mlcanary.formats.mapped_fields import FIELDS, MappedField, cell, compile_field, pointed, time_zone
from mlcanary.formats.rows import Rejected, Row
from mlcanary.formats.shipped_mappings import SHIPPED
from mlcanary.records import Reject

_PAYLOADS = ("request", "response")
_OTHER = (
    *("features", "feature_names", "class_names", "output", "timezone", "csv", "delimiter", "decimal", "left_out"),
    *_PAYLOADS,
)
_OK = "200"
_OUTCOME, _ANSWER = frozenset({"label", "event"}), frozenset({"score", "prediction", "scores", "items"})


class MappingFormat:
    """Lines to rows by a mapping. Raises ValueError for one that cannot be used."""

    reasons: tuple[str, ...] = (PAYLOAD, NO_PAYLOAD)

    def __init__(self, options: FormatOptions) -> None:
        mapping = {**SHIPPED.get(options.name, {}), **(options.mapping or {})}
        check_keys(mapping, (*FIELDS, *_OTHER))
        zone = time_zone(mapping.get("timezone", "UTC"))
        self._columns = names_of("csv", mapping["csv"]) if "csv" in mapping else None
        self._delimiter = _delimiter(mapping.get("delimiter", ","), self._columns)
        comma = _decimal_comma(mapping.get("decimal", "."), self._columns)
        self._fields = {
            key: compile_field(key, mapping[key], zone, self._columns, comma=comma) for key in FIELDS if key in mapping
        }
        self._features = _Features(mapping, self._columns, comma=comma)
        self._bodies = {key: compile_field(key, mapping[key], None) for key in _PAYLOADS if key in mapping}
        self._plan = payload_plan(mapping)
        self._options = options
        self._left_out = compile_field("left_out", mapping["left_out"], None) if "left_out" in mapping else None
        if not self._fields and not self._features.given and not self._bodies:
            raise ValueError(f"mapping: found nothing to read; allowed: {', '.join((*FIELDS, *_OTHER))}")
        self._batches = Batches()

    def rows(self, line: bytes, source: str, now: float) -> Iterable[Row]:
        """See `RowFormat`."""
        document = self._document(line)
        if document is None:
            return
        shared: dict[str, Any] = {}
        columns: dict[str, list[Any]] = {}
        status, _ = self._fields["status"].find(document) if "status" in self._fields else (None, False)
        failed = status is not None and str(status) != _OK
        if self._bodies and not failed:  # the body of a failed request tells of the failure
            columns = self._read_bodies(document, source)
        for key, field in self._fields.items():
            value, starred = field.find(document)
            if value is not None:
                (columns if starred else shared)[key] = value
        features, starred = self._features.find(document)
        if features is not None:
            (columns if starred else shared)["features"] = features
        if not failed:
            self._check_payload(document, shared, columns)
            if "kind" not in self._fields and _is_outcome({**shared, **columns}):
                shared["kind"] = "label"
        yield from self._batches.rows(shared, columns, line)

    def take_dropped(self) -> Iterable[Reject]:
        """See `RowFormat`."""
        return self._batches.take_dropped()

    def dump(self) -> Any:
        """Nothing waits between lines."""
        return None

    def load(self, state: Any) -> None:
        """Nothing waits between lines."""

    def _document(self, line: bytes) -> Document | None:
        """The line as a document; None for the line with the names of the columns."""
        if self._columns is None:
            return Document(decode(line))
        cells = csv_cells(line.decode(), self._delimiter)
        if _are_names(cells, self._columns):
            return None
        if len(cells) != len(self._columns):
            raise Rejected("type", f"found {len(cells)} cells, the mapping names {len(self._columns)} columns")
        return Document(dict(zip(self._columns, cells, strict=True)))

    def _read_bodies(self, document: Document, source: str) -> dict[str, list[Any]]:
        """The columns of request and response. Raises Rejected."""
        bodies = {key: document.opened(field.find(document)[0]) for key, field in self._bodies.items()}
        model = self._fields["model"].find(document)[0] if "model" in self._fields else None
        task = self._options.task_of(model if isinstance(model, str) else self._options.model_of(source))
        return call_columns(bodies.get("request"), bodies.get("response"), self._plan, task)

    def _check_payload(self, document: Document, shared: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        if self._left_out is None or (shared.keys() | columns.keys()) & {"features", "score", "prediction", "scores"}:
            return
        why, _ = self._left_out.find(document)
        if why:
            raise Rejected(NO_PAYLOAD, f"the record came without its payload: {str(why)[:100]}")


class _Features:
    """The `features` of a mapping: an object, a list with names, or a path for each feature."""

    def __init__(self, mapping: Mapping[str, Any], columns: tuple[str, ...] | None, *, comma: bool) -> None:
        entry = mapping.get("features")
        self.given = entry is not None
        self._names = names_of("feature_names", mapping["feature_names"]) if "feature_names" in mapping else None
        self._cells = columns is not None
        self._comma = comma
        self._each: dict[str, MappedField] = {}
        self._paths: tuple[JsonPath, ...] = ()
        if isinstance(entry, Mapping):
            self._each = {str(name): compile_field("features", path, None, columns) for name, path in entry.items()}
        elif isinstance(entry, list) and columns is not None:
            self._each = {name: compile_field("features", name, None, columns) for name in names_of("features", entry)}
        elif entry is not None:
            self._paths = compile_field("features", entry, None, columns).paths

    def find(self, document: Document) -> tuple[Any, bool]:
        """The features, and whether they are a list with one object per row."""
        for path in self._paths:
            found = path.find(document)
            found = document.opened(found)
            if found is not None:
                return ([named(each, self._names) for each in found] if path.starred else named(found, self._names)), (
                    path.starred
                )
        if not self._each:
            return None, False
        values = {name: field.find(document) for name, field in self._each.items()}
        if self._cells:
            texts = ((name, pointed(value) if self._comma else value) for name, (value, _) in values.items())
            return {name: cell(text) for name, text in texts}, False
        starred = {name: column for name, (column, is_column) in values.items() if is_column}
        if not starred:
            return {name: value for name, (value, _) in values.items()}, False
        count = {len(column) for column in starred.values()}
        if len(count) > 1:
            raise Rejected(PAYLOAD, f"features of a batch differ in their number of rows: {sorted(count)}")
        rows = range(count.pop())
        return [{n: starred[n][i] if n in starred else value for n, (value, _) in values.items()} for i in rows], True


def _is_outcome(values: Mapping[str, Any]) -> bool:
    """Whether a line without a `kind` tells what came true, and nothing of what a model said.

    >>> _is_outcome({"id": "r-1", "label": 1}), _is_outcome({"id": "r-1", "label": 1, "score": 0.7})
    (True, False)
    """
    features = values.get("features")
    seen = any(value is not None for value in features.values()) if isinstance(features, dict) else bool(features)
    return "id" in values and not seen and bool(values.keys() & _OUTCOME) and not values.keys() & _ANSWER


def named(values: Any, names: tuple[str, ...] | None) -> Any:
    """An object as it is; a list with `names`, else as f0, f1, ...; one number as f0. Raises Rejected.

    >>> named([41, "a"], ("age", "plan")), named([41, "a"], None), named({"age": 41}, None), named(41, None)
    ({'age': 41, 'plan': 'a'}, {'f0': 41, 'f1': 'a'}, {'age': 41}, {'f0': 41})
    """
    if values is None or isinstance(values, dict):
        return values
    listed = values if isinstance(values, list) else [values]
    if names is None:
        return {f"f{i}": value for i, value in enumerate(listed)}
    if len(listed) != len(names):
        raise Rejected("type", f"found {len(listed)} features, feature_names has {len(names)}")
    return dict(zip(names, listed, strict=True))


def csv_cells(text: str, delimiter: str = ",") -> list[str]:
    """The cells of one line. Raises Rejected."""
    try:
        return next(csv.reader([text.rstrip("\r")], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise Rejected("type", f"no line of CSV: {error}") from error


def _are_names(cells: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a line names the columns; the first, an index, may be without a name there."""
    return tuple(cells[1:]) == tuple(columns[1:]) and cells[:1] in ([columns[0]], [""])


def _delimiter(entry: Any, columns: tuple[str, ...] | None) -> str:
    if not isinstance(entry, str) or len(entry) != 1 or entry in '"\r\n' or (entry != "," and columns is None):
        raise ValueError(f"delimiter: found {shown(entry)}; allowed: one character, together with `csv`")
    return entry


def _decimal_comma(entry: Any, columns: tuple[str, ...] | None) -> bool:
    """Whether numbers of the cells have a comma where others have a point."""
    if entry not in (".", ",") or (entry == "," and columns is None):
        raise ValueError(f"decimal: found {shown(entry)}; allowed: '.', or ',' together with `csv`")
    return bool(entry == ",")
