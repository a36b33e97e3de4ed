"""Bodies of pushes to lines: what is taken, what is refused, and that no body does harm."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.push.bodies import BodyError, Lines, event_lines, record_lines, unpacked

LONG = 1 << 20
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), min_size=1, max_size=6)


def lines(taken: Lines) -> list[Any]:
    assert taken.data.count(b"\n") == taken.records
    assert not taken.data or taken.data.endswith(b"\n")
    return [json.loads(line) for line in taken.data.splitlines()]


@settings(max_examples=30, deadline=None)
@given(OBJECTS, st.sampled_from([None, 2]), st.sampled_from(["\n", "\r\n"]))
def test_the_same_objects_come_of_lines_of_an_array_and_of_pretty_json(
    objects: list[dict[str, Any]], indent: int | None, feed: str
) -> None:
    as_lines = feed.join(json.dumps(row) for row in objects).encode()
    assert lines(record_lines(as_lines, LONG)) == objects
    assert lines(record_lines(as_lines + feed.encode(), LONG)) == objects
    array = json.dumps(objects, indent=indent).replace("\n", feed).encode()
    assert lines(record_lines(array, LONG)) == objects
    pretty = json.dumps(objects[0], indent=indent).replace("\n", feed).encode()
    assert lines(record_lines(b" " + pretty + b"\n", LONG)) == objects[:1]
    assert lines(event_lines(array, {"content-type": "application/cloudevents-batch+json"}, LONG)) == objects


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=5), JSON, min_size=1, max_size=3), min_size=1, max_size=4))
def test_each_object_that_is_pushed_as_a_label_is_one_unless_it_says_else(objects: list[dict[str, Any]]) -> None:
    expected = [{"kind": "label", **row} for row in objects]
    assert lines(record_lines("\n".join(map(json.dumps, objects)).encode(), LONG, labels=True)) == expected
    assert lines(record_lines(json.dumps(objects, indent=1).encode(), LONG, labels=True)) == expected
    assert lines(record_lines(json.dumps(objects[0], indent=1).encode(), LONG, labels=True)) == expected[:1]


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\n 1a\\', max_size=60).map(str.encode), st.booleans())
def test_any_body_is_lines_or_a_clear_refusal(body: bytes, labels: bool) -> None:
    refused: set[int] = set()
    takes: tuple[Callable[[], Lines], ...] = (
        lambda: record_lines(body, 50, labels=labels),
        lambda: event_lines(body, {"ce-id": "1", "ce-specversion": "1.0"}, 50),
        lambda: event_lines(body, {"content-type": "text/csv"}, 50),
    )
    for take in takes:
        try:
            taken = take()
        except BodyError as error:
            refused.add(error.status)
            continue
        assert taken.data.count(b"\n") == taken.records
        assert all(0 < len(line) <= 50 for line in taken.data.split(b"\n")[:-1])
    assert refused <= {400}


def test_broken_lines_among_good_ones_go_with_them_to_be_counted_by_the_reader() -> None:
    taken = record_lines(b'{"id": 1}\n{"id": \n\nnonsense\n{"id": 2}\n', LONG)
    assert taken.data == b'{"id": 1}\n{"id":\nnonsense\n{"id": 2}\n'
    assert (taken.records, taken.too_long) == (4, 0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"hello", "found 'hello'; allowed: one JSON object per line, or a JSON array of objects"),
        (b"id=1&score=2", "found 'id=1&score=2'; allowed: one JSON object per line, or a JSON array of objects"),
        (b'{\n"id": \n}', "found '{'; allowed: one JSON object per line, or a JSON array of objects"),
        (b"\xff\xfe", "found '\ufffd\ufffd'; allowed: one JSON object per line, or a JSON array of objects"),
        (b'[{"id": 1}', "no JSON array: Input data was truncated"),
        (b"[" * 100_000, "no JSON array: maximum recursion depth exceeded while deserializing an object"),
    ],
)
def test_a_body_without_a_record_is_refused_whole(body: bytes, message: str) -> None:
    with pytest.raises(BodyError) as refused:
        record_lines(body, LONG)
    assert (refused.value.status, str(refused.value)) == (400, message)


@pytest.mark.parametrize(
    "body", [b"{}\n" * 100_001, b"\n{}" * 100_001, b"[" + b"1," * 100_001 + b"1]", b'["' + b"x" * (2 << 20)]
)
@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_more_than_may_be_taken_at_once_is_refused_before_it_becomes_objects(body: bytes, kind: str) -> None:
    if kind == "text/csv" and body.startswith(b"["):
        assert event_lines(body, {"content-type": kind}, LONG).records <= 1
        return
    with pytest.raises(BodyError) as refused:
        event_lines(body, {"content-type": kind}, LONG)
    assert refused.value.status == 413


@pytest.mark.parametrize("body", [b"", b" \n\n", b"[]"])
def test_nothing_is_no_fault(body: bytes) -> None:
    assert record_lines(body, LONG) == Lines(b"", 0, 0)


def test_a_line_that_is_too_long_is_left_out_alone_and_counted() -> None:
    short, long = b'{"id": 1}', b'{"id": "' + b"x" * 100 + b'"}'
    body = short + b"\n" + long + b"\n" + short
    assert record_lines(body, 50) == Lines(short + b"\n" + short + b"\n", 2, 1)
    assert record_lines(b"[" + long + b"," + short + b"]", 50) == Lines(short + b"\n", 1, 1)
    assert event_lines(long, {"ce-id": "1"}, 50) == Lines(b"", 0, 1)


def test_an_event_in_binary_mode_becomes_a_structured_one_without_credentials() -> None:
    headers = {
        "ce-id": "e1",
        "ce-specversion": "1.0",
        "ce-type": "org.kubeflow.serving.inference.request",
        "content-type": "application/json",
        "authorization": "Bearer secret",
        "cookie": "secret",
    }
    (event,) = lines(event_lines(b'{"instances":\n[[1, 2]]}', headers, LONG))
    assert (event["id"], event["type"], event["data"]) == ("e1", headers["ce-type"], {"instances": [[1, 2]]})
    assert "secret" not in json.dumps(event)
    (other,) = lines(event_lines(b"\x00\x01", headers | {"content-type": "application/octet-stream"}, LONG))
    assert other["data_base64"] == "AAE="


def test_gzip_is_undone_and_bombs_are_stopped_before_they_grow() -> None:
    body = b'{"id": 1}\n' * 1000
    assert unpacked(gzip.compress(body), "gzip", len(body)) == body
    assert unpacked(gzip.compress(body[:10]) + gzip.compress(body[10:]), " GZIP", len(body)) == body
    assert unpacked(body, "identity", 1) == body
    for bad, encoding, limit, status in (
        (gzip.compress(body), "gzip", len(body) - 1, 413),
        (gzip.compress(b"\0" * (64 << 20)), "gzip", 1 << 20, 413),
        (gzip.compress(body)[:-9], "gzip", 1 << 20, 400),
        (body, "gzip", 1 << 20, 400),
        (gzip.compress(b"") * 10_000, "gzip", 1 << 20, 400),
        (zlib.compress(body), "deflate", 1 << 20, 415),
        (body, "br", 1 << 20, 415),
    ):
        with pytest.raises(BodyError) as refused:
            unpacked(bad, encoding, limit)
        assert refused.value.status == status
