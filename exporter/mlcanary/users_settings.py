"""How users are hashed and merged over sidecars, in the configuration of an exporter."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from mlcanary.documents import Schema, Seconds, error_at, read_text
from mlcanary.exposition.sketches import PeerPlan


class UsersSection(Schema, frozen=True):
    """How user ids are hashed, and whose sketches are merged with ours.

    Sidecars that share a salt can be merged; the salt file is better kept secret.
    """

    salt: str | None = None
    salt_file: str | None = None
    peers: tuple[str, ...] = ()
    interval: Seconds = Seconds(60)
    bearer_token_file: str | None = None


def salt_of(users: UsersSection, base: Path, text: str, source: str) -> bytes:
    """What user ids are hashed with; empty for nothing. Raises ConfigError: two salts, or an unreadable file."""
    if users.salt is not None and users.salt_file is not None:
        raise error_at(text, source, ("users", "salt"), "a salt and a salt file", "one of the two")
    if users.salt_file is not None:
        return read_text(base / users.salt_file).strip().encode()
    return (users.salt or "").encode()


def peers_of(users: UsersSection, base: Path, text: str, source: str) -> PeerPlan:
    """Whose sketches are merged with ours. Raises ConfigError: no base URL, or asked too often."""
    for i, peer in enumerate(users.peers):
        if not _is_base_url(peer):
            allowed = "a URL such as http://sidecars:10877, without user, query or fragment"
            found = "a user in the URL" if "@" in peer else repr(peer)  # his password is not repeated
            raise error_at(text, source, ("users", "peers", i), found, allowed)
    if users.interval < 1:
        found = f"{float(users.interval):g}s"
        raise error_at(text, source, ("users", "interval"), found, "a duration of at least 1s")
    token_file = None if users.bearer_token_file is None else base / users.bearer_token_file
    if token_file is not None:
        read_text(token_file)
    return PeerPlan(users.peers, float(users.interval), token_file)


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    plain = not (url.query or url.fragment or "@" in url.netloc)
    return url.scheme in {"http", "https"} and bool(url.hostname) and port != 0 and plain
