"""Halves of calls meet in any order, and what never meets is bounded and told."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.documents import Seconds
from mlcanary.formats.pairing import Half, Pairing, PairLimits, Side

REQUEST, RESPONSE = Side.REQUEST, Side.RESPONSE


def half(body: str = "x", ts: float | None = None, **facts: str) -> Half:
    return Half(body.encode(), ts, facts)


def reasons(pairing: Pairing) -> list[str]:
    return [reject.reason for reject in pairing.take_dropped()]


def test_the_response_may_come_first() -> None:
    pairing = Pairing()
    assert pairing.put("a", RESPONSE, half("out")) is None
    assert pairing.put("a", REQUEST, half("in")) == (half("in"), half("out"))
    assert len(pairing) == 0
    assert pairing.waiting_bytes == 0
    assert pairing.take_dropped() == []


def test_a_half_that_waits_too_long_in_event_time_is_told_once() -> None:
    pairing = Pairing(PairLimits(age=Seconds(60)))
    pairing.put("a", REQUEST, half("never answered", 1000.0))
    for i in range(20):
        pairing.put(f"b{i}", REQUEST, half(ts=1061.0 + i))
        pairing.put(f"b{i}", RESPONSE, half(ts=1061.0 + i))
    (reject,) = pairing.take_dropped()
    assert (reject.reason, reject.excerpt) == ("unpaired", "never answered")
    assert reject.detail == "'a': a request whose response did not come within 60 s of event time"
    assert pairing.take_dropped() == []
    assert pairing.put("a", RESPONSE, half(ts=1090.0)) is None


def test_a_clock_that_runs_ahead_gives_up_nobody_elses_half() -> None:
    pairing = Pairing(PairLimits(age=Seconds(60)))
    for i in range(20):
        pairing.put(f"a{i}", REQUEST, half(ts=1000.0 + i))
    pairing.put("ahead", REQUEST, half(ts=4000.0))
    pairing.put("ahead", RESPONSE, half(ts=4000.0))
    assert pairing.take_dropped() == []
    assert all(pairing.put(f"a{i}", RESPONSE, half(ts=1020.0 + i)) for i in range(20))


def test_a_quiet_hour_gives_up_only_what_waited_before_it() -> None:
    pairing = Pairing(PairLimits(age=Seconds(60)))
    pairing.put("before", REQUEST, half(ts=1000.0))
    for i in range(20):
        pairing.put(f"after{i}", REQUEST, half(ts=5000.0 + i))
    assert [reject.detail[:8] for reject in pairing.take_dropped()] == ["'before'"]
    assert all(pairing.put(f"after{i}", RESPONSE, half(ts=5021.0)) for i in range(20))


def test_a_half_without_a_time_waits_from_its_arrival() -> None:
    pairing = Pairing(PairLimits(age=Seconds(60)))
    pairing.put("timeless", REQUEST, half(), now=5000.0)
    for i in range(20):
        pairing.put(f"a{i}", REQUEST, half(ts=4990.0 + i), now=5000.0 + i)
    assert pairing.put("timeless", RESPONSE, half(), now=5030.0) is not None
    assert pairing.take_dropped() == []


def test_halves_are_bounded_by_count_and_bytes_and_the_oldest_goes_first() -> None:
    pairing = Pairing(PairLimits(count=2))
    for key in "abc":
        pairing.put(key, REQUEST, half())
    assert [reject.detail for reject in pairing.take_dropped()] == [
        "'a': a request whose response did not come within 2 others"
    ]
    assert pairing.put("c", RESPONSE, half()) is not None
    small = Pairing(PairLimits(bytes=6000))
    for key in "abc":
        small.put(key, RESPONSE, half("x" * 2000))
    assert small.waiting_bytes <= 6000
    assert reasons(small) == ["unpaired"]
    small.put("huge", REQUEST, half("x" * 10_000))
    assert (len(small), small.waiting_bytes) == (0, 0)
    assert reasons(small) == ["unpaired"] * 3


def test_what_is_delivered_twice_is_told_as_a_duplicate() -> None:
    pairing = Pairing(PairLimits(age=Seconds(60)))
    pairing.put("a", REQUEST, half("in", 1000.0))
    pairing.put("a", REQUEST, half("in", 1000.0))
    assert reasons(pairing) == ["duplicate"]
    assert pairing.put("a", RESPONSE, half("out", 1000.0)) == (half("in", 1000.0), half("out", 1000.0))
    pairing.put("a", RESPONSE, half("out", 1000.0))
    for i in range(9):
        pairing.put(f"b{i}", REQUEST, half(ts=1061.0))
    assert reasons(pairing) == ["duplicate"]
    again = Pairing()
    for _ in range(2):  # both halves twice: a whole call again, which the join knows as a duplicate
        again.put("a", REQUEST, half("in"))
        assert again.put("a", RESPONSE, half("out")) is not None


def test_what_waits_survives_a_checkpoint() -> None:
    pairing = Pairing(PairLimits(age=Seconds(60)))
    pairing.put("a", RESPONSE, Half(b"\x00\xff", 1000.0, {"version": "v1"}))
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(pairing.dump()))
    restored = Pairing(PairLimits(age=Seconds(60)))
    restored.load(stored)
    assert restored.waiting_bytes == pairing.waiting_bytes
    assert restored.put("a", REQUEST, half("in")) == (half("in"), Half(b"\x00\xff", 1000.0, {"version": "v1"}))
    assert restored.dump() is None
    for broken in (None, 1, "x", [], [1.0, [["a"]]], {"a": 1}):
        restored.load(broken)
    assert len(restored) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(Side), st.floats(0, 1e6)), max_size=120),
    st.integers(1, 20),
)
def test_every_half_is_paired_waits_or_is_told(halves: list[tuple[int, Side, float]], count: int) -> None:
    pairing = Pairing(PairLimits(count=count, age=Seconds(1000)))
    fate: Counter[str] = Counter()
    for key, side, ts in halves:
        fate["paired"] += 2 * (pairing.put(str(key), side, half(ts=ts)) is not None)
        assert len(pairing) <= count
    fate["told"] = len(pairing.take_dropped())
    assert fate["paired"] + fate["told"] + len(pairing) == len(halves)
    assert (pairing.waiting_bytes == 0) == (len(pairing) == 0)
