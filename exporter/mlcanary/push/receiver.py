"""Endpoints that take records in.

    POST /v1/predictions    native JSON lines, or a JSON array; labels may lie among them
    POST /v1/labels         the same; a line needs no `"kind": "label"`
    POST /v1/events         CloudEvents in binary, structured or batch mode, or lines of another format

Guarantee: 202 means stored: the lines are in the spool and will be counted once. Any other answer means that nothing
is stored: 503 and 429 say when to try again, the other 4xx that trying again is of no use. At most
`IN_FLIGHT_BODIES` bodies of full size are in memory at once. An answer to an event has no body, because Knative takes
one for a reply event.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mlcanary.measures.contract import sample
from mlcanary.push.bodies import BodyError, Lines, event_lines, record_lines, unpacked
from mlcanary.push.settings import EVENTS, PUSHED, PushSection
from mlcanary.records import Sample
from mlcanary.sources.spool import Spool, SpoolFullError
from mlcanary.webserver.guard import Refused
from mlcanary.webserver.identity import Route, Scope, identity_of, requires
from mlcanary.webserver.rate_limit import RateLimit

log = logging.getLogger(__name__)

PREDICTIONS_PATH, LABELS_PATH, EVENTS_PATH = "/v1/predictions", "/v1/labels", "/v1/events"
PATHS = frozenset({PREDICTIONS_PATH, LABELS_PATH, EVENTS_PATH})
CODES = (202, 400, 401, 403, 408, 413, 415, 429, 503)
IN_FLIGHT_BODIES = 4
FULL_SECONDS = 5.0
"""After how long to try again when the spool or the disk is full: a checkpoint frees it every few seconds."""

_BUSY_SECONDS = 1.0
_LARGE = 1 << 16
_LOG_SECONDS = 60.0
_BROKEN = (ConnectionError, HttpProcessingError, web.RequestPayloadError)
"""What reading a body raises: a sender that dies is no fault of ours, and no news for a log."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Receiver:
    """Takes pushes into `spools`, by origin. `clock` gives seconds that never go back.

    `proof`: only senders who have proven who they are may push. `stopping` ends what is taken.
    """

    def __init__(
        self, section: PushSection, spools: Mapping[str, Spool], clock: Callable[[], float], *, proof: bool
    ) -> None:
        self._spools, self._clock, self._proof = spools, clock, proof
        self._codes: Counter[int] = Counter()
        self._in_flight = 0
        self._logged = -math.inf
        self.stopping = False
        self.replan(section)

    def replan(self, section: PushSection) -> None:
        """Go on under other limits."""
        self._section = section
        rate = section.requests_per_second
        self._rate = RateLimit(rate, max(1.0, 2 * rate), self._clock)
        for spool in self._spools.values():
            spool.limits = section.spool

    def samples(self) -> Iterator[Sample]:
        """Requests by status. Safe to call from another thread."""
        for code in CODES:
            yield sample("push_requests_total", (str(code),), float(self._codes[code]))

    def refused(self, refused: Refused) -> None:
        """Told by the guard of a request that no route saw."""
        if refused.path in PATHS:
            self._codes[refused.status] += 1

    def routes(self, application: web.Application) -> None:
        """Add the endpoints."""

        def records(request: web.Request, body: bytes) -> Lines:
            kind = request.content_type
            if kind.startswith("text/csv"):
                raise BodyError(415, f"Content-Type: found {kind!r}; allowed: application/x-ndjson, application/json")
            return record_lines(body, self._section.max_line_bytes, labels=request.path == LABELS_PATH)

        def events(request: web.Request, body: bytes) -> Lines:
            headers = {name.lower(): value for name, value in request.headers.items()}
            return event_lines(body, headers, self._section.max_line_bytes)

        add = application.router.add_post
        add(PREDICTIONS_PATH, self._route(PUSHED, records))
        add(LABELS_PATH, self._route(PUSHED, records))
        add(EVENTS_PATH, self._route(EVENTS, events))

    def _route(self, origin: str, lines_of: Callable[[web.Request, bytes], Lines]) -> Route:
        @requires(Scope.PUSH)
        async def take(request: web.Request) -> web.StreamResponse:
            answer = self._not_now(request)
            if answer is None:
                answer = await self._take(request, self._spools[origin], lines_of)
            if answer.status == 202 and origin == EVENTS:
                answer = web.Response(status=202)
            self._codes[answer.status] += 1
            return answer

        return take

    def _not_now(self, request: web.Request) -> web.Response | None:
        """The refusal of a request whose body need not be read."""
        identity = identity_of(request)
        if self._proof and not identity.proven:
            return _refusal(403, "needs credentials: this exporter is open to the network")
        if self.stopping:
            return _refusal(503, "the exporter is shutting down", _BUSY_SECONDS)
        wait = self._rate.take(identity.name)
        if wait:
            return _refusal(
                429, f"{identity.name} asks more than {self._section.requests_per_second:g} times a second", wait
            )
        length, most = request.content_length or 0, self._section.max_body_bytes
        return _refusal(413, _too_large(most)) if length > most else None

    async def _take(
        self, request: web.Request, spool: Spool, lines_of: Callable[[web.Request, bytes], Lines]
    ) -> web.Response:
        held = 0
        body = bytearray()
        most = self._section.max_body_bytes
        busy = _refusal(503, "too many large bodies at once", _BUSY_SECONDS)
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                held += len(chunk)
                self._in_flight += len(chunk)
                if held > most:
                    return _refusal(413, _too_large(most))
                if self._in_flight > IN_FLIGHT_BODIES * most:
                    return busy
            encoding = request.headers.get("Content-Encoding", "")
            plain = bytes(body)
            if encoding and held > _LARGE:
                held += most  # as large as it may become
                self._in_flight += most
                if self._in_flight > IN_FLIGHT_BODIES * most:
                    return busy
                plain = await asyncio.to_thread(unpacked, plain, encoding, most)
            elif encoding:
                plain = unpacked(plain, encoding, most)
            return await self._store(spool, lines_of(request, plain))
        except BodyError as error:
            return _refusal(error.status, str(error))
        except _BROKEN:
            return _refusal(400, "the body is broken, or its sender has gone")
        finally:
            self._in_flight -= held

    async def _store(self, spool: Spool, lines: Lines) -> web.Response:
        """Without fsync a write is a copy in memory; with it, it waits for the disk, beside the event loop."""
        if self.stopping:
            return _refusal(503, "the exporter is shutting down", _BUSY_SECONDS)
        spool.too_long += lines.too_long
        if lines.too_long and not lines.records:
            return _refusal(413, f"longer than {self._section.max_line_bytes} bytes a line (push.max_line_bytes)")
        elsewhere = sum(other.kept for other in self._spools.values() if other is not spool)
        try:
            if lines.records and self._section.fsync:
                await asyncio.to_thread(spool.append, lines.data, elsewhere)
            elif lines.records:
                spool.append(lines.data, elsewhere)
        except SpoolFullError as error:
            self._tell("push refused: %s", error)
            return _refusal(503, f"the spool is full: {error}", FULL_SECONDS)
        except OSError as error:
            self._tell("push refused: %s: %s", spool.directory, error.strerror)
            what = "the disk is full" if error.errno in _NO_ROOM else "the spool cannot be written"
            return _refusal(503, what, FULL_SECONDS)
        answer = {"accepted": lines.records}
        return web.json_response(answer | ({"too_long": lines.too_long} if lines.too_long else {}), status=202)

    def _tell(self, message: str, *values: object) -> None:
        """Once a minute: a full disk is not helped by a log of it."""
        now = self._clock()
        if now - self._logged >= _LOG_SECONDS:
            self._logged = now
            log.error(message, *values)


def _too_large(most: int) -> str:
    return f"the body is larger than {most} bytes (push.max_body_bytes): send smaller batches"


def _refusal(status: int, error: str, wait: float = 0.0) -> web.Response:
    headers = {"Retry-After": str(max(1, math.ceil(wait)))} if wait else {}
    return web.json_response({"error": error}, status=status, headers=headers)
