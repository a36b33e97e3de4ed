"""How far a shift may go at once, for every load and every number of servers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.handler.core.staging import Room, Stage, next_stage
from mlcanary.handler.targets.contract import State

ROOM = Room(load=100.0, servers=(("v1", 1), ("v2", 1)), requests_per_second=60.0, headroom=1.2)
HALF = State.of({"v1": 20, "v2": 80})


def stage(now: State, room: Room | None, *, weighted: bool = True) -> Stage:
    return next_stage(now, now.moved("v2", "v1"), bad="v2", good="v1", room=room, weighted=weighted)


def test_without_a_declared_capacity_everything_is_moved() -> None:
    assert stage(HALF, None) == Stage(State.of({"v1": 100, "v2": 0}), 0.0)


def test_what_fits_is_moved_and_what_does_not_is_left() -> None:
    found = stage(HALF, ROOM)  # one server takes 60 / (100 x 1.2): half of the traffic
    assert found.state == State.of({"v1": 50, "v2": 50})
    assert found.missing == pytest.approx(0.625)
    assert not found.whole
    assert stage(State.of({"v1": 50, "v2": 50}), ROOM).state is None
    more = dataclasses.replace(ROOM, servers=(("v1", 2), ("v2", 1)))
    assert stage(State.of({"v1": 50, "v2": 50}), more) == Stage(State.of({"v1": 100, "v2": 0}), 0.0)


def test_a_target_that_serves_one_version_at_a_time_moves_as_a_whole_or_not() -> None:
    assert stage(HALF, ROOM, weighted=False).state is None


def test_a_destination_without_servers_gets_nothing() -> None:
    assert stage(HALF, dataclasses.replace(ROOM, servers=(("v2", 1),))) == Stage(None, 1.0)


def test_no_traffic_fits_anywhere_that_is_up() -> None:
    assert stage(HALF, dataclasses.replace(ROOM, load=0.0)).whole


rooms = st.builds(
    Room,
    load=st.floats(0.0, 1e6),
    servers=st.tuples(st.tuples(st.just("v1"), st.integers(0, 50)), st.tuples(st.just("v2"), st.integers(0, 50))),
    requests_per_second=st.floats(0.1, 1e5),
    headroom=st.floats(0.5, 3.0),
)
states = st.builds(
    lambda a, b, c: State.of({"v1": a, "v2": b, "v3": c}), *(st.integers(0, 256) for _ in range(3))
).filter(lambda state: state.total > 0)


@given(states, rooms)
def test_no_stage_overloads_the_destination_or_leaves_nobody_to_serve(now: State, room: Room) -> None:
    found = stage(now, room)
    assert 0.0 <= found.missing <= 1.0
    if found.state is None:
        return
    assert found.state.total > 0
    assert found.state.share("v2") <= now.share("v2")
    assert found.state.share("v1") >= now.share("v1") - 1e-9 or now.weight("v2") == 0 or found.whole
    if found.missing > 0:
        assert found.state.share("v1") <= room.share("v1") + 1e-9
        assert found.state.weight("v2") > 0
        assert all(0 <= weight <= 256 for _, weight in found.state.weights)


@given(states, rooms)
def test_stages_end(now: State, room: Room) -> None:
    for _ in range(3):  # with the same room, the second stage finds nothing left to move
        found = stage(now, room)
        if found.state is None or found.whole:
            return
        now = found.state
    raise AssertionError("a third stage moved something")
