"""Rows and rejects of lines in a format, without what comes after."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mlcanary.catalog import Task
from mlcanary.formats.contract import FormatOptions, RowFormat
from mlcanary.formats.registry import ROW_FORMATS, make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Record, Reject

NOW = 1_793_600_000.0


def row_format(name: str, **options: Any) -> RowFormat:
    """The format under test."""
    return ROW_FORMATS[name](FormatOptions(name, **options))


def decoded(
    name: str, lines: Iterable[object], source: str = "/log", *, task: Task = Task.BINARY, **options: Any
) -> tuple[list[Record], list[Reject]]:
    """Records and rejects of lines: objects, or bytes as they are."""
    reader = make_format(FormatOptions(name, **options), lambda _model: ModelPlan(task=task))
    found = reader.decode_block(block(lines), NOW, source)
    return found.records, found.rejects


def block(lines: Iterable[object]) -> bytes:
    """Lines as a source gives them."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
