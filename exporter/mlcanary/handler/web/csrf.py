"""Proof that a form was made here, for the person who sends it.

Guarantee: a token is right for one sender and for the life of this process only. Another site can make a browser send
a form with the browser's own credentials, but cannot read a page of ours, and so has no token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

FIELD = "csrf"


class FormKey:
    """Makes and checks tokens with a key that leaves the process never. `key`: 32 random bytes by default."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def token(self, name: str) -> str:
        """The token of the sender with this name."""
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()

    def accepts(self, name: str, token: str) -> bool:
        """Whether a token is the one of this sender; takes the same time for every wrong one."""
        return hmac.compare_digest(self.token(name).encode(), token.encode())
