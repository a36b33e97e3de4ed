"""A message with headers is one line, and comes back whole from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.formats.envelope import Event, envelope_line, events_of
from mlcanary.formats.rows import Rejected

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def read(line: bytes) -> Event:
    (event,) = events_of(line)
    return Event.read(event)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(TEXTS, TEXTS, max_size=6), JSON, st.integers(0, 4), TEXTS | st.none())
def test_any_json_body_comes_back(headers: dict[str, str], body: Any, indent: int, key: str | None) -> None:
    sent = json.dumps(body, indent=indent or None).encode()
    line = envelope_line(headers, sent, key)
    assert b"\n" not in line
    assert json.loads(read(line).body()) == body
    if key:
        assert read(line).text("key") == key


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXTS, TEXTS, max_size=6), st.binary(max_size=200))
def test_any_other_body_comes_back_as_it_was(headers: dict[str, str], body: bytes) -> None:
    line = envelope_line(headers, body)
    assert b"\n" not in line
    back = read(line).body()
    assert back == body or json.loads(back) == json.loads(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"Ce-Id": "5f0c", "Ce-Type": "t"},
        {"ce-id": "5f0c", "ce-type": "t"},
        {"ce_id": "5f0c", "ce_type": "t"},
        {"CE-ID": "5f0c", "CE_TYPE": "t"},
    ],
)
def test_trap_case_and_prefix_of_headers(headers: dict[str, str]) -> None:
    event = read(envelope_line(headers, b"{}"))
    assert (event.text("id"), event.text("type")) == ("5f0c", "t")
    written = json.dumps({**headers, "data": {}}).encode()
    assert read(written).text("id") == "5f0c"


def test_a_body_cannot_end_its_envelope() -> None:
    event = read(envelope_line({"ce-type": "mine"}, b'1},"type":"theirs","x":{"y":2'))
    assert event.text("type") == "mine"
    assert event.body() == b'1},"type":"theirs","x":{"y":2'


def test_a_header_cannot_be_the_body_or_the_key() -> None:
    event = read(envelope_line({"ce-data": "no", "ce-key": "no", "ce-headers": "no"}, b"7", key="k"))
    assert (event.body(), event.text("key")) == (b"7", "k")


def test_structured_and_batch_bodies_are_the_line() -> None:
    structured = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    assert envelope_line(structured, b'{"id": "a",\n "type": "t"}') == b'{"id": "a",  "type": "t"}'
    batch = {"content-type": "application/cloudevents-batch+json"}
    line = envelope_line(batch, b'[{"id":"a"},\r\n{"id":"b"}]')
    assert [Event.read(event).text("id") for event in events_of(line)] == ["a", "b"]


def test_the_time_of_the_record_counts_where_no_header_tells_one() -> None:
    assert read(envelope_line({}, b"{}", ts=1793520000.5)).seconds() == 1793520000.5
    told = envelope_line({"ce-time": "2026-11-01T10:00:00.123456789Z"}, b"{}", ts=1.0)
    assert read(told).seconds() == pytest.approx(1793527200.123456, abs=1e-6)
    assert read(b"{}").seconds() is None
    with pytest.raises(Rejected, match="no RFC 3339 time"):
        read(b'{"time":"yesterday"}').seconds()


def test_headers_that_the_server_was_told_to_log() -> None:
    event = read(envelope_line({"ce-metadata": '{"X-Request-Id":["r-1","r-2"],"Empty":[]}'}, b"{}"))
    assert event.text("metadata.x-request-id") == "r-1"
    assert event.text("metadata.empty") is None
    assert read(b"{}").text("metadata.x-request-id") is None


def test_base64_that_is_none_is_told() -> None:
    with pytest.raises(Rejected, match="no base64"):
        read(b'{"data_base64":"%%%"}').body()
    with pytest.raises(Rejected, match="Expected `str`, got `int`"):
        read(b'{"data_base64":7}').body()
