"""BentoML's monitor files: flat data lines, whose columns get their roles from the schema lines beside them.

sources:
  - path: /logs/monitoring/*/*/*.log            # <monitor>/data/data.N.log and <monitor>/schema/schema.N.log
    format: bentoml
    mapping: {timezone: Europe/Berlin}          # where the server's clock is not UTC: its times name no zone

Guarantee: both kinds of lines may come in any order. A schema line is told by its keys and kept for its monitor, in the
checkpoint too; data lines that come before their schema wait, at most `_MOST_LINES` of them, and what is given up is
counted as `no_schema`. Two monitors of one worker write into one file (BentoML sets one logger for all): a line whose
columns are not those of its folder's schema is read by the schema that has them.
The rows of one call share its request_id. The first has it as its id, the next ones `<id>/1`, `<id>/2`, ...: whether a
second row follows cannot be known when the first is read. With `batch: true` the first is `<id>/0`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import msgspec

from mlcanary.catalog import Task
from mlcanary.formats.batch import Batches, check_keys, chosen
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.json_path import decode, shown
from mlcanary.formats.mapped_fields import FIELDS, time_zone, zoned
from mlcanary.formats.rows import Rejected, Row
from mlcanary.records import Reject

NO_SCHEMA = "no_schema"

_ROLES = {"target": "label"}
_MOST_LINES, _MOST_BYTES = 1000, 1 << 20
_MOST_SCHEMAS = 64
_MOST_REQUESTS = 256
_MOST_CHOSEN = 256
_MOST_COLUMNS = 10_000
_UNVERSIONED = ("", "None", "not available")


class Schema(msgspec.Struct, frozen=True):
    """What the columns of a monitor are: column to a key of a row, `feature`, or "" for what is of no use."""

    monitor: str
    version: str | None
    roles: dict[str, str]

    def fits(self, keys: Set[str]) -> bool:
        """True if a line with these keys has every column."""
        return self.roles.keys() <= keys

    def holds(self, keys: Set[str]) -> bool:
        """True if a line with these keys has no column but some of these: a call may leave one out."""
        return keys <= self.roles.keys()


class BentoMLFormat:
    """Lines to rows. Raises ValueError for a mapping that cannot be used.

    `mapping`: `timezone` of the server; `output`: what a single numerical prediction is, `score` or `prediction`;
    "auto": the score of a binary model, the prediction of another; `batch`; `columns`, column to role, where no schema
    is at hand or it says too little. A role is feature, prediction, target, or any key of a native line, also in the
    schema that BentoML writes.
    """

    reasons: tuple[str, ...] = (NO_SCHEMA,)

    def __init__(self, options: FormatOptions) -> None:
        mapping = options.mapping or {}
        check_keys(mapping, ("timezone", "output", "batch", "columns"))
        self._zone = time_zone(mapping.get("timezone"))
        self._output = chosen("output", mapping.get("output", "auto"), ("auto", "score", "prediction"))
        self._options = options
        self._from_zero = bool(chosen("batch", mapping.get("batch", False), (True, False)))
        self._fixed = _configured(mapping["columns"]) if "columns" in mapping else None
        self._schemas: OrderedDict[tuple[str, tuple[str, ...]], Schema] = OrderedDict()
        self._chosen: dict[tuple[str, tuple[str, ...]], Schema] = {}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._waiting_bytes = 0
        self._requests: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._batches = Batches()

    def rows(self, line: bytes, source: str, now: float) -> Iterator[Row]:
        """See `RowFormat`. A schema line gives the rows that waited for it."""
        found = decode(line)
        if not isinstance(found, dict):
            raise Rejected("type", "a line of a BentoML monitor is an object")
        if isinstance(found.get("columns"), list) and "meta_data" in found:
            self._learn(found, source)
            yield from self._rows_that_waited()
            return
        schema = self._schema_of(found, source)
        if schema is None:
            self._wait(source, line)
            return
        row = self._batches.row(self._values(found, schema, source), line)
        if row is not None:
            yield row

    def take_dropped(self) -> Iterable[Reject]:
        """Lines whose schema never came, and rows that could not be used."""
        return self._batches.take_dropped()

    def dump(self) -> Any:
        """Schemas, waiting lines and the requests whose rows may go on."""
        return {
            "schemas": [msgspec.to_builtins(schema) for schema in self._schemas.values()],
            "waiting": [[source, line] for source, line in self._waiting],
            "requests": [[source, request, rows] for (source, request), rows in self._requests.items()],
        }

    def load(self, state: Any) -> None:
        """Take over what `dump` gave."""
        try:
            saved = msgspec.convert(state, _Saved)
        except msgspec.ValidationError:
            return
        for schema in saved.schemas:
            self._keep(schema)
        for source, line in saved.waiting:
            self._wait(source, line)
        for source, request, rows in saved.requests:
            self._requests[source, request] = rows

    def _learn(self, line: Mapping[str, Any], source: str) -> None:
        columns: dict[str, str] = {}
        described = line["columns"]
        if len(described) > _MOST_COLUMNS:
            raise Rejected("type", f"a schema of {len(described)} columns; allowed: {_MOST_COLUMNS}")
        answers = [c for c in described if isinstance(c, dict) and c.get("role") == "prediction"]
        binary = self._options.task_of(self._options.model_of(source)) is Task.BINARY
        number_is = self._output if self._output != "auto" else "score" if binary or len(answers) > 1 else "prediction"
        for column in described:
            if not isinstance(column, dict) or not isinstance(column.get("name"), str):
                raise Rejected("type", "a column of a schema needs a name")
            columns[column["name"]] = _role_of(column, number_is)
        meta = line["meta_data"]
        version = meta.get("bento_version") if isinstance(meta, dict) else None
        known = isinstance(version, str) and version not in _UNVERSIONED
        self._keep(Schema(_monitor(source), version if known else None, columns))

    def _keep(self, schema: Schema) -> None:
        key = (schema.monitor, tuple(sorted(schema.roles)))
        self._schemas.pop(key, None)
        self._schemas[key] = schema
        self._chosen.clear()
        while len(self._schemas) > _MOST_SCHEMAS:
            self._schemas.popitem(last=False)

    def _schema_of(self, line: Mapping[str, Any], source: str) -> Schema | None:
        known = (source, tuple(line))
        if known in self._chosen:
            return self._chosen[known]
        schema = self._choose(_monitor(source), line.keys() - {"timestamp", "request_id", "trace_id"})
        if schema is not None:
            if len(self._chosen) >= _MOST_CHOSEN:
                self._chosen.clear()
            self._chosen[known] = schema
        return schema

    def _choose(self, monitor: str, keys: Set[str]) -> Schema | None:
        """The newest schema of the own monitor that fits, else that of another one.

        Without any of its own a line waits: the same columns under another folder may be those of another version.
        """
        newest_first = list(reversed(self._schemas.values()))
        own = [schema for schema in newest_first if schema.monitor == monitor]
        if self._fixed is not None:
            return Schema(monitor, own[0].version if own else None, self._fixed)
        if not own:
            return None
        fitting = (schema for schema in (*own, *newest_first) if schema.fits(keys))
        return next(fitting, None) or next((schema for schema in own if schema.holds(keys)), None)

    def _values(self, line: Mapping[str, Any], schema: Schema, source: str) -> dict[str, Any]:
        features: dict[str, Any] = {}
        values: dict[str, Any] = {"features": features, "version": schema.version}
        for name, role in schema.roles.items():
            if role == "feature":
                features[name] = line.get(name)
            elif role and line.get(name) is not None:
                values[role] = line[name]
        if isinstance(values.get("scores"), list):
            set_probabilities(values, values.pop("scores"))
        values.setdefault("ts", zoned(line.get("timestamp"), self._zone))
        if "id" not in values and line.get("request_id") is not None:
            values["id"] = self._numbered(str(line["request_id"]), source)
        return values

    def _numbered(self, request: str, source: str) -> str:
        row = self._requests.pop((source, request), 0)
        self._requests[source, request] = row + 1
        while len(self._requests) > _MOST_REQUESTS:
            self._requests.popitem(last=False)
        return request if row == 0 and not self._from_zero else f"{request}/{row}"

    def _wait(self, source: str, line: bytes) -> None:
        self._waiting.append((source, line))
        self._waiting_bytes += len(line)
        while len(self._waiting) > _MOST_LINES or self._waiting_bytes > _MOST_BYTES:
            _, dropped = self._waiting.popleft()
            self._waiting_bytes -= len(dropped)
            detail = "no schema line came that has the columns of this line; does `path` cover the schema folder?"
            self._batches.drop(Reject(NO_SCHEMA, detail, dropped[:160].decode("utf-8", "replace")))

    def _rows_that_waited(self) -> Iterator[Row]:
        waited, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        for source, line in waited:
            yield from self.rows(line, source, 0.0)


class _Saved(msgspec.Struct):
    schemas: list[Schema] = []
    waiting: list[tuple[str, bytes]] = []
    requests: list[tuple[str, str, int]] = []


def _role_of(column: Mapping[str, Any], number_is: str) -> str:
    """The key of a row that a column stands for."""
    role = str(column.get("role"))
    if role != "prediction":
        return role_key(role)
    return {"numerical_sequence": "scores", "numerical": number_is}.get(str(column.get("type")), "prediction")


def role_key(role: str) -> str:
    """The key of a row that a role stands for, "" for one of no use."""
    role = _ROLES.get(role, role)
    return role if role == "feature" or role in FIELDS else ""


def set_probabilities(values: dict[str, Any], found: list[Any]) -> None:
    """A list of class probabilities as `score`, the last of two, or as `scores` of the classes 0, 1, 2, ...

    >>> values = {}; set_probabilities(values, [0.3, 0.7]); values
    {'score': 0.7}
    """
    if len(found) <= 2:
        values["score"] = found[-1] if found else None
    else:
        values["scores"] = {str(i): probability for i, probability in enumerate(found)}


def _configured(columns: Any) -> dict[str, str]:
    if not isinstance(columns, Mapping) or not columns:
        raise ValueError(f"columns: found {shown(columns)}; allowed: an object of column to role")
    for name, role in columns.items():
        if not role_key(str(role)):
            allowed = ", ".join(("feature", "target", *FIELDS))
            raise ValueError(f"columns.{name}: found {shown(role)}; allowed: {allowed}")
    return {str(name): role_key(str(role)) for name, role in columns.items()}


def _monitor(source: str) -> str:
    """The folder of a monitor.

    >>> _monitor("/logs/churn/data/data.0.log"), _monitor("/logs/churn/schema/schema.0.log")
    ('/logs/churn', '/logs/churn')
    """
    return source.rsplit("/", 2)[0]
