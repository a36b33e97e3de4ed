"""The web configuration file: TLS, users, tokens and headers, with the keys of Prometheus' exporter-toolkit.

Guarantee: `WebConfigFile` holds a configuration that was valid as a whole when it was read. The file, the
token file and the certificates are looked at again when they change on disk; a change that does not load
leaves the last good configuration in force and is reported by `last_error`.

Two keys of exporter-toolkit are narrower here, and say so when they are used: `client_auth_type` has no
mode that asks for a certificate without verifying it, and the TLS versions start at 1.2. `bearer_token_file`
and `principals` are ours. Source: prometheus/exporter-toolkit, docs/web-configuration.md.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mlcanary.documents import Schema, error_at, load_document
from mlcanary.errors import ConfigError
from mlcanary.webserver.identity import Scope
from mlcanary.webserver.principals import Directory, PrincipalConfig, check, directory

log = logging.getLogger(__name__)

ClientAuth = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
TLSName = Literal["TLS12", "TLS13"]
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
HeaderValue = Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]*$")]
HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]+$")]
MIN_TOKEN_LENGTH = 16
ANY_CERTIFICATE = "whoever has a verified certificate"
"""Stands among names for those whom only their certificate names."""


class TLSServerConfig(Schema, frozen=True):
    """`tls_server_config`: paths are relative to the configuration file."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""
    client_auth_type: ClientAuth = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TLSName = "TLS12"
    max_version: TLSName = "TLS13"


class HTTPServerConfig(Schema, frozen=True):
    """`http_server_config`: headers that every response carries."""

    headers: dict[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)


class WebConfig(Schema, frozen=True):
    """The whole file."""

    tls_server_config: TLSServerConfig | None = None
    http_server_config: HTTPServerConfig = HTTPServerConfig()
    basic_auth_users: dict[str, str] = msgspec.field(default_factory=dict)
    bearer_token_file: str = ""
    principals: tuple[PrincipalConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedWebConfig:
    """A valid configuration with its secrets read.

    `generation` is the fingerprint of the files that it was made from, `watched`. `token` is empty without
    `bearer_token_file`; `context` is None without TLS; `directory` tells who proves what.
    """

    config: WebConfig
    token: str = field(repr=False)
    directory: Directory
    context: ssl.SSLContext | None
    watched: tuple[str, ...]
    generation: tuple[tuple[str, int, int], ...]

    @property
    def authenticates(self) -> bool:
        """Whether a request must prove who sends it: a user, a token or a verified client certificate."""
        return bool(self.config.basic_auth_users or self.token or self.config.principals or self.mutual)

    @property
    def mutual(self) -> bool:
        """Whether every connection carries a verified client certificate."""
        tls = self.config.tls_server_config
        return tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert"

    def holders(self, scope: Scope) -> tuple[str, ...]:
        """Who has a scope, by name; `ANY_CERTIFICATE` stands for all whom their certificate alone names."""
        strangers = self.mutual and not (self.directory.users or self.directory.tokens)
        anybody = strangers and scope in self.directory.unnamed
        return (*self.directory.holders(scope), *((ANY_CERTIFICATE,) if anybody else ()))


class WebConfigFile:
    """A web configuration that follows its file.

    Input: `path` of the YAML file. Raises ConfigError at construction when the file, a token or a
    certificate does not load. Later failures are kept in `last_error` and logged once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_error = ""
        self._loaded = _load(path)
        self._rejected: tuple[tuple[str, int, int], ...] = ()

    def current(self) -> LoadedWebConfig:
        """The configuration in force; looks at the files first (a few `stat` calls)."""
        seen = _fingerprint(self._loaded.watched)
        if seen in (self._loaded.generation, self._rejected):
            return self._loaded
        try:
            self._loaded = _load(self.path)
            self.last_error = ""
            log.info("web configuration loaded again", extra={"file": str(self.path)})
        except ConfigError as error:
            self._rejected = seen
            self.last_error = str(error)
            log.error("web configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
        return self._loaded


def _load(path: Path) -> LoadedWebConfig:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", hint="check --web.config.file") from error
    config = load_document(text, str(path), WebConfig)
    watched = _watched(path, config)
    generation = _fingerprint(watched)
    tls = config.tls_server_config
    for user, stored in config.basic_auth_users.items():
        if not _BCRYPT.fullmatch(stored):  # what was found may be a password: it is not repeated
            key = ("basic_auth_users", user)
            raise error_at(text, str(path), key, "no bcrypt hash", "a hash as `htpasswd -nB` writes it")
    if tls is not None:
        _check_tls(tls, text, path)
    token, known = _directory(config, text, path)
    return LoadedWebConfig(
        config=config,
        token=token,
        directory=known,
        context=_make_context(tls, text, path) if tls is not None else None,
        watched=watched,
        generation=generation,
    )


def _check_tls(tls: TLSServerConfig, text: str, path: Path) -> None:
    key: tuple[str | int, ...] = ("tls_server_config", "client_ca_file")
    if tls.client_auth_type != "NoClientCert" and not tls.client_ca_file:
        raise error_at(text, str(path), key, "nothing", f"a file, since client_auth_type is {tls.client_auth_type}")
    if tls.client_auth_type == "NoClientCert" and (tls.client_ca_file or tls.client_allowed_sans):
        key = ("tls_server_config", "client_auth_type")
        found = "NoClientCert beside client_ca_file or client_allowed_sans"
        raise error_at(text, str(path), key, found, "VerifyClientCertIfGiven, RequireAndVerifyClientCert")
    if tls.min_version > tls.max_version:
        key = ("tls_server_config", "min_version")
        raise error_at(text, str(path), key, tls.min_version, f"at most max_version, {tls.max_version}")


def _directory(config: WebConfig, text: str, path: Path) -> tuple[str, Directory]:
    """The top-level token, empty without one, and who proves what."""
    tls, users = config.tls_server_config, tuple(config.basic_auth_users)
    sans = tls.client_allowed_sans if tls is not None and tls.client_auth_type != "NoClientCert" else None

    def complain(key: Sequence[str | int], found: str, allowed: str) -> ConfigError:
        return error_at(text, str(path), key, found, allowed)

    check(config.principals, users=users, sans=sans, complain=complain)
    token = _read_token(config.bearer_token_file, ("bearer_token_file",), text, path)
    own: list[str] = []
    for i, entry in enumerate(config.principals):
        key = ("principals", i, "bearer_token_file")
        own.append(_read_token(entry.bearer_token_file, key, text, path))
        if own[-1] and own[-1] in (token, *own[:-1]):
            raise complain(key, "a token that stands for another too", "a token of its own")
    return token, directory(config.principals, users, token, own)


def _read_token(name: str, key: tuple[str | int, ...], text: str, path: Path) -> str:
    if not name:
        return ""
    try:
        token = _beside(path, name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        found = f"a file that cannot be read ({error})"
        raise error_at(text, str(path), key, found, "an ASCII file") from error
    if len(token) < MIN_TOKEN_LENGTH or not token.isprintable() or " " in token:
        allowed = f"one line of at least {MIN_TOKEN_LENGTH} printable characters without blanks"
        raise error_at(text, str(path), key, f"a token of {len(token)} characters", allowed)
    return token


def _make_context(tls: TLSServerConfig, text: str, path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    key = "cert_file"
    try:
        context.load_cert_chain(_beside(path, tls.cert_file), _beside(path, tls.key_file))
        if tls.client_ca_file:
            key = "client_ca_file"
            context.load_verify_locations(_beside(path, tls.client_ca_file))
    except (OSError, ssl.SSLError) as error:
        found = f"a file that does not load ({error})"
        raise error_at(
            text, str(path), ("tls_server_config", key), found, "readable PEM files that belong together"
        ) from error
    context.verify_mode = _CLIENT_AUTH[tls.client_auth_type]
    return context


def _beside(path: Path, name: str) -> Path:
    return path.parent / name


def _watched(path: Path, config: WebConfig) -> tuple[str, ...]:
    """The files that a configuration is made from."""
    tls = config.tls_server_config
    names = [path.name, config.bearer_token_file, *(entry.bearer_token_file for entry in config.principals)]
    names += [tls.cert_file, tls.key_file, tls.client_ca_file] if tls else []
    return tuple(str(_beside(path, name)) for name in names if name)


def _fingerprint(watched: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """Asked for at every request, so it is no more than a few `stat` calls."""
    found = []
    for name in watched:
        try:
            status = os.stat(name)
            found.append((name, status.st_mtime_ns, status.st_ino))
        except OSError:
            found.append((name, 0, 0))
    return tuple(found)
