"""Messages to people: at least once, in the sentences of the table, never in the way, and without their secret."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from aiohttp import web

from handler_world import until
from mlcanary.handler.ledger.controls import MOST_NOTICES
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.schema import NoticeKind, NotifySettings
from mlcanary.handler.work.notices import GIVE_UP, LONGEST_PAUSE, SENTENCES, Notifier

SECRET = "a-secret-part-of-the-path"
TOLD = {"model": "clicks", "version": "v2", "destination": "v1", "incident": "<!channel> & co"}


@dataclass
class Receiver:
    """A server that keeps what it gets and answers as told."""

    status: int = 200
    got: list[dict[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        self.keys.append(request.headers["Idempotency-Key"])
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    application = web.Application()
    application.router.add_post(f"/{SECRET}", found.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
    yield found
    await runner.cleanup()


@dataclass
class World:
    """A notifier on a ledger of its own, with a clock to be moved."""

    ledger: Ledger
    metrics: HandlerMetrics
    notifier: Notifier
    now: float = 1_700_000_000.0

    def count(self, result: str, name: str = "slack") -> float:
        return self.metrics.value("notices_total", name, result)

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.notifier.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@contextlib.contextmanager
def world(path: Path, *receivers: NotifySettings) -> Iterator[World]:
    ledger, metrics = Ledger(path, freeze_file=None, checkpoint=lambda _name: None), HandlerMetrics()
    found = World(ledger, metrics, Notifier(ledger, receivers, metrics, lambda: found.now))
    try:
        yield found
    finally:
        ledger.close()


def slack(url_file: Path, **changes: object) -> NotifySettings:
    return msgspec.convert({"name": "slack", "url_file": str(url_file), **changes}, NotifySettings)


async def test_a_message_is_sent_once_and_markup_is_only_text(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "url").write_text(receiver.url + "\n")
    with world(tmp_path / "l.sqlite", slack(tmp_path / "url")) as w:
        async with w.sending():
            w.notifier.tell("stuck", "router", TOLD)
            await until(lambda: w.count("sent") == 1)
        assert w.ledger.notices_waiting() == 0
    (got,) = receiver.got
    assert got["text"].splitlines()[0] == "*mlcanary* clicks: taking v2 back is STUCK, a person must look"
    assert "• incident: &lt;!channel&gt; &amp; co" in got["text"]
    assert got["text"].endswith("2023-11-14T22:13:20Z")


async def test_what_is_not_delivered_is_tried_again_with_the_same_key_also_after_a_restart(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "url").write_text(receiver.url)
    receiver.status = 500
    caplog.set_level(logging.DEBUG)
    with world(tmp_path / "l.sqlite", slack(tmp_path / "url")) as w:
        async with w.sending():
            w.notifier.tell("stuck", "router", TOLD)
            await until(lambda: w.count("failed") == 1)
        receiver.status = 200
        assert w.ledger.notices(w.now + 4.9, 9, longest=LONGEST_PAUSE) == []
        assert [n.attempts for n in w.ledger.notices(w.now + 5, 9, longest=LONGEST_PAUSE)] == [1]
    with world(tmp_path / "l.sqlite", slack(tmp_path / "url")) as w:
        w.now += 5
        async with w.sending():
            await until(lambda: w.count("sent") == 1)
    assert len(receiver.got) == 2
    assert len(set(receiver.keys)) == 1
    assert SECRET not in caplog.text


async def test_after_a_day_a_message_is_dropped_and_counted(tmp_path: Path, receiver: Receiver) -> None:
    receiver.status = 403
    (tmp_path / "url").write_text(receiver.url)
    with world(tmp_path / "l.sqlite", slack(tmp_path / "url")) as w:
        w.notifier.tell("stuck", "router", TOLD)
        w.now += GIVE_UP + 1
        async with w.sending():
            await until(lambda: w.count("dropped") == 1)
        assert w.ledger.notices_waiting() == 0


def test_each_receiver_gets_the_kinds_that_it_asks_for(tmp_path: Path) -> None:
    wanted = slack(tmp_path / "u", kinds=["stuck"])
    everything = slack(tmp_path / "u", name="all", format="json")
    with world(tmp_path / "l.sqlite", wanted, everything) as w:
        w.notifier.tell("stuck", "router", TOLD)
        w.notifier.tell("step", "router", TOLD)
        waiting = w.ledger.notices(w.now, 9, longest=LONGEST_PAUSE)
        assert [(n.receiver, n.kind) for n in waiting] == [("slack", "stuck"), ("all", "stuck"), ("all", "step")]


async def test_a_url_that_cannot_be_read_and_a_receiver_that_is_gone_stop_nobody(
    tmp_path: Path, receiver: Receiver
) -> None:
    (tmp_path / "url").write_text(receiver.url)
    good = slack(tmp_path / "url", name="all", format="json")
    with world(tmp_path / "l.sqlite", slack(tmp_path / "none"), good, slack(tmp_path / "none", name="old")) as w:
        w.notifier.tell("frozen", "router", {"reason": "storm"})
    with world(tmp_path / "l.sqlite", slack(tmp_path / "none"), good) as w:
        async with w.sending():
            await until(lambda: w.count("sent", "all") == w.count("failed") == 1)
        assert w.ledger.notices_waiting() == 1
    assert receiver.got == [
        {
            "kind": "frozen",
            "target": "router",
            "at": "2023-11-14T22:13:20Z",
            "text": "router is frozen",
            "details": {"reason": "storm"},
        }
    ]


def test_the_outbox_is_bounded_and_a_broken_ledger_is_no_error(tmp_path: Path) -> None:
    with world(tmp_path / "l.sqlite", slack(tmp_path / "u")) as w:
        for _ in range(MOST_NOTICES + 2):
            w.notifier.tell("stuck", "router", TOLD)
        assert w.ledger.notices_waiting() == MOST_NOTICES
        assert w.count("dropped") == 2
    w.notifier.tell("stuck", "router", TOLD)
    assert w.count("dropped") == 3


def test_a_receiver_that_does_not_answer_takes_nothing_from_the_others(tmp_path: Path) -> None:
    pager = slack(tmp_path / "u", name="pager", kinds=["stuck"])
    with world(tmp_path / "l.sqlite", slack(tmp_path / "u"), pager) as w:
        w.ledger._db.execute(
            "INSERT INTO outbox (receiver, at, kind, target, body, next_try)"
            " WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
            " SELECT 'slack', 0, 'step', 'router', '{}', 0 FROM numbers",
            (MOST_NOTICES,),
        )
        w.notifier.tell("stuck", "router", TOLD)
        assert (w.count("dropped"), w.count("dropped", "pager")) == (1, 0)
        assert w.ledger.notices_waiting() == MOST_NOTICES + 1


def test_every_kind_of_the_configuration_has_its_sentence() -> None:
    assert set(SENTENCES) == set(get_args(NoticeKind))
