"""Who may talk to a process: bearer token, bcrypt users, verified client certificates.

Guarantee: a secret is compared in constant time, an unknown user costs as much as a wrong password, and a
bcrypt check (tens of milliseconds by design) never runs on the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import bcrypt

from mlcanary.webserver.config import LoadedWebConfig
from mlcanary.webserver.identity import ANONYMOUS, Identity
from mlcanary.webserver.principals import subject_names

_NOBODY = b"$2b$10$lbvTu1adaK9fNzAFiQJecOPXOrHCjgsu5pV3LMgZBv5i9xuWjIRhS"
_BCRYPT_LIMIT = 72
_AT_ONCE = 2
_MOST_WAITING = 64


class BusyError(Exception):
    """So many passwords wait to be checked that this one is not: it costs tens of milliseconds each."""


class Authenticator:
    """Tells who sends a request. Keeps a keyed digest of a user's last good password, not the password.

    `key` salts these digests (32 random bytes, new for each process).
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._good: dict[str, tuple[str, bytes]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def identify(
        self, header: str, certificate: Mapping[str, Any] | None, loaded: LoadedWebConfig
    ) -> Identity | None:
        """The identity that the `Authorization` header or the verified certificate proves; None if it must prove one.

        A header counts before a certificate. A certificate alone is enough for a principal that it names, and
        where neither tokens nor users are configured. Raises BusyError.
        """
        directory = loaded.directory
        if header and (directory.users or directory.tokens):
            return await self._of_header(header, loaded)
        named = directory.of_certificate(certificate)
        if named is not None:
            return named
        if directory.users or directory.tokens:
            return None
        if certificate and loaded.mutual:
            return directory.stranger(next(iter(subject_names(certificate)), "certificate"))
        return None if loaded.authenticates else ANONYMOUS

    async def _of_header(self, header: str, loaded: LoadedWebConfig) -> Identity | None:
        directory = loaded.directory
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == "bearer" and directory.tokens:
            return self._bearer(rest.strip(), directory.tokens)
        if scheme.lower() == "basic" and directory.users:
            name = await self._basic(rest.strip(), loaded.config.basic_auth_users)
            return directory.users.get(name) if name else None
        return None

    def _bearer(self, given: str, tokens: Sequence[tuple[str, Identity]]) -> Identity | None:
        """Every token is compared, in full, whichever fits: the time tells neither the token nor whose it is."""
        found: Identity | None = None
        digest = self._digest(given)
        for token, identity in tokens:
            if hmac.compare_digest(digest, self._digest(token)):
                found = identity
        return found

    def _digest(self, text: str) -> bytes:
        """Of one length for every text. Headers may hold bytes that are no UTF-8."""
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()

    async def _basic(self, encoded: str, users: Mapping[str, str]) -> str:
        """The user whose name and password these are, empty if they are nobody's."""
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:  # no base64, not even ASCII, or no UTF-8 inside
            return ""
        stored = users.get(name)
        digest = self._digest(f"{name}:{password}")
        known = self._good.get(name)
        current = stored is not None and known is not None and known[0] == stored
        if current and known is not None and hmac.compare_digest(known[1], digest):
            return name
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._gate:
                right = await asyncio.to_thread(_check, password.encode(), (stored or "").encode() or _NOBODY)
        finally:
            self._waiting -= 1
        if not right or stored is None:
            return ""
        self._good[name] = (stored, digest)
        return name


def _check(password: bytes, stored: bytes) -> bool:
    if len(password) > _BCRYPT_LIMIT or b"\0" in password:
        return False
    try:
        return bcrypt.checkpw(password, stored)
    except ValueError:  # a hash whose cost or salt bcrypt refuses
        return False


def certificate_allowed(certificate: Mapping[str, Any] | None, allowed: tuple[str, ...]) -> bool:
    """Whether one of the certificate's subject alternative names is in `allowed`. True if none is asked for.

    Input: `certificate` as `ssl.SSLObject.getpeercert()` gives it, None or empty without one.
    """
    if not allowed:
        return True
    return any(name in allowed for name in subject_names(certificate))
