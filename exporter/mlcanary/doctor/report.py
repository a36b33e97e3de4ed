"""A diagnosis as text for a terminal, or as JSON. Pure.

Whatever a log holds is shown without control characters: a terminal must not obey a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from mlcanary.doctor.diagnosis import Diagnosis, Part
from mlcanary.doctor.findings import Finding, Level, span
from mlcanary.doctor.reading import Seen
from mlcanary.records import Label, Prediction

_SHOWN = 6
_LONGEST = 24
_NOTHING = "–"
_COLUMNS = ("id", "time", "age", "model", "version", "features", "prediction", "score", "latency", "label")
_TITLES = {
    Level.IMPOSSIBLE: "Without this there are no figures",
    Level.MISSING: "Missing",
    Level.TRAP: "Traps",
    Level.NOTE: "Good to know",
}


def as_text(diagnosis: Diagnosis) -> str:
    """The report, section by section."""
    lines: list[str] = []
    for part in diagnosis.parts:
        lines += _part(part)
    seen = [each for reading in diagnosis.readings for each in _shown(reading.seen)]
    if seen:
        lines += ["", "The first records, as understood:", *_table(_COLUMNS, [_cells(s, diagnosis.now) for s in seen])]
        told = [each for each in diagnosis.coverage if each.rows]
        lines += ["", "Coverage:"]
        lines += [
            f"  {each.having / each.rows:>6.1%}  {each.field} ({each.having:,} of {each.rows:,})" for each in told
        ]
    lines += _rejects(diagnosis)
    for level, title in _TITLES.items():
        found = [each for each in diagnosis.findings if each.level is level]
        lines += ["", f"{title}:", *(line for each in found for line in _finding(each))] if found else []
    if diagnosis.yaml:
        lines += ["", "Configuration to paste (mlcanary exporter --config.file mlcanary.yml):", "", diagnosis.yaml]
    return "\n".join(map(clean, lines)).rstrip("\n") + "\n"


def as_json(diagnosis: Diagnosis) -> str:
    """The same as a document for programs."""
    document = {
        "exit_code": diagnosis.exit_code,
        "sources": [_part_document(part) for part in diagnosis.parts],
        "records": [
            dict(zip(_COLUMNS, _cells(each, diagnosis.now), strict=True))
            for reading in diagnosis.readings
            for each in _shown(reading.seen)
        ],
        "coverage": {each.field: {"having": each.having, "of": each.rows} for each in diagnosis.coverage},
        "findings": [
            {"level": f.level, "key": f.key, "what": f.what, "costs": f.costs, "remedy": f.remedy}
            for f in diagnosis.findings
        ],
        "configuration": diagnosis.yaml,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def clean(text: str) -> str:
    """Printable text: what a terminal would obey becomes a question mark.

    >>> clean("a\\x1b[31mb"), clean("a\\nb")
    ('a?[31mb', 'a\\nb')
    """
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _part(part: Part) -> Iterator[str]:
    sample = part.sample
    size = sum(log.size or 0 for log in sample.logs)
    read = f"{sample.lines:,} lines read" + ("" if all(log.complete for log in sample.logs) else " from the beginning")
    files = "standard input" if sample.stdin else f"{sample.files:,} file(s), {size:,} bytes in those read"
    yield f"{sample.pattern}: {files}; {read}"
    if sample.rotated:
        yield f"  rotated files among them: {sample.rotated} (each is followed to its end, none is read twice)"
    if sample.left_out:
        yield f"  left out: {', '.join(f'{n} {ending}' for ending, n in sample.left_out.most_common())}"
    if part.chosen is None:
        yield "  format: not recognised"
        return
    yield f"  format: {part.chosen.name} ({part.chosen.reason}); task: {part.chosen.reading.task.value}"
    yield from (f"  or:     {each.name} ({each.reason})" for each in part.others)


def _shown(seen: Sequence[Seen]) -> list[Seen]:
    """The first predictions, and the first labels."""
    predictions = [each for each in seen if isinstance(each.record, Prediction)][:_SHOWN]
    return [*predictions, *[each for each in seen if isinstance(each.record, Label)][: _SHOWN // 3]]


def _cells(seen: Seen, now: float) -> tuple[str, ...]:
    record = seen.record
    raw = seen.row.ts if seen.row.ts is not None else seen.row.timestamp
    told = _NOTHING if raw is None else _when(record.ts, raw)
    age = _NOTHING if raw is None else span(now - record.ts)
    cells: tuple[str | None, ...]
    if isinstance(record, Label):
        label = record.label if record.event is None else f"{record.event} {record.value or ''}".strip()
        cells = (record.id, told, age, record.model, "", "", "", "", "", label)
    else:
        answer = record.predicted if record.items is None else f"{len(record.items)} items"
        score = record.score if record.score is not None else max(record.scores.values()) if record.scores else None
        latency = None if record.latency is None else f"{record.latency * 1000:.1f} ms"
        features = str(len(record.features))
        shown = None if score is None else f"{score:.4f}"
        error = f"status {record.error}" if record.error is not None else answer
        cells = (record.id, told, age, record.key.model, seen.version, features, error, shown, latency, record.label)
    return tuple(_short(cell) for cell in cells)


def _when(ts: float, raw: object) -> str:
    try:
        when = datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(raw)
    naive = isinstance(raw, str) and datetime.fromisoformat(raw).tzinfo is None
    return when + (" no zone" if naive else "Z")


def _short(cell: str | None) -> str:
    if cell is None:
        return _NOTHING
    return cell if len(cell) <= _LONGEST else cell[: _LONGEST - 1] + "…"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = [headings, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    for row in table:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rejects(diagnosis: Diagnosis) -> Iterator[str]:
    if not any(reading.rejects for reading in diagnosis.readings):
        return
    yield ""
    yield "Rejected:"
    for reading in diagnosis.readings:
        for reason, count in reading.rejects.most_common():
            example = reading.examples[reason][0]
            yield f"  {count:>6,}  {reason}: {example.detail[:160]}"
            yield f"          {example.excerpt[:120]}"


def _finding(found: Finding) -> Iterator[str]:
    yield f"  {found.key}: {found.what}" + (f" -> {found.costs}" if found.costs else "")
    if found.remedy:
        yield f"      do: {found.remedy}"


def _part_document(part: Part) -> dict[str, Any]:
    sample = part.sample
    return {
        "path": sample.pattern,
        "files": sample.files,
        "rotated": sample.rotated,
        "left_out": dict(sample.left_out),
        "lines": sample.lines,
        "format": part.chosen.name if part.chosen else None,
        "candidates": [
            {
                "format": each.name,
                "understood": each.reading.understood,
                "evidence": each.evidence,
                "reason": each.reason,
                "predictions": len(each.reading.predictions),
                "labels": len(each.reading.labels),
                "waiting": each.reading.waiting,
                "task": each.reading.task.value,
                "rejects": dict(each.reading.rejects),
            }
            for each in part.candidates
        ],
    }
