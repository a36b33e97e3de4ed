"""One bounded question over HTTP: no redirect, no proxy, a time limit, a token from a file."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from mlcanary.errors import ConfigError

_SECONDS = 10.0
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """Status and body; status 0 where nobody answered, and why in `body`."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is what was asked for."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def problem(self) -> str:
        """Why it is not what was asked for, in one line."""
        if self.status == 0:
            return self.text
        return f"HTTP {self.status}: {' '.join(self.text.split())[:200]}"

    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None


class Asker:
    """Asks servers, each within 10 s. `ca_file`: the authority of those that speak TLS."""

    def __init__(self, session: aiohttp.ClientSession, ca_file: Path | None) -> None:
        """Raises ConfigError for a file that cannot be used."""
        self._session = session
        try:
            self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        except (OSError, ValueError) as error:
            raise ConfigError(f"--ca.file: cannot be read: {error}") from error

    async def get(self, url: str, query: Mapping[str, str] | None = None, token: str | None = None) -> Answer:
        """The answer to a GET."""
        return await self._ask("GET", url, query, None, token)

    async def post(self, url: str, document: object) -> Answer:
        """The answer to a POST of a JSON document."""
        return await self._ask("POST", url, None, msgspec.json.encode(document), None)

    async def _ask(
        self, method: str, url: str, query: Mapping[str, str] | None, data: bytes | None, token: str | None
    ) -> Answer:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with self._session.request(
                method,
                url,
                params=query,
                data=data,
                headers=headers,
                ssl=self._tls,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, await _body(response))
        except aiohttp.ClientConnectorError as error:
            code = error.os_error.errno
            return Answer(0, f"no connection: {os.strerror(code) if code and code > 0 else error.os_error}".encode())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Answer(0, (str(error) or type(error).__name__).encode())


def token_of(path: Path | None) -> str | None:
    """The bearer token of a file. Raises ConfigError."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a token: {error}", hint="check --handler.token-file") from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, cut off where it is larger than anything we ask for."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > _LARGEST:
            break
    return bytes(found)
