"""What is missing and what it costs; and each trap, in a sample that has it and in one that has not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doctor.samples import diagnosed, keys, records
from formats.same_traffic import NOW, START

Change = Callable[[int, dict[str, Any]], None]


def predictions(change: Change | None = None, n: int = 100) -> list[bytes]:
    """Native lines without fault, each changed."""
    made = []
    for i in range(n):
        features = {"age": 20 + i % 40, "plan": "ab"[i % 2]}
        line = {
            "id": f"r{i}",
            "ts": NOW - 200 + i,
            "version": "v1",
            "features": features,
            "score": i / n,
            "latency_ms": 3,
        }
        line["label"] = i % 2
        if change is not None:
            change(i, line)
        made.append(line)
    return records(made)


def without(key: str) -> Change:
    return lambda _i, line: line.pop(key)


def put(key: str, value: Callable[[int], Any]) -> Change:
    return lambda i, line: line.update({key: value(i)})


def feature(value: Callable[[int], Any]) -> Change:
    return lambda i, line: line["features"].update({"odd": value(i)})


CASES: tuple[tuple[str, Change, str, str, str], ...] = (
    ("no id", without("id"), "missing", "id", "only inline labels count"),
    ("no time", without("ts"), "missing", "time", "time of arrival"),
    ("no version", without("version"), "impossible", "version", "cannot be told apart"),
    ("no features", without("features"), "missing", "features", "no drift"),
    ("no score", lambda i, d: d.update(prediction=i % 2, score=None), "missing", "score", "no AUC"),
    ("no answer", without("score"), "impossible", "answer", "no quality"),
    ("no label", without("label"), "missing", "labels", "need labels"),
    ("no latency", without("latency_ms"), "note", "latency", "no latency"),
    ("some without id", lambda i, d: d.pop("id") if i % 4 == 0 else None, "missing", "id", "25%"),
    ("naive times", put("ts", lambda i: f"2026-11-01T08:00:{i % 60:02}"), "trap", "time", "no zone"),
    ("seconds that tie", put("ts", lambda i: int(NOW) - 100 + i // 2), "note", "time", "50 of 100 tie"),
    ("a clock ahead", put("ts", lambda i: NOW + i), "trap", "time", "in the future"),
    ("a clock far ahead", put("ts", lambda i: NOW + 4e3 * (i % 2)), "trap", "time", "more than an hour"),
    ("an old log", put("ts", lambda i: START - 9e5 + i), "note", "time", "old"),
    ("ids that repeat", put("id", lambda i: f"r{i // 4}"), "trap", "id", "75 of 100"),
    ("scores outside", put("score", lambda i: i / 50 - 0.5), "trap", "score", "outside 0..1"),
    ("constant feature", feature(lambda _i: 7), "trap", "features", "constant in the whole sample: odd"),
    ("empty feature", feature(lambda i: i if i % 2 else None), "note", "features", "odd 50%"),
    ("nested feature", feature(lambda i: [i]), "trap", "features", "lists or objects as values: odd"),
    ("name as feature", feature(lambda i: f"person {i}"), "trap", "features", "hardly ever repeat: odd"),
    ("failed requests", lambda i, d: d.update(status=500 if i % 10 == 0 else 200), "note", "status", "10 of 100"),
)


@pytest.mark.parametrize(("change", "level", "key", "says"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_wrong_is_told_with_its_cost(change: Change, level: str, key: str, says: str, tmp_path: Path) -> None:
    found = diagnosed(tmp_path, predictions(change))
    told = [f"{f.what} {f.costs}" for f in found.findings if (f.level, f.key) == (level, key)]
    assert any(says in text for text in told), found.findings
    assert found.exit_code == (1 if level == "impossible" else 0)


def test_a_log_without_fault_is_told_nothing(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, predictions())
    assert found.findings == ()
    assert {each.field: each.having / each.rows for each in found.coverage if each.rows} == {
        **dict.fromkeys(("id", "time", "version", "features", "prediction", "score", "latency", "label inline"), 1.0),
        "user": 0.0,
    }


def test_labels_that_meet_nothing_are_told_with_both_ids(tmp_path: Path) -> None:
    labels = records({"kind": "label", "id": f"order-{i}", "ts": NOW, "label": 1} for i in range(5))
    found = diagnosed(tmp_path, predictions(without("label")), labels)
    (told,) = [f for f in found.findings if f.key == "labels"]
    assert told.level == "trap"
    assert "5 of 5 labels" in told.what
    assert "'order-0'" in told.what
    assert "'r0'" in told.what


def test_the_wait_for_labels_is_proposed_from_their_delay(tmp_path: Path) -> None:
    labels = records({"kind": "label", "id": f"r{i}", "ts": NOW - 200 + i + 240, "label": 1} for i in range(100))
    found = diagnosed(tmp_path, [*predictions(without("label")), *labels])
    assert "maturity: 5m" in found.yaml
    assert "labels" not in keys(found, "missing") | keys(found, "trap")


def test_labels_that_come_when_their_prediction_is_forgotten_are_told(tmp_path: Path) -> None:
    asked = [NOW - 30 * 3600 + i for i in range(100)]
    times = [ts + 3600 * (25.3 if i < 30 else 1.0) for i, ts in enumerate(asked)]
    labels = records({"kind": "label", "id": f"r{i}", "ts": ts, "label": 1} for i, ts in enumerate(times))
    bare = predictions(lambda i, line: line.update({"ts": asked[i], "label": None}))
    found = diagnosed(tmp_path, [*bare, *labels])
    (told,) = [f for f in found.findings if f.key == "labels"]
    assert (told.level, told.what) == (
        "trap",
        "30 of 100 labels come more than 1 d after their prediction, up to 25.3 h",
    )
    assert "`maturity: 26h`" in told.remedy


def test_no_wait_is_proposed_from_a_sample_in_which_long_delays_cannot_be(tmp_path: Path) -> None:
    seen = [i for i in range(100) if i + 3 * (i % 30) < 100]
    labels = records({"kind": "label", "id": f"r{i}", "ts": NOW - 200 + i + 3 * (i % 30), "label": 1} for i in seen)
    found = diagnosed(tmp_path, [*predictions(without("label")), *labels])
    assert "\n    maturity:" not in found.yaml
    assert "# maturity: 1h   # decide: 95 % of the labels here came within" in found.yaml
    assert "--log.lines" in found.yaml


def test_broken_lines_are_counted_by_reason_with_an_excerpt(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path, [*predictions(), b'{"id": "cut off', b"\xff", b'{"id": "x", "ts": "yesterday", "score": 1}']
    )
    (reading,) = found.readings
    assert dict(reading.rejects) == {"json": 2, "timestamp": 1}
    assert reading.examples["timestamp"][0].excerpt.startswith('{"id": "x"')
    assert "rejects" in keys(found, "trap")


def test_a_pretty_printed_document_is_told_how_to_mend(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, [b"{", b' "id": 1,', b' "score": 0.3', b"}"])
    assert found.exit_code == 1
    assert "jq -c" in found.findings[0].remedy
    assert found.yaml == ""
