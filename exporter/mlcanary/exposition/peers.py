"""Reads the sketches of other sidecars, in the background of the event loop.

Guarantee: neither ingest nor a scrape ever waits for a peer; each reading has a time limit and a size limit, follows no
redirect, and what it took stays counted in its day, also after the peer went away: a user of this morning is a user of
today. Days that are no longer shown are forgotten.

A host name stands for all of its addresses, as that of a headless Kubernetes service does: IPv4 where it has any, else
IPv6. An address that its name no longer gives is dropped; one that was not read for three intervals counts as failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import aiohttp

from mlcanary.exposition.sketches import Peer, PeerPlan, PeerView, SketchesRefused, decode, union
from mlcanary.measures.users import days_at
from mlcanary.monitor.users import Sketches

log = logging.getLogger(__name__)

SKETCHES_PATH = "/v1/sketches"
MAX_BODY_BYTES = 64 * 1024 * 1024
"""22 kB for each version and day: 3,000 of them, more than the caps on models and versions let a sidecar have."""

_AT_ONCE = 4
"""Bodies that are held at the same time."""

_CONNECT_SECONDS = 3.0
_STALE_INTERVALS = 3.0
_OK = 200


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may take: seconds for an answer, bytes of it; and how many sketches of all peers are kept."""

    seconds: float = 10.0
    body_bytes: int = MAX_BODY_BYTES
    sketches: int = 4_000


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Every IPv4 address of a host, or every IPv6 address if it has no other. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families = {family for family, *_ in found}
    wanted = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
    return list(dict.fromkeys(str(sockaddr[0]) for family, _, _, _, sockaddr in found if family == wanted))


@dataclass(frozen=True, slots=True)
class _Address:
    """Where to connect, and under which name: a certificate and a proxy know the name."""

    url: SplitResult
    name: str
    host: str

    def __str__(self) -> str:
        return _origin(self.url)


class PeerReader:
    """Keeps `view` fresh while `run` runs. Belongs to the event loop; the view may be read by any thread."""

    def __init__(
        self,
        plan: PeerPlan,
        fingerprint: str,
        clock: Callable[[], float],
        *,
        resolve: Resolve | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`fingerprint`: of our own salt. `clock`: Unix seconds. `resolve`: all addresses of a host and port."""
        self._plan = plan
        self._fingerprint = fingerprint
        self._clock = clock
        self._find = resolve or resolve_host
        self._limits = limits or Limits()
        self._addresses: dict[str, list[_Address]] = {}
        self._read_at: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._failures: Counter[str] = Counter()
        self._sketches: Sketches = {}
        self._changed = asyncio.Event()
        self.view: PeerView | None = None

    async def run(self) -> None:
        """Read all peers, wait an interval, again; until cancelled."""
        while True:
            self._changed.clear()
            if self._plan.peers:
                await self.read_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._plan.interval if self._plan.peers else None):
                    await self._changed.wait()

    def replan(self, plan: PeerPlan, fingerprint: str) -> None:
        """Go on under another plan, at once. Sketches under another salt are forgotten."""
        if (plan, fingerprint) == (self._plan, self._fingerprint):
            return
        if fingerprint != self._fingerprint:
            self._sketches = {}
        self._plan, self._fingerprint = plan, fingerprint
        if not plan.peers:
            self.view = None
        self._changed.set()

    async def read_all(self) -> None:
        """One reading of every address of every peer."""
        plan = self._plan
        resolved = await asyncio.gather(*(self._resolve(peer) for peer in plan.peers))
        addresses = list({str(a): a for found in resolved for a in found}.values())
        room = asyncio.Semaphore(_AT_ONCE)
        async with _session(plan.bearer_token_file, self._limits.seconds) as session:
            await asyncio.gather(*(self._read(session, address, room) for address in addresses))
        if plan is self._plan:  # else a reload came in between, and the next reading is about to start
            self.view = self._make_view(addresses)

    async def _resolve(self, peer: str) -> Sequence[_Address]:
        """Every address behind a base URL; the former ones while its name cannot be resolved."""
        url = urlsplit(peer)
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
        try:
            hosts = await self._find(host, port)
        except (OSError, UnicodeError) as error:
            self._fail(_origin(url), "unresolved", f"{host}: {error}")
            return self._addresses.get(peer, [])
        path = url.path.rstrip("/") + SKETCHES_PATH
        self._problems.pop(_origin(url), None)
        places = [url._replace(netloc=_netloc(h, port), path=path, query="", fragment="") for h in hosts]
        self._addresses[peer] = [_Address(place, host, _netloc(host, port)) for place in places]
        return self._addresses[peer]

    async def _read(self, session: aiohttp.ClientSession, address: _Address, room: asyncio.Semaphore) -> None:
        try:
            async with room:
                fingerprint = self._fingerprint
                body = await _fetch(session, address, self._limits.body_bytes)
                taken = await asyncio.to_thread(decode, body, fingerprint)
                if fingerprint == self._fingerprint:  # else a reload came in between: these are other hashes
                    self._take(taken)
        except SketchesRefused as error:
            self._fail(str(address), error.reason, str(error))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._fail(str(address), "unreachable", str(error) or type(error).__name__)
        else:
            self._problems.pop(str(address), None)
            self._read_at[str(address)] = self._clock()

    def _take(self, taken: Sketches) -> None:
        """Merge what a peer gave, for the days that are shown."""
        shown = set(days_at(self._clock()).values())
        fresh = {key: users for key, users in taken.items() if key[2] in shown}
        kept = {key: users for key, users in self._sketches.items() if key[2] in shown}
        if len(kept.keys() | fresh.keys()) > self._limits.sketches:
            raise SketchesRefused("too_many", f"more than {self._limits.sketches} versions and days")
        self._sketches = union(kept, fresh)

    def _fail(self, address: str, reason: str, detail: str) -> None:
        self._failures[reason] += 1
        if self._problems.get(address) != detail:  # once, not each minute
            log.warning("sketches of %s not taken: %s", address, detail)
        self._problems[address] = detail

    def _make_view(self, addresses: Sequence[_Address]) -> PeerView:
        names = [str(address) for address in addresses]
        unresolved = [origin for peer in self._plan.peers if (origin := _origin(urlsplit(peer))) in self._problems]
        oldest = self._clock() - _STALE_INTERVALS * self._plan.interval
        names = list(dict.fromkeys((*names, *unresolved)))
        self._read_at = {name: at for name, at in self._read_at.items() if name in names}
        self._problems = {name: text for name, text in self._problems.items() if name in names}
        peers = [
            Peer(name, self._read_at.get(name, oldest) > oldest, self._problems.get(name, ""), self._read_at.get(name))
            for name in names
        ]
        return PeerView(peers, self._sketches, dict(self._failures))


_PORTS = {"http": 80, "https": 443}


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _origin(url: SplitResult) -> str:
    return f"{url.scheme}://{_netloc(url.hostname or '', url.port or _PORTS[url.scheme])}"


@contextlib.asynccontextmanager
async def _session(token_file: Path | None, seconds: float) -> AsyncIterator[aiohttp.ClientSession]:
    """A client for one reading: a token file may change, and a peer behind a service may be another."""
    headers = {}
    if token_file is not None:
        with contextlib.suppress(OSError):  # without it the peers answer 401, which is counted and shown
            token = (await asyncio.to_thread(token_file.read_text, encoding="ascii", errors="replace")).strip()
            headers = {"Authorization": f"Bearer {token}"} if token.isprintable() else {}
    timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_SECONDS))
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False) as session:
        yield session


async def _fetch(session: aiohttp.ClientSession, address: _Address, most: int) -> bytes:
    """The body of the answer. Raises SketchesRefused or what aiohttp raises."""
    name = address.name if address.url.scheme == "https" else None
    url, headers = address.url.geturl(), {"Host": address.host}
    async with session.get(url, headers=headers, allow_redirects=False, server_hostname=name) as answer:
        if answer.status != _OK:
            raise SketchesRefused("status", f"status {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(65536):  # after decompression: a small body may unfold
            body += chunk
            if len(body) > most:
                raise SketchesRefused("too_large", f"more than {most} bytes")
        return bytes(body)
