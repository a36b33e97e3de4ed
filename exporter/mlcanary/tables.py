"""Columns of a CSV, JSON lines or Parquet file, for reference profiles.

Guarantee: every readable row of the file appears in every column, a missing value as None; a broken row is
left out and counted. The file is streamed into columns, not kept as rows. Texts of a CSV that are all true or false are
booleans, as those of JSON and Parquet are. Parquet needs the extra `parquet`.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from mlcanary.errors import ConfigError

Columns = dict[str, list[Any]]
"""Values by column name, all of one length."""

Row = dict[str, Any]
_MISSING_TEXT = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTH = {"true": True, "false": False}
_DELIMITERS = ",;\t|"
_FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")


def read_columns(path: Path, progress: Callable[[int], None] = lambda _rows: None) -> tuple[Columns, int]:
    """Columns by name, and the number of broken rows. `progress` is called now and then with the rows read so far.

    JSON lines may be plain objects or native prediction records, whose `features` are then the columns beside
    `score`, `prediction` and `label`. Parquet gives times as `datetime`, decimals as floats. Raises ConfigError for
    what cannot be read.
    """
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            return _parquet(path), 0
        if name.endswith((".csv", ".csv.gz")):
            columns, broken = _gather(_csv_rows(path), progress)
            return {name: _truth(column) for name, column in columns.items()}, broken
        if name.endswith((".jsonl", ".jsonl.gz", ".ndjson")):
            return _gather(_json_rows(path), progress)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}", hint="check the path") from error
    raise ConfigError(f"{path}: found {path.suffix or 'no suffix'}; allowed: {', '.join(_FORMATS)}")


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")


def _csv_rows(path: Path) -> Iterator[Row | None]:
    """Rows of a CSV; a cell is a number where it reads as one, None where it is empty or says so.

    Cells are parted by what stands most often in the first line: a comma, a semicolon, a tab or a bar.
    """
    with _open(path) as handle:
        head = handle.readline()
        handle.seek(0)
        reader = csv.DictReader(handle, delimiter=max(_DELIMITERS, key=head.count))
        for row in reader:
            whole = None not in row and None not in row.values()  # as many cells as the header
            yield {name: _cell(text) for name, text in row.items()} if whole else None


def _cell(text: str) -> Any:
    if text.strip().lower() in _MISSING_TEXT:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _truth(column: list[Any]) -> list[Any]:
    """Booleans where the column holds only true and false, in any case, as pandas, R and databases write them."""
    found: list[bool | None] = []
    for cell in column:  # most columns end it at their first value
        truth = _TRUTH.get(cell.strip().lower()) if isinstance(cell, str) else None
        if truth is None and cell is not None:
            return column
        found.append(truth)
    return column if all(truth is None for truth in found) else found


def _json_rows(path: Path) -> Iterator[Row | None]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with _open(path) as handle:
        for line in handle:
            if not line.strip():
                continue
            try:
                row = decode(line)
            except msgspec.MsgspecError:
                yield None
                continue
            if row.get("kind", "prediction") != "prediction":
                continue
            features = row.get("features")
            if isinstance(features, dict):
                row = {**features, **{k: row[k] for k in ("score", "prediction", "label") if k in row}}
            yield row


def _gather(rows: Iterator[Row | None], progress: Callable[[int], None]) -> tuple[Columns, int]:
    columns: Columns = {}
    count = broken = 0
    for row in rows:
        if row is None:
            broken += 1
            continue
        count += 1
        for name in row:
            if name not in columns:
                columns[name] = [None] * (count - 1)
        for name, column in columns.items():
            column.append(row.get(name))
        if count % 10_000 == 0:
            progress(count)
    progress(count)
    return columns, broken


def _parquet(path: Path) -> Columns:
    try:
        from pyarrow import ArrowInvalid, parquet, timestamp, types  # noqa: PLC0415 - optional and heavy
    except ImportError as error:
        raise ConfigError(f"{path}: Parquet needs pyarrow", hint="pip install 'mlcanary[parquet]'") from error
    try:
        table = parquet.read_table(path)
    except ArrowInvalid as error:
        raise ConfigError(f"{path}: not a Parquet file: {error}") from error
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if types.is_timestamp(column.type):  # Python has no nanoseconds, and perhaps no such time zone
            column = column.cast(timestamp("us"), safe=False)
        elif types.is_decimal(column.type):
            column = column.cast("float64")
        columns[name] = column.to_pylist()
    return columns
