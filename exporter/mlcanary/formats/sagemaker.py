"""SageMaker Data Capture, and the ground truth of its Model Monitor.

sources:
  - path: /mnt/capture/**/*.jsonl                 # {endpoint}/{variant}/yyyy/mm/dd/hh/
    format: sagemaker
    mapping: {feature_names: [age, plan], output: score}
  - path: /mnt/ground-truth/**/*.jsonl            # yyyy/mm/dd/hh/
    format: sagemaker

Guarantee: one line gives the rows of its call, or the labels of one; ids are `inferenceId`, else `eventId`, and
`<id>/<row>` in a batch. Endpoint and variant of the path are model and version unless `path_pattern` says otherwise.
Bodies are CSV or JSON, also in base64; a CSV body has no names, so `feature_names` gives them. `output`: what an answer
is: `score`, `prediction`, "auto" by its look, or a list of keys where a line of CSV has several columns. Labels have no
time of their own: theirs is the end of the hour of their folder, in which they were collected.
Source: Amazon SageMaker, "Data capture" and "Ingest ground truth labels and merge them with predictions".
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from mlcanary.formats.batch import NO_PAYLOAD, PAYLOAD, Batches, call_columns, check_keys, names_of, payload_plan
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.json_path import decode, shown
from mlcanary.formats.mapped_fields import cell
from mlcanary.formats.mapping import csv_cells
from mlcanary.formats.rows import Rejected, Row
from mlcanary.records import Reject

_CAPTURED = re.compile(r"(?P<model>[^/]+)/(?P<version>[^/]+)/\d{4}/\d\d/\d\d/\d\d/[^/]+$")
_HOUR = re.compile(r"/(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]+$")
_ANSWERS = ("prediction", "score", "latency_ms", "user", "value")
_MOST_ROWS = 100_000


class _Part(msgspec.Struct):
    """A body as it was captured."""

    data: str | None = None
    encoding: str = "CSV"
    observedContentType: str | None = None


class _Captured(msgspec.Struct):
    endpointInput: _Part | None = None
    endpointOutput: _Part | None = None


class _About(msgspec.Struct):
    eventId: str | int | None = None
    inferenceId: str | int | None = None
    inferenceTime: str | None = None


class _Line(msgspec.Struct):
    eventMetadata: _About
    captureData: _Captured | None = None
    groundTruthData: _Part | None = None


class SageMakerFormat:
    """Lines to rows. Raises ValueError for a mapping that cannot be used."""

    reasons: tuple[str, ...] = (PAYLOAD, NO_PAYLOAD)

    def __init__(self, options: FormatOptions) -> None:
        mapping = dict(options.mapping or {})
        check_keys(mapping, ("feature_names", "class_names", "output"))
        self._columns: tuple[str, ...] = ()
        if isinstance(mapping.get("output"), list):
            self._columns = names_of("output", mapping.pop("output"))
            if bad := [name for name in self._columns if name not in _ANSWERS]:
                raise ValueError(f"output: found {shown(bad[0])}; allowed in a list: {', '.join(_ANSWERS)}")
        self._plan = payload_plan(mapping)
        self._options = options
        self._decoder = msgspec.json.Decoder(_Line)
        self._batches = Batches()
        self._place: tuple[str, str | None, str | None] = ("", None, None)

    def rows(self, line: bytes, source: str, now: float) -> Iterator[Row]:
        """See `RowFormat`."""
        found = self._decoder.decode(line)
        about = found.eventMetadata
        row_id = about.inferenceId if about.inferenceId is not None else about.eventId
        if found.captureData is not None:
            yield from self._captured(found.captureData, row_id, about.inferenceTime, source, line)
        elif found.groundTruthData is not None:
            yield from self._labels(found.groundTruthData, row_id, source, now, line)
        else:
            raise Rejected(PAYLOAD, "a line with neither captureData nor groundTruthData")

    def take_dropped(self) -> Iterable[Reject]:
        """See `RowFormat`."""
        return self._batches.take_dropped()

    def dump(self) -> Any:
        """Nothing waits between lines."""
        return None

    def load(self, state: Any) -> None:
        """Nothing waits between lines."""

    def _captured(
        self, captured: _Captured, row_id: str | int | None, ts: str | None, source: str, line: bytes
    ) -> Iterator[Row]:
        asked, answered = _opened(captured.endpointInput), _opened(captured.endpointOutput)
        if asked is None and answered is None:
            raise Rejected(NO_PAYLOAD, "a record without data of the request or the response")
        model, version = self._model_and_version(source)
        shared = {"id": row_id, "ts": ts, "model": model, "version": version}
        columns: dict[str, list[Any]] = {}
        if self._columns and answered is not None:
            columns = self._named_answers(answered)
            answered = None
        task = self._options.task_of(model or self._options.model_of(source))
        columns |= call_columns(asked, answered, self._plan, task)
        yield from self._batches.rows(shared, columns, line)

    def _named_answers(self, answered: Any) -> dict[str, list[Any]]:
        """The columns of an answer in CSV. Raises Rejected."""
        width = len(self._columns)
        if not isinstance(answered, list) or any(not isinstance(row, list) or len(row) != width for row in answered):
            raise Rejected(PAYLOAD, f"an answer that is not made of rows of {width} columns, as `output` says")
        return {name: [row[i] for row in answered] for i, name in enumerate(self._columns)}

    def _labels(self, truth: _Part, row_id: str | int | None, source: str, now: float, line: bytes) -> Iterator[Row]:
        document = _opened(truth)
        if isinstance(document, Mapping):
            raise Rejected("label", "ground truth that is an object: a class, a number or a list of them is meant")
        rows = document if isinstance(document, list) else [document]
        labels = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
        shared = {"kind": "label", "id": row_id, "ts": _collected(source, now)}
        yield from self._batches.rows(shared, {"label": labels}, line)

    def _model_and_version(self, source: str) -> tuple[str | None, str | None]:
        """Endpoint and variant, unless the configuration has a pattern of its own."""
        if self._options.path is not None:
            return None, None
        if self._place[0] != source:
            found = _CAPTURED.search(source)
            self._place = (source, found["model"], found["version"]) if found else (source, None, None)
        return self._place[1:]


def _opened(part: _Part | None) -> Any:
    """The document of a body, None if there is none. Raises Rejected, msgspec.DecodeError, RecursionError."""
    if part is None or part.data is None or not part.data.strip():
        return None
    text, kind = part.data, part.encoding.upper()
    if kind == "BASE64":
        content = (part.observedContentType or "").lower()
        kind = "CSV" if "csv" in content else "JSON" if "json" in content else part.encoding
        try:
            text = b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise Rejected(PAYLOAD, f"a body in base64 of type {content!r:.80} that is no text") from error
    if kind == "CSV":
        return _table(text)
    if kind != "JSON":
        content = part.observedContentType or "unknown"
        raise Rejected(
            PAYLOAD, f"a body in {part.encoding:.40} of type {content:.80}; known: CSV, JSON, also in BASE64"
        )
    lines = text.strip().split("\n")
    return _unwrapped({"instances": [decode(each) for each in lines]} if _is_lines(part) else decode(text))


def _unwrapped(document: Any) -> Any:
    """The rows of SageMaker's own algorithms: each is what an object with the one key `features` holds."""
    rows = document.get("instances") if isinstance(document, dict) else None
    if isinstance(rows, list) and all(isinstance(row, dict) and row.keys() == {"features"} for row in rows):
        return {"instances": [row["features"] for row in rows]}
    return document


def _is_lines(part: _Part) -> bool:
    return "jsonlines" in (part.observedContentType or "").lower()


def _table(text: str) -> list[list[Any]]:
    """Rows of cells. Raises Rejected."""
    lines = text.strip("\r\n").splitlines()
    if len(lines) > _MOST_ROWS:
        raise Rejected(PAYLOAD, f"a batch of {len(lines)} rows; allowed: {_MOST_ROWS}")
    return [[cell(each.strip()) for each in csv_cells(line)] for line in lines]


def _collected(source: str, now: float) -> float:
    """When a label was collected: the end of the hour of its folder, at the latest now.

    >>> _collected("/gt/1970/01/01/05/a.jsonl", 1e9), _collected("/gt/a.jsonl", 1e9)
    (21600.0, 1000000000.0)
    """
    found = _HOUR.search(source)
    if found is None:
        return now
    try:
        hour = datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]  # four numbers
    except ValueError:
        return now
    return min(now, hour.timestamp() + 3600.0)
