"""Who may talk to a process: bearer token, bcrypt users, verified client certificates.

Guarantee: a secret is compared in constant time, an unknown user costs as much as a wrong password, and a
bcrypt check (tens of milliseconds by design) never runs on the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import bcrypt

from mlcanary.webserver.config import LoadedWebConfig

_NOBODY = b"$2b$10$lbvTu1adaK9fNzAFiQJecOPXOrHCjgsu5pV3LMgZBv5i9xuWjIRhS"
_BCRYPT_LIMIT = 72
_AT_ONCE = 2


class Authenticator:
    """Checks `Authorization` headers. Keeps a keyed digest of a user's last good password, not the password.

    `key` salts these digests (32 random bytes, new for each process).
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._good: dict[str, tuple[str, bytes]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def accepts(self, header: str, loaded: LoadedWebConfig) -> bool:
        """Whether the header proves a configured identity. True where no header is asked for."""
        users = loaded.config.basic_auth_users
        if not users and not loaded.token:
            return True
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == "bearer" and loaded.token:
            return hmac.compare_digest(rest.strip().encode(), loaded.token.encode())
        if scheme.lower() == "basic" and users:
            return await self._basic(rest.strip(), users)
        return False

    async def _basic(self, encoded: str, users: Mapping[str, str]) -> bool:
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        stored = users.get(name)
        digest = hmac.new(self._key, f"{name}:{password}".encode(), hashlib.sha256).digest()
        known = self._good.get(name)
        current = stored is not None and known is not None and known[0] == stored
        if current and known is not None and hmac.compare_digest(known[1], digest):
            return True
        async with self._gate:
            right = await asyncio.to_thread(_check, password.encode(), (stored or "").encode() or _NOBODY)
        if not right or stored is None:
            return False
        self._good[name] = (stored, digest)
        return True


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
    names = (certificate or {}).get("subjectAltName", ())
    return any(name in allowed for _, name in names)
