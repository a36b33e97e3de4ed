"""Logs that no server should write: what a line costs is bounded, what is cut is counted, and the page shows it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter_process import Counters, parsed, total
from mlcanary.engine import Engine
from mlcanary.exposition.landing import render_landing
from mlcanary.exposition.page import Page
from mlcanary.formats.profile import write_profile
from mlcanary.settings import Flags, load_settings
from monitored_traffic import reference
from work import calls

NOW = 1_760_000_000.0
ROWS = 4000
MIB = 1 << 20
CONFIGURATION = """
models:
  - {name: m, reference: p.json, segments: [plan], maturity: 1h, roles: {v1: baseline, v2: canary}}
limits: {versions: 5, models: 3}
labels: {capacity: 5000}
"""

Lines = Iterator[bytes]


@dataclass(frozen=True)
class Read:
    """What a log came to: functions called for reading it, peak of memory in bytes, the page and its counters."""

    calls: int
    peak: int
    page: Page
    counters: Counters

    def of(self, name: str, **labels: str) -> float:
        """A figure of the page."""
        return total(self.counters, f"mlcanary_{name}", **labels)


def read(folder: Path, lines: Lines, *, memory: bool = False) -> Read:
    """A whole engine over these lines; either its calls are counted, or its memory."""
    folder.mkdir(exist_ok=True)
    (folder / "exporter.yml").write_text(CONFIGURATION)
    (folder / "p.json").write_bytes(write_profile(reference()))
    log = folder / "log.jsonl"
    with log.open("wb") as handle:
        for line in lines:
            handle.write(line + b"\n")
    settings = load_settings(Flags(log_paths=(str(log),), config_file=folder / "exporter.yml"))
    engine = Engine(settings, clock=lambda: NOW)

    def whole() -> None:
        while engine.read_some():
            pass

    count = peak = 0
    if memory:
        tracemalloc.start()
        whole()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    else:
        _, count = calls(whole)
    engine.publish()
    engine.close()
    return Read(count, peak, engine.page, parsed(engine.page.text.decode()))


def record(i: int, more: Mapping[str, Any] | None = None, **changed: Any) -> bytes:
    """A prediction as servers write it."""
    features = {"age": i % 90, "balance": i * 0.37 % 500, "plan": ("free", "pro", "team")[i % 3], **(more or {})}
    row = {"id": f"r{i}", "ts": NOW - 3000 + i % 2900, "model": "m", "version": "v1", "score": i % 97 / 97}
    row |= {"prediction": i % 2, "features": features, "user": f"u{i % 500}", "latency_ms": i % 300, **changed}
    return json.dumps(row).encode()


def labels(of: Callable[[int], dict[str, Any]]) -> Lines:
    """Every prediction with a line about what came of it."""
    for i in range(ROWS // 2):
        yield record(i)
        yield json.dumps({"kind": "label", "id": f"r{i}", "ts": NOW - 9, **of(i)}).encode()


@dataclass(frozen=True)
class Extreme:
    """A log, and what its cuts are called in `series_limited_total`.

    `calls`: functions called for a line, of which a record that travels on its own costs more than a hundred.
    """

    name: str
    lines: Callable[[], Lines]
    limited: str = ""
    calls: int = 250


EXTREMES = (
    Extreme("versions", lambda: (record(i, version=f"v{i}") for i in range(ROWS)), "versions"),
    Extreme("models", lambda: (record(i, model=f"m{i}") for i in range(ROWS)), "models"),
    Extreme("categories", lambda: (record(i, {"plan": f"p{i}"}) for i in range(ROWS)), "segment_values"),
    Extreme("classes", lambda: (record(i, prediction=f"c{i}") for i in range(ROWS)), "classes"),
    Extreme("labels", lambda: labels(lambda i: {"label": f"c{i}"}), "classes"),
    Extreme("events", lambda: labels(lambda i: {"event": f"e{i}", "value": 1}), "events"),
    Extreme("users", lambda: (record(i, user=f"u{i}") for i in range(ROWS))),
    Extreme("features", lambda: (record(i, {f"f{i}": 1}) for i in range(ROWS)), "features"),
    Extreme("failures", lambda: (record(i, status=f"s{i}") for i in range(ROWS)), "reasons"),
    Extreme("unknown keys", lambda: (record(i, None, **{f"k{i}": 1}) for i in range(ROWS))),
    Extreme("odd keys", lambda: (record(i, {'a"b': 1}, **{"c\\\n": 1}) for i in range(ROWS))),
    Extreme("nested", lambda: (record(i, {"x": [[[[[[[[[[i]]]]]]]]]]}) for i in range(ROWS))),
    Extreme(
        "10,000 features",
        lambda: (record(i, {f"f{j}": j for j in range(10_000)}) for i in range(8)),
        "features",
        100_000,
    ),
    Extreme("1970", lambda: (record(i, ts=i % 100) for i in range(ROWS))),
)


@pytest.mark.parametrize("extreme", EXTREMES, ids=lambda extreme: extreme.name)
def test_any_number_of_anything_is_bounded_counted_and_shown(extreme: Extreme, tmp_path: Path) -> None:
    lines = list(extreme.lines())
    found = read(tmp_path, iter(lines))
    assert found.of("log_parse_errors_total") == 0
    assert found.of("log_lines_total") == len(lines)
    assert found.of("predictions_total") == len(lines) - sum(b'"kind"' in line for line in lines)
    if extreme.limited:
        assert found.of("series_limited_total", reason=extreme.limited) > 0
        assert f"<td>{extreme.limited}</td>" in render_landing(found.page, "/metrics")
    assert found.page.series < 20_000
    assert found.calls < extreme.calls * len(lines)
    measured = read(tmp_path, iter(lines), memory=True)
    assert measured.peak < 8 * MIB  # some thousand rows wait to be counted together


def test_a_clock_in_2100_is_refused_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, (record(i, ts=4_102_444_800 + i) for i in range(200)))
    assert found.of("log_parse_errors_total", reason="timestamp") == 200
    assert "lies more than an hour in the future" in render_landing(found.page, "/metrics")


def test_our_own_clock_may_stand_in_1970_or_2100(tmp_path: Path) -> None:
    """A host whose clock is not set yet, and one whose clock is wrong: records without a time are of now."""
    for now in (5.0, 4_102_444_800.0):
        log = tmp_path / "log.jsonl"
        log.write_bytes(b"".join(record(i, ts=None) + b"\n" for i in range(50)))
        engine = Engine(load_settings(Flags(log_paths=(str(log),))), clock=lambda now=now: now)  # type: ignore[misc]
        while engine.read_some():
            pass
        engine.publish()
        assert total(parsed(engine.page.text.decode()), "mlcanary_predictions_total") == 50
        engine.close()


def test_a_line_of_64_mb_is_skipped_in_constant_memory_and_takes_no_other_with_it(tmp_path: Path) -> None:
    huge = b'{"id": "' + b"x" * (64 << 20) + b'"}'
    found = read(tmp_path, iter([record(1), huge, record(2)]), memory=True)
    assert found.of("predictions_total") == 2
    assert found.of("log_parse_errors_total", reason="too_long") == 1
    assert found.peak < 8 * MIB


def test_thousands_of_levels_of_nesting_are_refused_and_take_no_other_with_them(tmp_path: Path) -> None:
    deep = record(1)[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    found = read(tmp_path, iter([record(2), deep, record(3)]))
    assert found.of("predictions_total") == 2
    assert found.of("log_parse_errors_total", reason="json") == 1
    assert [reject.reason for _, reject in found.page.rejects] == ["json"]
    assert len(render_landing(found.page, "/metrics")) < 20_000
