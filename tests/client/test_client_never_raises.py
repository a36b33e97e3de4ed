"""Whatever a server hands over, nothing is raised, and every record is either sent or counted as dropped."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_world import decoded, lines_of, wait_until
from mlcanary.client import Client
from mlcanary.client.lines import LABEL, Unserialisable, encode


class Hostile:
    """An object whose every method raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Any:
        raise RuntimeError("iter")

    def __str__(self) -> str:
        raise RuntimeError("str")


def itself() -> dict[str, Any]:
    """A dict that contains itself."""
    made: dict[str, Any] = {}
    made["me"] = made
    return made


def deep(levels: int = 100_000) -> list[Any]:
    """Lists in lists, deeper than any stack."""
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Hostile, "invalid"),
        (lambda: 7, "invalid"),
        (lambda: "text", "invalid"),
        (lambda: {"x": Hostile()}, "unserialisable"),
        (lambda: {"x": object()}, "unserialisable"),
        (lambda: {"x": b"bytes"}, "unserialisable"),
        (lambda: {("a", 1): 2}, "unserialisable"),
        (itself, "unserialisable"),
        (lambda: {"x": deep()}, "unserialisable"),
        (lambda: {"x": "a" * (1 << 20)}, "too_large"),
    ],
)
def test_a_value_that_cannot_be_written_costs_its_own_record_alone(
    tmp_path: Path, make: Callable[[], Any], reason: str
) -> None:
    path = tmp_path / "log"
    client = Client(path, interval=0.01)
    before = client.prediction({"a": 1})
    client.prediction(make(), score=0.5)
    after = client.prediction({"a": 2})
    assert client.flush()
    assert [line["id"] for line in lines_of(path) if "id" in line] == [before, after]
    assert (client.stats().sent, client.stats().dropped[reason], sum(client.stats().dropped.values())) == (2, 1, 1)
    assert decoded(path).client_dropped == {reason: 1}
    client.close()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.sets(st.text()),
    max_leaves=10,
)


@settings(max_examples=60)
@given(ANYTHING, ANYTHING, ANYTHING)
def test_a_line_is_whole_json_or_refused(features: Any, answer: Any, ts: Any) -> None:
    try:
        line = encode((LABEL, ts, features, "m", answer, None, None))
    except Unserialisable:
        return
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1

    def refuse(_constant: str) -> None:
        raise AssertionError("NaN and infinity are no JSON")

    assert json.loads(line, parse_constant=refuse)["kind"] == "label"


def odd_values() -> list[Any]:
    """What nobody should hand over."""
    return [Hostile(), object(), b"", {1, 2}, itself(), float("nan"), 10**400, "\udc80", lambda: 1]


def test_anything_as_any_argument_is_sent_or_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    client = Client(path, interval=0.01)
    keys = ("id", "prediction", "score", "scores", "items", "user", "latency_ms", "queue_ms", "status", "ts", "version")
    calls = 0
    for value in odd_values():
        for key in keys:
            client.prediction({"x": 1}, **{key: value})
        client.label(value, value)
        client.event(value, value, value, ts=value, model=value)
        with client.predicting(value) as p:
            p.scores = p.items = value
        calls += len(keys) + 3
    assert client.flush()
    stats = client.stats()
    assert stats.sent + sum(stats.dropped.values()) == calls
    lines = lines_of(path)
    assert stats.sent == sum(line.get("kind") != "client" for line in lines)
    assert decoded(path).lines == len(lines)
    client.close()


def test_an_answer_that_cannot_be_read_is_counted_and_returned(tmp_path: Path) -> None:
    client = Client(tmp_path / "log", interval=0.01)
    values = odd_values()
    for value in values:
        watched = client.watch(answer=lambda result: result)(lambda features: features[0])
        assert watched([value]) is value
    assert client.flush()
    # Once for the answer, once for the features, which are no mapping either.
    assert client.stats().dropped["invalid"] == 2 * len(values)
    client.close()


def test_a_full_queue_drops_and_counts_and_the_server_goes_on(tmp_path: Path) -> None:
    """Ten times what fits comes at once while the thread is held up."""
    path = tmp_path / "log"
    client = Client(path, capacity=100, interval=0.01)
    gate = threading.Event()

    class Slow:
        def item(self) -> float:
            gate.wait(20)
            return 1.0

    client.prediction({"slow": Slow()})
    wait_until(lambda: client.stats().waiting == 0)
    for _ in range(1000):
        client.prediction({"a": 1})
    assert client.stats().dropped["queue_full"] == 900
    gate.set()
    assert client.flush()
    assert client.stats().sent == 101
    lines = lines_of(path)
    assert len(lines) == 102
    assert lines[-1]["dropped"] == {"queue_full": 900}
    client.close()


def test_after_close_records_are_counted_as_dropped(tmp_path: Path) -> None:
    client = Client(tmp_path / "log", interval=0.01)
    client.prediction({"a": 1})
    client.close()
    assert client.stats().sent == 1
    client.prediction({"a": 1})
    client.label("r", 1)
    client.close()
    assert client.stats().dropped["closed"] == 2


def test_a_client_that_was_never_used_starts_no_thread_and_writes_no_file(tmp_path: Path) -> None:
    threads = threading.active_count()
    client = Client(tmp_path / "log")
    assert threading.active_count() == threads
    client.close()
    assert not (tmp_path / "log").exists()


def test_where_no_thread_can_be_started_the_server_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    client = Client(tmp_path / "log", capacity=3)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(5):
            client.prediction({"a": 1})
        assert (client.stats().waiting, client.stats().dropped["queue_full"]) == (3, 2)
    assert client.stats().last_error == "can't start new thread"
    client.close()
    assert client.stats().dropped["closed"] == 3


def test_drops_are_logged_once_a_minute_by_the_thread(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(tmp_path / "log", interval=0.01)
    with caplog.at_level(logging.WARNING, logger="mlcanary.client"):
        for _ in range(5):
            client.prediction(7)
            assert client.flush()
        wait_until(lambda: bool(caplog.records))
        client.close()
    (record,) = caplog.records
    assert record.threadName == "mlcanary-client"
    assert "invalid" in record.getMessage()
