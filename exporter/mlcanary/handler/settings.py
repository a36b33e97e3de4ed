"""The handler's configuration file.

    prometheus: {url: http://127.0.0.1:9090}
    defaults: {cooldown: 10m, budget: 2}
    targets:
    - name: router
      model: clicks            # as in the alert's label
      mode: react              # default: observe
      target: {type: haproxy, socket: /run/haproxy.sock, backend: models, servers: {v1: stable, v2: canary}}

Guarantee: what `load_settings` returns is complete and consistent; anything else is one ConfigError with
file, line, key, what was found and what is allowed. A section of a target overrides `defaults` key by key.
"""

from __future__ import annotations

import hashlib
import importlib.util
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from mlcanary.documents import Schema, Seconds, error_at, load_document
from mlcanary.errors import ConfigError
from mlcanary.handler.targets.http import Url
from mlcanary.handler.targets.registry import TargetKind

Mode = Literal["observe", "react"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LabelName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Path_ = tuple[str | int, ...]


class PrometheusSettings(Schema, frozen=True):
    """Where evidence is asked for."""

    url: Url
    timeout: Seconds = Seconds(5.0)
    bearer_token_file: str = ""
    ca_file: str = ""


class VerificationSettings(Schema, frozen=True):
    """Proof of an effect. Absent keys come from `defaults`, then from `Verification`."""

    window: Seconds | None = None
    windows: Count | None = None
    max_share: Share | None = None
    min_predictions: Count | None = None
    deadline: Seconds | None = None
    tolerance: Seconds | None = None
    measure: Literal["if_labeled", "required"] | None = None
    min_labels: Count | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What proves that an effect worked; durations in seconds.

    `windows` windows in a row of `window` each, in which the bad version had at most `max_share` of at least
    `min_predictions` predictions; its newest prediction at most `tolerance` after the effect; the measure
    back, where `min_labels` labels came (`if_labeled`) or in any case (`required`); all before `deadline`.
    """

    window: float = 30.0
    windows: int = 2
    max_share: float = 0.005
    min_predictions: int = 100
    deadline: float = 600.0
    tolerance: float = 10.0
    measure: Literal["if_labeled", "required"] = "if_labeled"
    min_labels: int = 200


class EvidenceSettings(Schema, frozen=True):
    """How evidence is gathered. Absent keys come from `defaults`, then from `EvidenceLimits`."""

    max_age: Seconds | None = None
    serving_window: Seconds | None = None
    deadline: Seconds | None = None
    recheck: Seconds | None = None


@dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """Limits on evidence, seconds.

    A sample older than `max_age` is stale. A version serves if it predicted within `serving_window`. Evidence
    that cannot be had is asked for again every `recheck` until `deadline`, then a person is called.
    """

    max_age: float = 120.0
    serving_window: float = 120.0
    deadline: float = 120.0
    recheck: float = 15.0


class DefaultSettings(Schema, frozen=True):
    """What targets share."""

    mode: Mode = "observe"
    cooldown: Seconds = Seconds(3600.0)
    budget: Count = 2
    reconcile: Seconds = Seconds(15.0)
    reconcile_for: Seconds = Seconds(3600.0)
    verification: VerificationSettings = VerificationSettings()
    evidence: EvidenceSettings = EvidenceSettings()


class TargetSettings(Schema, frozen=True):
    """One target of one model."""

    name: Name
    model: Name
    target: TargetKind
    mode: Mode | None = None
    labels: dict[LabelName, Name] = msgspec.field(default_factory=dict)
    destination: Name | None = None
    cooldown: Seconds | None = None
    budget: Count | None = None
    verification: VerificationSettings = VerificationSettings()
    evidence: EvidenceSettings = EvidenceSettings()


class HandlerSettings(Schema, frozen=True):
    """The whole file."""

    prometheus: PrometheusSettings
    targets: Annotated[tuple[TargetSettings, ...], msgspec.Meta(min_length=1)]
    defaults: DefaultSettings = DefaultSettings()
    freeze_file: str = ""


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """A target with every default filled in.

    `labels` must be carried by an alert and select the series (cluster, namespace). `destination` is the
    version that takes the traffic, None for the one with the role baseline. `budget` counts automatic
    actions in 24 h.
    """

    name: str
    model: str
    mode: Mode
    kind: TargetKind
    versions: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    destination: str | None
    cooldown: float
    budget: int
    reconcile: float
    reconcile_for: float
    verification: Verification
    evidence: EvidenceLimits


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration. `digest` names it in the audit."""

    prometheus: PrometheusSettings
    targets: tuple[TargetPlan, ...]
    freeze_file: str
    digest: str

    @property
    def reacts(self) -> bool:
        """Whether any target may be changed."""
        return any(target.mode == "react" for target in self.targets)


def load_settings(path: Path) -> Settings:
    """The configuration of a file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", hint="check --config.file") from error
    return parse_settings(text, str(path))


def parse_settings(text: str, source: str) -> Settings:
    """The configuration of a text; `source` names it in messages. Raises ConfigError."""
    document = load_document(text, source, HandlerSettings)
    _check(document, text, source)
    return Settings(
        prometheus=document.prometheus,
        targets=tuple(_plan(target, document.defaults) for target in document.targets),
        freeze_file=document.freeze_file,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def require_safe_exposure(settings: Settings, exposed: Sequence[str], authenticates: bool) -> None:
    """Raise ConfigError if anybody on the network could wake a handler that acts.

    Input: `exposed` are the listen addresses that are not loopback.
    """
    if settings.reacts and exposed and not authenticates:
        name = next(t.name for t in settings.targets if t.mode == "react")
        raise ConfigError(
            f"target {name} has mode react, but {exposed[0]} is open to the network without authentication",
            hint="set bearer_token_file or basic_auth_users in --web.config.file, "
            "or --web.listen-address=127.0.0.1:10879, or mode: observe",
        )


def _plan(target: TargetSettings, defaults: DefaultSettings) -> TargetPlan:
    return TargetPlan(
        name=target.name,
        model=target.model,
        mode=target.mode or defaults.mode,
        kind=target.target,
        versions=tuple(target.target.versions),
        labels=tuple(sorted(target.labels.items())),
        destination=target.destination,
        cooldown=target.cooldown if target.cooldown is not None else defaults.cooldown,
        budget=target.budget or defaults.budget,
        reconcile=defaults.reconcile,
        reconcile_for=defaults.reconcile_for,
        verification=msgspec.convert({**_given(defaults.verification), **_given(target.verification)}, Verification),
        evidence=msgspec.convert({**_given(defaults.evidence), **_given(target.evidence)}, EvidenceLimits),
    )


def _given(section: VerificationSettings | EvidenceSettings) -> dict[str, object]:
    return {
        key: float(value) if isinstance(value, Seconds) else value
        for key, value in msgspec.structs.asdict(section).items()
        if value is not None
    }


def _check(document: HandlerSettings, text: str, source: str) -> None:
    """Rules that span keys."""
    names: set[str] = set()
    for i, target in enumerate(document.targets):
        place: Path_ = ("targets", i)
        if target.name in names:
            raise error_at(text, source, (*place, "name"), f"{target.name!r} twice", "a name once")
        names.add(target.name)
        versions = tuple(target.target.versions)
        key = {"haproxy": "servers", "file": "values"}.get(str(target.target.__struct_config__.tag), "versions")
        if len(set(versions)) < 2:
            found = f"{len(set(versions))} version" + "s" * (len(set(versions)) != 1)
            raise error_at(text, source, (*place, "target", key), found, "two or more versions")
        for version in versions:
            if not _is_name(version):
                allowed = "letters, digits, dot, underscore and hyphen, 1 to 64 of them"
                raise error_at(text, source, (*place, "target", key), f"version {version!r}", allowed)
        if target.destination is not None and target.destination not in versions:
            allowed = ", ".join(versions)
            raise error_at(text, source, (*place, "destination"), repr(target.destination), allowed)
        _check_kind(target, text, source, (*place, "target"))
        _check_durations(target, text, source, place)
    _check_durations(document.defaults, text, source, ("defaults",))
    _check_url(document.prometheus.url, text, source, ("prometheus", "url"))


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "._-") for c in text)


def _check_kind(target: TargetSettings, text: str, source: str, place: Path_) -> None:
    kind = target.target
    tag = kind.__struct_config__.tag
    if tag == "sagemaker" and importlib.util.find_spec("boto3") is None:
        allowed = "a type whose packages are installed"
        hint = "pip install 'mlcanary[sagemaker]'"
        raise error_at(text, source, (*place, "type"), "'sagemaker' without boto3", allowed, hint=hint)
    if tag == "command":
        for key in ("argv", "observe"):
            argv = getattr(kind, key)
            if argv is not None and not argv[0].startswith("/"):
                raise error_at(text, source, (*place, key), repr(argv[0]), "an absolute path, as there is no PATH")
    reload = getattr(kind, "reload", None)
    if reload is not None and bool(reload.pid_file) == bool(reload.url):
        found = "both" if reload.url else "neither"
        raise error_at(text, source, (*place, "reload"), found, "pid_file or url")
    for key in ("url", "server"):
        if isinstance(url := getattr(kind, key, None), str):
            _check_url(url, text, source, (*place, key))


def _check_url(url: str, text: str, source: str, place: Path_) -> None:
    """Link-local addresses answer with the credentials of the machine: a rollback has no business there."""
    try:
        host = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return
    plain = getattr(host, "ipv4_mapped", None) or host
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
        raise error_at(text, source, place, repr(url), "an address that is not link-local, multicast or 0.0.0.0")


def _check_durations(section: TargetSettings | DefaultSettings, text: str, source: str, place: Path_) -> None:
    for name, inner in (("verification", section.verification), ("evidence", section.evidence)):
        for key, value in msgspec.structs.asdict(inner).items():
            if isinstance(value, Seconds) and value <= 0 and key != "tolerance":
                raise error_at(text, source, (*place, name, key), f"{value:g} s", "more than 0")
