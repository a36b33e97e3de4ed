"""The endpoints over real HTTP: what is stored, what is refused, and what each answer promises."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import json
import logging
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from mlcanary.push.receiver import Receiver
from mlcanary.push.settings import EVENTS, PUSHED, PushSection
from mlcanary.sources.spool import Spool
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.guard import Admission
from mlcanary.webserver.server import create_application, serving

RECORD = b'{"id": "r", "score": 0.5}\n'
NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass
class World:
    client: aiohttp.ClientSession
    address: str
    receiver: Receiver
    records: Spool
    events: Spool

    async def post(self, body: bytes, path: str = "/v1/predictions", **headers: str) -> tuple[int, str]:
        """Status and text of the answer."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post(path, data=body, headers=NDJSON | names) as answer:
            return answer.status, await answer.text()

    def codes(self) -> dict[str, float]:
        """Requests by status, those that there were."""
        return {s.labels[0]: s.value for s in self.receiver.samples() if s.value}


@contextlib.asynccontextmanager
async def world(
    directory: Path,
    section: PushSection | None = None,
    *,
    web_config: WebConfigFile | None = None,
    proof: bool = False,
    body_seconds: float = 5.0,
) -> AsyncIterator[World]:
    section = section or PushSection()
    records, events = (Spool(directory / name, section.spool) for name in ("records", "events"))
    spools = {PUSHED: records, EVENTS: events}
    receiver = Receiver(section, spools, asyncio.get_running_loop().time, proof=proof)
    admission = Admission(refused=receiver.refused, body_seconds=body_seconds)
    application = create_application(web_config=web_config, ready=lambda: "", admission=admission)
    receiver.routes(application)
    async with (
        serving(application, ["127.0.0.1:0"], web_config, unpack=False) as (address,),
        aiohttp.ClientSession(f"http://{address}") as client,
    ):
        yield World(client, address, receiver, records, events)
    for spool in spools.values():
        spool.close()


def stored(spool: Spool) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(spool.directory.iterdir()))


async def test_what_is_answered_with_202_is_stored(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert await w.post(RECORD * 2) == (202, '{"accepted": 2}')
        assert await w.post(gzip.compress(RECORD), Content_Encoding="gzip") == (202, '{"accepted": 1}')
        big = RECORD * 5000  # unpacked beside the event loop
        packed = gzip.compress(big, compresslevel=0)
        assert await w.post(packed, Content_Encoding="gzip") == (202, '{"accepted": 5000}')
        assert await w.post(b'[{"id":"r","label":1}]', "/v1/labels") == (202, '{"accepted": 1}')
        assert await w.post(b"") == (202, '{"accepted": 0}')
        assert stored(w.records) == RECORD * 5003 + b'{"kind":"label","id":"r","label":1}\n'
        assert await w.post(b'{"x": 1}', "/v1/events", ce_id="e", ce_specversion="1.0") == (202, "")
        assert await w.post(b"a,b\n1,2\n", "/v1/events", Content_Type="text/csv") == (202, "")
        lines = stored(w.events).splitlines()
        assert json.loads(lines[0])["data"] == {"x": 1}
        assert lines[1:] == [b"a,b", b"1,2"]
        assert w.codes() == {"202": 7}


async def test_what_cannot_be_used_says_why_and_stores_nothing(tmp_path: Path) -> None:
    section = PushSection(max_body_bytes=2000, max_line_bytes=1024)
    async with world(tmp_path, section) as w:
        assert (await w.post(b"hello"))[0] == 400
        assert (await w.post(b"a,b", Content_Type="text/csv"))[0] == 415
        assert (await w.post(RECORD, Content_Encoding="br"))[0] == 415
        assert (await w.post(b"x" * 2001))[0] == 413
        assert (await w.post(gzip.compress(b"\0" * 10_000), Content_Encoding="gzip"))[0] == 413
        too_long = b'{"id": "' + b"x" * 1024 + b'"}\n'
        assert await w.post(too_long + RECORD) == (202, '{"accepted": 1, "too_long": 1}')
        assert (await w.post(too_long))[0] == 413
        async with w.client.get("/v1/predictions") as answer:
            assert answer.status == 405

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield RECORD * 10

        with contextlib.suppress(aiohttp.ClientError):  # cut while it sends, or answered
            async with w.client.post("/v1/predictions", data=endless()) as answer:
                assert answer.status == 413
        assert stored(w.records) == RECORD
        assert w.records.too_long == 2
        assert w.codes() == {"202": 1, "400": 1, "413": 4, "415": 2}


async def test_a_full_spool_and_a_full_disk_are_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    section = PushSection(max_body_bytes=200_000, max_spool_bytes=1 << 20)
    async with world(tmp_path, section) as w:
        body = RECORD * 7000
        statuses = [(await w.post(body))[0] for _ in range(4)]
        statuses += [(await w.post(body, "/v1/events"))[0] for _ in range(2)]
        assert statuses == [202] * 5 + [503]
        async with w.client.post("/v1/predictions", data=body) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "the spool is full: 910000 bytes wait" in await answer.text()
        w.records.forget_before(4)
        assert (await w.post(body))[0] == 202

        def full(descriptor: int, data: memoryview) -> int:
            raise OSError(errno.ENOSPC, f"No space left on device for {len(data)} to {descriptor}")

        with monkeypatch.context() as patched:
            patched.setattr("mlcanary.sources.spool.os.write", full)
            assert await w.post(RECORD) == (503, '{"error": "the disk is full"}')
        assert await w.post(RECORD) == (202, '{"accepted": 1}')
        told = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(told) == 1  # not once per request
        w.receiver.stopping = True
        assert await w.post(RECORD) == (503, '{"error": "the exporter is shutting down"}')


async def test_fsync_and_new_limits_without_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, PushSection(fsync=True)) as w:
        answers = await asyncio.gather(*(w.post(RECORD * n) for n in range(1, 20)))
        assert {status for status, _ in answers} == {202}
        assert stored(w.records) == RECORD * 190
        w.receiver.replan(PushSection(max_body_bytes=1024))
        assert (await w.post(RECORD * 50))[0] == 413
        w.receiver.replan(PushSection(requests_per_second=0.001))
        async with w.client.post("/v1/predictions", data=RECORD) as answer:
            assert answer.status == 202
        async with w.client.post("/v1/predictions", data=RECORD) as answer:
            assert answer.status == 429
            assert math.isclose(int(answer.headers["Retry-After"]), 1000, abs_tol=60)


async def _slowly(address: str, start: bytes) -> bytes:
    """Send the start of a request and wait for what comes back before the connection ends."""
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    writer.write(start)
    try:
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_slow_bodies_are_cut_and_many_large_ones_wait_outside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    section = PushSection(max_body_bytes=10_000)
    head = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
    async with world(tmp_path, section, body_seconds=0.5) as w:
        answers = await asyncio.gather(*(_slowly(w.address, head + b"{" * 9000) for _ in range(6)))
        statuses = sorted(answer[9:12] for answer in answers)
        assert statuses == [b"408"] * 4 + [b"503"] * 2
        assert all(b"retry-after: 1" in answer.lower() for answer in answers if answer[9:12] == b"503")
        assert await w.post(RECORD) == (202, '{"accepted": 1}')  # the memory is free again
        _, writer = await asyncio.open_connection(*w.address.rsplit(":", 1))
        writer.write(head + b"{")
        await writer.drain()
        writer.transport.abort()  # a client that dies in the middle
        assert await w.post(RECORD) == (202, '{"accepted": 1}')
        assert [record for record in caplog.records if record.exc_info] == []
        bad = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        assert (await _slowly(w.address, bad))[9:12] == b"400"
        assert await w.post(RECORD) == (202, '{"accepted": 1}')
        assert stored(w.records) == RECORD * 3
        assert w.codes()["408"] == 4


async def test_only_who_may_push_pushes(tmp_path: Path) -> None:
    (tmp_path / "reader").write_text("the-token-of-a-scraper")
    (tmp_path / "server").write_text("the-token-of-a-server")
    (tmp_path / "web.yml").write_text(
        "principals:\n"
        "- {name: prometheus, bearer_token_file: reader, scopes: [read]}\n"
        "- {name: server, bearer_token_file: server, scopes: [push]}\n"
    )
    config = WebConfigFile(tmp_path / "web.yml")
    async with world(tmp_path / "spool", web_config=config) as w:
        assert (await w.post(RECORD))[0] == 401
        assert (await w.post(RECORD, Authorization="Bearer the-token-of-a-scraper"))[0] == 403
        assert (await w.post(RECORD, Authorization="Bearer the-token-of-a-server"))[0] == 202
        assert w.codes() == {"202": 1, "401": 1, "403": 1}
    async with world(tmp_path / "other", proof=True) as w:  # as after the web configuration lost its users
        assert (await w.post(RECORD))[0] == 403
        assert (await w.post(RECORD, Origin="http://evil.example"))[0] == 403
