"""Every line of a log gives one record or one reject, whatever is in it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import REASONS, RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, ModelKey, Prediction, Record

NOW = 1_800_000_000.0
DEFAULT = ModelKey("default", "unknown")


def decoder(plan: ModelPlan | None = None) -> NativeFormat:
    """A decoder with one plan for every model."""
    return NativeFormat(RowReader(lambda _model: plan or ModelPlan()))


def decode_one(line: bytes, plan: ModelPlan | None = None) -> Record | str:
    """The record of a line, or the reason why there is none."""
    found = decoder(plan).decode_block(line + b"\n", NOW)
    assert found.lines == 1
    assert len(found.records) + len(found.rejects) == 1
    return found.records[0] if found.records else found.rejects[0].reason


def prediction(**fields: Any) -> Prediction:
    """The record of a line with these keys."""
    found = decode_one(json.dumps({"prediction": 1, **fields}).encode())
    assert isinstance(found, Prediction), found
    return found


class Trap(NamedTuple):
    """A line that cannot be used, the reason and the words for it."""

    name: str
    line: bytes
    reason: str
    words: str


DEEP = b"[" * 100_000 + b"]" * 100_000

TRAPS = (
    Trap("bad utf-8 in a text", b'{"id":"\xff","score":0.5}', "utf8", "invalid start byte"),
    Trap("bytes that are no text", b"\xff\xfe\x00", "json", "JSON is malformed: invalid character (byte 0)"),
    Trap("byte order mark", b'\xef\xbb\xbf{"score":0.5}', "json", "JSON is malformed: invalid character (byte 0)"),
    Trap("cut off", b'{"id":"a","sco', "json", "Input data was truncated"),
    Trap("two objects", b'{"score":0.5}{"score":0.6}', "json", "JSON is malformed: trailing characters"),
    Trap("NaN literal", b'{"score":NaN}', "json", "JSON is malformed: invalid character (byte 9)"),
    Trap("infinity", b'{"score":Infinity}', "json", "JSON is malformed: invalid character (byte 9)"),
    Trap("number too large", b'{"features":{"a":1e999}}', "type", "Number out of range - at `$.features[...]`"),
    Trap("too large for a score", b'{"score":1e300}', "score", "score 1e+300 lies outside 0..1"),
    Trap("negative score", b'{"score":-0.1}', "score", "score -0.1 lies outside 0..1"),
    Trap("score above one", b'{"scores":{"1":7,"0":1}}', "score", "score 7.0 lies outside 0..1"),
    Trap("score as text", b'{"score":"0.5"}', "type", "Expected `float | null`, got `str` - at `$.score`"),
    Trap("features as a list", b'{"features":[1]}', "type", "Expected `object | null`, got `array` - at `$.features`"),
    Trap("not an object", b"[1]", "type", "Expected `object`, got `array`"),
    Trap("null", b"null", "type", "Expected `object`, got `null`"),
    Trap("unknown kind", b'{"kind":"x"}', "type", "Invalid enum value 'x' - at `$.kind`"),
    Trap("boolean time", b'{"score":0.5,"ts":true}', "type", "Expected `float | str | null`, got `bool` - at `$.ts`"),
    Trap(
        "future",
        b'{"score":0.5,"ts":1800003601}',
        "timestamp",
        "1800003601.0 lies more than an hour in the future",
    ),
    Trap("no time", b'{"score":0.5,"ts":"yesterday"}', "timestamp", "'yesterday' is no RFC 3339 time"),
    Trap("absurd time", b'{"score":0.5,"ts":1e300}', "timestamp", "1e+300 lies more than an hour in the future"),
    Trap("label without id", b'{"kind":"label","label":1}', "no_id", "a label needs the id of its prediction"),
    Trap("label without label", b'{"kind":"label","id":"a"}', "label", "a label line needs `label` or `event`"),
    Trap("empty object", b"{}", "empty", "a prediction needs `prediction`, `score` or `features`"),
    Trap(
        "money beyond counting",
        b'{"kind":"label","id":"a","event":"buy","value":1e300}',
        "type",
        "value 1e+300 lies outside ±1e+15",
    ),
    Trap("latency beyond counting", b'{"score":0.5,"latency_ms":1e16}', "type", "latency_ms 1e+16 lies outside ±1e+15"),
    Trap("lone surrogate", b'{"id":"\\ud800","score":0.5}', "json", "JSON is malformed: unexpected end"),
    Trap("control character", b'{"id":"a\x00","score":0.5}', "json", "JSON is malformed: invalid character"),
    Trap("deep nesting", b'{"features":{"a":' + DEEP + b"}}", "json", "maximum recursion depth exceeded"),
    Trap("deep nesting under an unknown key", b'{"score":0.5,"x":' + DEEP + b"}", "json", "maximum recursion depth"),
    Trap("deep nesting, cut off", b'{"score":0.5,"x":' + DEEP[:100_000], "json", "maximum recursion depth"),
    Trap("id of 5000 digits", b'{"score":0.5,"id":' + b"9" * 5000 + b"}", "type", "Integer value out of range"),
)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_gives_one_reject_with_a_reason_and_words(trap: Trap) -> None:
    found = decoder().decode_block(trap.line + b"\n", NOW)
    assert (found.lines, found.records) == (1, [])
    (reject,) = found.rejects
    assert reject.reason == trap.reason
    assert reject.reason in REASONS
    assert reject.detail.startswith(trap.words)
    assert len(reject.excerpt) <= 160


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_in_the_middle_harms_no_other_line(trap: Trap) -> None:
    good = b'{"id":"%d","score":0.5}\n'
    block = b"".join(good % i for i in range(5)) + trap.line + b"\n" + b"".join(good % i for i in range(5, 10))
    found = decoder().decode_block(block, NOW)
    assert [r.id for r in found.records] == [str(i) for i in range(10)]
    assert [r.reason for r in found.rejects] == [trap.reason]
    assert found.lines == 11


def test_every_reason_has_a_trap() -> None:
    assert {trap.reason for trap in TRAPS} == set(REASONS)


@pytest.mark.parametrize("blank", [b"", b"  ", b"\t", b"\r", b" \r"])
def test_blank_lines_give_nothing_and_are_counted(blank: bytes) -> None:
    found = decoder().decode_block(b'{"score":0.5}\n' + blank + b"\n" + b'{"score":0.6}\n', NOW)
    assert (len(found.records), found.rejects, found.lines) == (2, [], 3)


def test_an_object_over_two_lines_beside_two_objects_in_one_is_no_record() -> None:
    found = decoder().decode_block(b'{"score":0.5,\n"id":"3"}\n{"score":0.5}{"score":0.6}\n', NOW)
    assert (found.lines, found.records, len(found.rejects)) == (3, [], 3)
    found = decoder().decode_block(b'{"score":0.5}{"score":0.6}\n\n', NOW)
    assert (found.lines, found.records, len(found.rejects)) == (2, [], 1)


def test_a_last_line_without_a_line_feed_counts() -> None:
    found = decoder().decode_block(b'{"score":0.5}\n{"score":0.6}', NOW)
    assert (found.lines, len(found.records)) == (2, 2)
    assert decoder().decode_block(b"", NOW).lines == 0


def test_windows_line_ends_read_the_same() -> None:
    lines = [b'{"id":"a","score":0.5}', b'{"kind":"label","id":"a","label":1}']
    unix = decoder().decode_block(b"\n".join(lines) + b"\n", NOW)
    assert decoder().decode_block(b"\r\n".join(lines) + b"\r\n", NOW).records == unix.records


@pytest.mark.parametrize(
    ("ts", "seconds"),
    [
        (1_700_000_000, 1.7e9),
        (1_700_000_000.25, 1_700_000_000.25),
        (1_700_000_000_250, 1_700_000_000.25),
        (1_700_000_000_250_000, 1_700_000_000.25),
        (1_700_000_000_250_000_000, 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1.7e9),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000.25),
        ("2023-11-15T00:13:20+02:00", 1.7e9),
        ("2023-11-14T22:13:20", 1.7e9),
        ("2023-11-14 22:13:20", 1.7e9),
        (0, 0.0),
        (None, NOW),
        (NOW + 3600, NOW + 3600),
    ],
)
def test_event_time_is_read_in_every_form(ts: object, seconds: float) -> None:
    assert prediction(ts=ts).ts == pytest.approx(seconds, abs=1e-6)
    assert prediction(timestamp=ts).ts == prediction(ts=ts).ts


def test_ids_are_texts_and_request_id_is_an_id() -> None:
    assert [prediction(id=i).id for i in ("a", 7, 2**70, "", None)] == ["a", "7", str(2**70), "", None]
    assert prediction(request_id=7).id == "7"
    assert prediction(id=1, request_id=2).id == "1"


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, DEFAULT),
        ({"model": "m", "version": "v"}, ModelKey("m", "v")),
        ({"model": "", "version": ""}, DEFAULT),
        ({"version": 3}, ModelKey("default", "3")),
        ({"version": 1.0}, ModelKey("default", "1")),
        ({"version": 1.5}, ModelKey("default", "1.5")),
        ({"model": 'naïve\n"\\', "version": "日本"}, ModelKey('naïve\n"\\', "日本")),
    ],
)
def test_model_and_version_have_one_spelling_and_defaults(fields: dict[str, object], key: ModelKey) -> None:
    assert prediction(**fields).key == key


def test_records_of_one_version_share_one_key() -> None:
    found = decoder().decode_block(b'{"version":1,"score":0.5}\n{"version":1,"score":0.5}\n', NOW).records
    assert isinstance(found[0], Prediction)
    assert isinstance(found[1], Prediction)
    assert found[0].key is found[1].key


def test_a_status_other_than_200_is_an_error_and_has_no_quality() -> None:
    for status, error in ((200, None), ("200", None), (503, "503"), ("timeout", "timeout")):
        found = prediction(status=status, score=0.7, label=1, latency_ms=20)
        assert found.error == error
        assert (found.score, found.predicted) == ((0.7, "1") if error is None else (None, None))
        assert (found.label, found.latency) == ("1", 0.02)
    assert isinstance(decode_one(b'{"status":500}'), Prediction)


def test_the_class_comes_from_the_prediction_else_from_score_and_threshold() -> None:
    plan = ModelPlan(positive="yes", negative="no", threshold=0.7)
    for line, predicted, score in (
        (b'{"score":0.69}', "no", 0.69),
        (b'{"score":0.7}', "yes", 0.7),
        (b'{"score":0.1,"prediction":"yes"}', "yes", 0.1),
        (b'{"scores":{"no":0.2,"yes":0.8}}', "yes", 0.8),
        (b'{"scores":{"maybe":0.2},"prediction":"maybe"}', "maybe", None),
        (b'{"features":{"a":1}}', None, None),
    ):
        found = decode_one(line, plan)
        assert isinstance(found, Prediction)
        assert (found.predicted, found.score) == (predicted, score)


def test_a_clock_that_stepped_back_gives_no_negative_latency() -> None:
    assert prediction(latency_ms=-5).latency == 0.0


def test_a_label_line_keeps_event_and_value() -> None:
    line = b'{"kind":"label","id":9,"model":"m","ts":5,"label":true,"event":"buy","value":-3.5}'
    assert decode_one(line) == Label("9", 5.0, "m", "1", "buy", -3.5)


def test_unknown_and_doubled_keys_and_large_lines_are_no_error() -> None:
    assert isinstance(decode_one(b'{"score":0.5,"trace":{"a":[1,2]},"weight":1}'), Prediction)
    doubled = decode_one(b'{"score":0.5,"score":0.6,"features":{"a":1,"a":2}}')
    assert isinstance(doubled, Prediction)
    assert (doubled.score, doubled.features) == (0.6, {"a": 2})
    megabyte = json.dumps({"id": "x", "features": {"text": "ä" * 500_000}, "score": 0.5}).encode()
    assert len(megabyte) > 1_000_000
    assert isinstance(decode_one(megabyte), Prediction)


_TOKENS = st.sampled_from(
    b'{ } [ ] , : " \xff null 0.5 1e999 "score": {"score":0.5} {"id":"a" "kind":"label" "features":{ \\u0000'.split()
    + b'{"kind":"label","id":1,"label":1} {"score":0.5}{"score":0.6}'.split()
    + [b"\n", b"\r\n", b" "]
)


@given(st.binary(max_size=200) | st.lists(_TOKENS, max_size=30).map(b"".join))
def test_any_bytes_are_accounted_for_line_by_line(block: bytes) -> None:
    found = decoder().decode_block(block, NOW)
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    blank = sum(not line.strip() for line in lines)
    assert found.lines == len(lines)
    assert len(found.records) + len(found.rejects) + blank == found.lines
    assert {reject.reason for reject in found.rejects} <= set(REASONS)


@given(st.lists(st.binary(max_size=40) | st.lists(_TOKENS, max_size=12).map(b"".join), max_size=6))
def test_a_block_gives_what_its_lines_give_one_by_one(pieces: list[bytes]) -> None:
    lines = [line for piece in pieces for line in piece.split(b"\n")]
    whole = decoder().decode_block(b"\n".join(lines) + b"\n", NOW)
    single = [decoder().decode_block(line + b"\n", NOW) for line in lines]
    assert whole.records == [record for found in single for record in found.records]
    assert [r.reason for r in whole.rejects] == [r.reason for found in single for r in found.rejects]


_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_KEYS = (
    *("kind", "id", "ts", "model", "version", "features", "prediction", "score", "scores", "latency_ms"),
    *("status", "label", "event", "value"),
)
_NESTED = st.lists(_VALUES, max_size=2) | st.dictionaries(st.text(max_size=3), _VALUES, max_size=2)
_LINES = st.fixed_dictionaries({}, optional=dict.fromkeys(_KEYS, _VALUES | _NESTED))


@given(_LINES)
def test_any_value_under_any_key_is_a_record_or_a_reject(line: dict[str, object]) -> None:
    found = decode_one(json.dumps(line).encode("utf-8", "replace"))
    if isinstance(found, Prediction):
        assert found.ts <= NOW + 3600
        assert found.score is None or 0 <= found.score <= 1
        assert found.latency is None or 0 <= found.latency <= 1e12
