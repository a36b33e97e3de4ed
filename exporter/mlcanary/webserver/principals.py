"""`principals` of the web configuration: names for proofs, and what each may do.

Guarantee: a `Directory` gives at most one identity for a token, a user or a certificate. No proof stands for two
principals. One name may stand for several proofs of one person, so that who may not approve their own order by
password may not by token either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from mlcanary.documents import Schema
from mlcanary.webserver.identity import EVERY_SCOPE, Identity, Scope

PrincipalName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
KINDS = ("bearer_token_file", "user", "client_san")
TOKEN_NAME = "token"  # noqa: S105 - a name, not a secret
"""Who holds the token of the top-level `bearer_token_file`."""

_RESERVED = (TOKEN_NAME, "loopback", "anonymous", "handler", "http", "storm brake")
"""Names that the processes themselves sign with."""

Complain = Callable[[Sequence[str | int], str, str], Exception]


class PrincipalConfig(Schema, frozen=True):
    """One entry. Exactly one of `bearer_token_file`, `user`, `client_san` is given."""

    name: PrincipalName
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    bearer_token_file: str = ""
    user: str = ""
    client_san: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """Identities by proof. `unnamed` are the scopes of a proof that no principal names."""

    tokens: tuple[tuple[str, Identity], ...] = field(default=(), repr=False)
    users: Mapping[str, Identity] = field(default_factory=dict)
    sans: Mapping[str, Identity] = field(default_factory=dict)
    unnamed: frozenset[Scope] = EVERY_SCOPE

    def of_certificate(self, certificate: Mapping[str, Any] | None) -> Identity | None:
        """The principal of a verified certificate, in the order of the configuration."""
        names = set(subject_names(certificate))
        return next((identity for san, identity in self.sans.items() if san in names), None)

    def holders(self, scope: Scope) -> tuple[str, ...]:
        """The names that have a scope, in order; those of strangers with a certificate are not known."""
        known = [*(identity for _, identity in self.tokens), *self.users.values(), *self.sans.values()]
        return tuple(sorted({identity.name for identity in known if scope in identity.scopes}))

    def stranger(self, name: str) -> Identity:
        """A sender whose proof is right, and whom no principal names."""
        return Identity(f"certificate {name}" if name in _RESERVED else name, self.unnamed, proven=True)


def subject_names(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The subject alternative names of a certificate as `ssl.SSLObject.getpeercert()` gives it."""
    pairs = (certificate or {}).get("subjectAltName", ())
    return tuple(value for _, value in pairs if isinstance(value, str))


def directory(
    principals: Sequence[PrincipalConfig], users: Sequence[str], token: str, own_tokens: Sequence[str]
) -> Directory:
    """The identities of checked principals. `own_tokens` has the token of each principal, empty without one."""
    unnamed = frozenset({Scope.READ}) if principals else EVERY_SCOPE
    known = [Identity(entry.name, frozenset(entry.scopes), proven=True) for entry in principals]
    tokens = [(own, identity) for own, identity in zip(own_tokens, known, strict=True) if own]
    if token:
        tokens.append((token, Identity(TOKEN_NAME, unnamed, proven=True)))
    by_user = {entry.user: identity for entry, identity in zip(principals, known, strict=True) if entry.user}
    return Directory(
        tokens=tuple(tokens),
        users={user: by_user.get(user) or Identity(user, unnamed, proven=True) for user in users},
        sans={e.client_san: identity for e, identity in zip(principals, known, strict=True) if e.client_san},
        unnamed=unnamed,
    )


def check(
    principals: Sequence[PrincipalConfig],
    *,
    users: Sequence[str],
    sans: Sequence[str] | None,
    complain: Complain,
) -> None:
    """Raise what `complain(key, found, allowed)` gives for the first entry that cannot be meant.

    Input: `sans` are the allowed names of client certificates, empty for any, None where none are verified.
    """
    seen: dict[tuple[str, str], int] = {}
    owners = {entry.user: entry.name for entry in principals if entry.user}
    for user in users:
        if user in _RESERVED and user not in owners:
            raise complain(("basic_auth_users", user), repr(user), f"no name that we use: {', '.join(_RESERVED)}")
    for i, entry in enumerate(principals):
        given = [kind for kind in KINDS if getattr(entry, kind)]
        if len(given) != 1:
            raise complain(("principals", i), " and ".join(given) or "no proof", f"exactly one of {', '.join(KINDS)}")
        kind = given[0]
        proof = str(getattr(entry, kind))
        if seen.setdefault((kind, proof), i) != i:
            raise complain(("principals", i, kind), f"{proof!r} twice", "each once")
        if entry.name in _RESERVED or (entry.name in users and owners.get(entry.name) != entry.name):
            strange = [user for user in users if owners.get(user) != user]
            allowed = f"no name that stands for another: {', '.join((*_RESERVED, *strange))}"
            raise complain(("principals", i, "name"), repr(entry.name), allowed)
        if len(set(entry.scopes)) < len(entry.scopes):
            raise complain(("principals", i, "scopes"), "a scope twice", "each once")
        if entry.user and entry.user not in users:
            allowed = f"a user of basic_auth_users: {', '.join(users) or 'there is none'}"
            raise complain(("principals", i, "user"), repr(entry.user), allowed)
        if entry.client_san and sans is None:
            allowed = "tls_server_config with client_auth_type and client_ca_file, for it names verified certificates"
            raise complain(("principals", i, "client_san"), repr(entry.client_san), allowed)
        if entry.client_san and sans and entry.client_san not in sans:
            allowed = f"one of client_allowed_sans: {', '.join(sans)}"
            raise complain(("principals", i, "client_san"), repr(entry.client_san), allowed)
