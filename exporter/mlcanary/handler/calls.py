"""Bounded HTTP calls of the handler: no redirect, no proxy of the environment, no metadata service, capped answers."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.addresses import CheckedResolver, refused
from mlcanary.handler.targets.contract import RefusedError

MAX_ANSWER_BYTES = 4 * 1024 * 1024
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes of others: its own errors, and those of Python for bad UTF-8 and for depth."""


class HTTPRefusedError(RefusedError):
    """The server answered 3xx or 4xx: `status`, and `body`, at most `MAX_ANSWER_BYTES` of it."""

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached: timeout in seconds; token file or user and password file; certificate authority."""

    timeout: float
    bearer_token_file: str = ""
    ca_file: str = ""
    username: str = ""
    password_file: str = ""


async def call(
    method: str, url: str, access: Access, *, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """The body of a 2xx answer.

    Raises RefusedError if the server cannot have done anything (not reached; 3xx and 4xx as HTTPRefusedError),
    ActionError if it may have (timeout, 5xx, cut connection, oversized answer).
    """
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise RefusedError(f"{method} {url}: no address of HTTP")
    if reason := refused(split.hostname):
        raise RefusedError(f"{method} {url}: the host is {reason}")
    authorization, context = _credentials(access)
    sent = {**(headers or {}), **authorization}
    limit = aiohttp.ClientTimeout(total=access.timeout)
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=CheckedResolver(aiohttp.ThreadedResolver())),
                timeout=limit,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.request(
                method, url, data=body or None, headers=sent, allow_redirects=False, ssl=context
            ) as response,
        ):
            answer = await _capped(response)
            status = response.status
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
        raise RefusedError(f"{method} {url}: {error}") from error
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        raise ActionError(f"{method} {url}: {error or type(error).__name__}") from error
    if status >= 500:
        raise ActionError(f"{method} {url}: HTTP {status}")
    if not 200 <= status < 300:
        raise HTTPRefusedError(f"{method} {url}: HTTP {status}", status, answer)
    return answer


def _credentials(access: Access) -> tuple[dict[str, str], ssl.SSLContext | bool]:
    """Read at each call, so that a rotated token or authority counts at once."""
    try:
        context = ssl.create_default_context(cafile=access.ca_file) if access.ca_file else True
        if access.username:
            password = Path(access.password_file).read_text(encoding="utf-8").rstrip("\r\n")
            pair = base64.b64encode(f"{access.username}:{password}".encode()).decode("ascii")
            return {"Authorization": f"Basic {pair}"}, context
        if not access.bearer_token_file:
            return {}, context
        token = Path(access.bearer_token_file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        hint = "check bearer_token_file, password_file and ca_file"
        raise RefusedError(f"credentials cannot be read: {error}", hint=hint) from error
    return {"Authorization": f"Bearer {token}"}, context


async def _capped(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"answer above {MAX_ANSWER_BYTES} bytes")
    return bytes(answer)


def pointed(document: object, pointer: str) -> object:
    """The value at a JSON pointer, None if there is none. Source: RFC 6901.

    >>> pointed({"models": [{"a/b": "v1"}]}, "/models/0/a~1b")
    'v1'
    >>> pointed({"models": []}, "/models/0") is None
    True
    >>> pointed("v1", "")
    'v1'
    """
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document
