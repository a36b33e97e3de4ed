"""The commit queue: what is answered is stored, whatever the store does, and one flush serves many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.errors import StateError
from mlcanary.handler.intake.payload import Alert, Measure, Window
from mlcanary.handler.intake.queue import CommitQueue, Wanted
from mlcanary.handler.ledger import events
from mlcanary.handler.ledger.store import MOST_WAITING, Ledger


def alert(key: str) -> tuple[Alert, str]:
    """An alert for the target `router`."""
    found = Alert(
        group_key="g",
        fingerprint=key,
        starts_at="2026-01-02T03:04:05Z",
        firing=True,
        name="A",
        model="clicks",
        version="v2",
        measure=Measure.ACCURACY,
        window=Window.FAST,
        labels=(("model", "clicks"),),
    )
    return found, "router"


class Store:
    """Keeps alerts in memory; refuses a transaction with a poisoned one, or beyond its room."""

    def __init__(self, room: int = 1000) -> None:
        self.kept: list[str] = []
        self.room = room
        self.sizes: list[int] = []

    def commit(self, wanted: Wanted) -> list[bool]:
        keys = [found.fingerprint for found, _ in wanted]
        self.sizes.append(len(keys))
        new = []
        added: list[str] = []
        for key in keys:
            if key.startswith("poison"):
                raise StateError("refused")
            new.append(key not in self.kept and key not in added)
            if new[-1]:
                added.append(key)
        if len(self.kept) + len(added) > self.room:
            raise StateError("full")
        self.kept += added
        return new


async def test_the_first_one_waits_for_nobody_and_the_next_ones_share_a_commit() -> None:
    store = Store()
    queue = CommitQueue(store.commit, gathering=0.05)
    assert await queue.put([alert("a")]) == [True]
    answers = await asyncio.gather(*(queue.put([alert(f"b{i}"), alert("a")]) for i in range(50)))
    assert answers == [[True, False]] * 50
    assert store.sizes == [1, 100]
    assert await queue.put([]) == []
    assert queue.commits == 2


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "poison"]), max_size=4), max_size=12),
    st.integers(0, 6),
)
def test_an_answer_is_true_and_a_refusal_is_the_refused_ones_alone(deliveries: list[list[str]], room: int) -> None:
    async def run() -> None:
        store = Store(room)
        queue = CommitQueue(store.commit, gathering=0.0)
        sent = [queue.put([alert(key) for key in keys]) for keys in deliveries]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        new = 0
        for keys, answer in zip(deliveries, answers, strict=True):
            if isinstance(answer, StateError):
                assert "poison" in keys or len(store.kept) + len(set(keys)) > room
            else:
                assert isinstance(answer, list)
                assert set(keys) <= set(store.kept)
                new += sum(answer)
        assert new == len(store.kept) == len(set(store.kept)) <= room

    asyncio.run(run())


async def test_what_does_not_fit_is_refused_and_not_delayed() -> None:
    store = Store()
    queue = CommitQueue(store.commit, most=3)
    first = asyncio.create_task(queue.put([alert("a"), alert("b")]))
    await asyncio.sleep(0)
    with pytest.raises(StateError, match="2 alerts wait to be written"):
        await queue.put([alert("c"), alert("d")])
    assert await first == [True, True]
    # A delivery that is larger than the queue is taken when nobody waits: the store has the last word.
    assert await queue.put([alert(f"x{i}") for i in range(5)]) == [True] * 5


async def test_a_sender_that_went_away_changes_nothing_for_the_others() -> None:
    store = Store()
    queue = CommitQueue(store.commit)
    gone = asyncio.create_task(queue.put([alert("a")]))
    stays = asyncio.create_task(queue.put([alert("b")]))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == [True]
    assert store.kept == ["a", "b"]


async def test_a_bug_in_the_store_leaves_nobody_waiting() -> None:
    def commit(_wanted: Wanted) -> list[bool]:
        raise ZeroDivisionError

    seen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(repr(context["exception"])))
    queue = CommitQueue(commit)
    with pytest.raises(StateError, match="ZeroDivisionError"):
        await queue.put([alert("a")])
    assert seen == ["ZeroDivisionError()"]


async def test_ten_thousand_alerts_fill_the_real_ledger_and_the_next_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "handler.sqlite", freeze_file=None, checkpoint=lambda _name: None)
    queue = CommitQueue(lambda wanted: ledger.receive(wanted, 1.0))
    sent = [queue.put([alert(f"{i:x}"), alert(f"{i:x}-b")]) for i in range(MOST_WAITING // 2)]
    answers = await asyncio.gather(*sent)
    assert answers == [[True, True]] * (MOST_WAITING // 2)
    assert queue.commits < 10
    with pytest.raises(StateError, match="alerts wait already"):
        await queue.put([alert("another")])
    assert len(ledger.pending("router", 2.0, recheck=15.0)) == MOST_WAITING
    ledger.close()


def test_the_table_of_decided_alerts_is_bounded_and_keeps_what_something_followed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_KEPT", 50)
    ledger = Ledger(tmp_path / "handler.sqlite", freeze_file=None, checkpoint=lambda _name: None)
    ledger.receive([alert("attached")], 1.0)
    ledger.decided(ledger.pending("router", 2.0, recheck=15.0), "attach", "", body={}, now=2.0)
    ledger.receive([alert(f"waits-{i}") for i in range(10)], 3.0)
    waiting = {event.id for event in ledger.pending("router", 4.0, recheck=15.0)}
    for i in range(30):
        ledger.receive([alert(f"{i}-{j}") for j in range(7)], 4.0)
        fresh = [event for event in ledger.pending("router", 5.0, recheck=15.0) if event.id not in waiting]
        ledger.decided(fresh, "suppress", "stale_evidence", body={}, now=5.0)
    assert {event.id for event in ledger.pending("router", 6.0, recheck=15.0)} == waiting
    assert ledger.receive([alert("attached"), alert("29-6"), alert("0-0")], 6.0) == [False, False, True]
    count = ledger._db.execute("SELECT COUNT(*) FROM event").fetchone()[0]
    assert count <= 50
    ledger.close()
