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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from mlcanary.documents import Schema, Seconds, load_document
from mlcanary.errors import ConfigError
from mlcanary.handler.checks import check
from mlcanary.handler.schema import (
    AlertmanagerSettings,
    DefaultSettings,
    GrafanaSettings,
    HandlerSettings,
    Mode,
    NotifySettings,
    PrometheusSettings,
    ServedSettings,
    StormSettings,
    TargetSettings,
)
from mlcanary.handler.targets.registry import TargetKind
from mlcanary.webserver.config import ANY_CERTIFICATE, LoadedWebConfig
from mlcanary.webserver.identity import Scope
from mlcanary.webserver.principals import TOKEN_NAME


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


@dataclass(frozen=True, slots=True)
class Approval:
    """Whether a rollback waits for a person, for how long (seconds), and whether the one who ordered it may approve."""

    required: bool = False
    expires: float = 1800.0
    four_eyes: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one server of a version can take, in requests per second; None: nobody knows, and nothing is checked.

    A version may be given traffic while servers x `requests_per_second` is at least its load x `headroom`; what does
    not fit is moved in stages, looked at every `stage_wait` seconds, until `deadline` seconds have gone.
    """

    requests_per_second: float | None = None
    headroom: float = 1.2
    stage_wait: float = 30.0
    deadline: float = 600.0


@dataclass(frozen=True, slots=True)
class Steps:
    """How mode drive gives a candidate traffic: percents, rising to 100.

    A step ends on at least `min_trials` requests of the candidate that were judged in it. A hold of `hold_deadline`
    seconds is told to a person; `soak` seconds with all traffic prove a version.
    """

    steps: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    min_trials: int = 500
    hold_deadline: float = 86400.0
    soak: float = 3600.0


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """A target with every default filled in.

    `labels` must be carried by an alert and select the series (cluster, namespace). `destination` is the
    version that takes the traffic, None for the one with the role baseline. `budget` counts automatic
    actions in 24 h. `configuration` is the digest of the file.
    """

    name: str
    model: str
    mode: Mode
    kind: TargetKind
    versions: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    destination: str | None
    digests: tuple[tuple[str, str], ...]
    cooldown: float
    budget: int
    reconcile: float
    reconcile_for: float
    verification: Verification
    served: ServedSettings | None
    evidence: EvidenceLimits
    approval: Approval
    capacity: Capacity
    release: Steps
    storm: StormSettings
    configuration: str

    @property
    def acts(self) -> bool:
        """Whether the target is ever written without a person."""
        return self.mode in ("react", "drive")

    def digest(self, version: str) -> str:
        """The artefact of a version: its configured digest, else its name."""
        return dict(self.digests).get(version, version)


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration. `digest` names it in the audit."""

    prometheus: PrometheusSettings
    alertmanager: AlertmanagerSettings | None
    targets: tuple[TargetPlan, ...]
    notify: tuple[NotifySettings, ...]
    grafana: GrafanaSettings | None
    freeze_file: str
    digest: str

    @property
    def reacts(self) -> bool:
        """Whether any target may be changed."""
        return any(target.acts for target in self.targets)


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
    check(document, text, source)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Settings(
        prometheus=document.prometheus,
        alertmanager=document.alertmanager,
        targets=tuple(_plan(target, document.defaults, document.storm, digest) for target in document.targets),
        notify=document.notify,
        grafana=document.grafana,
        freeze_file=document.freeze_file,
        digest=digest,
    )


def require_safe_exposure(settings: Settings, exposed: Sequence[str], authenticates: bool) -> None:
    """Raise ConfigError if anybody on the network could wake a handler that acts.

    Input: `exposed` are the listen addresses that are not loopback.
    """
    if settings.reacts and exposed and not authenticates:
        name, mode = next((t.name, t.mode) for t in settings.targets if t.acts)
        raise ConfigError(
            f"target {name} has mode {mode}, but {exposed[0]} is open to the network without authentication",
            hint="set bearer_token_file or basic_auth_users in --web.config.file, "
            "or --web.listen-address=127.0.0.1:10879, or mode: observe",
        )


def require_two_people(settings: Settings, web: LoadedWebConfig | None) -> None:
    """Raise ConfigError if `four_eyes` asks for two people where the web configuration knows no two.

    One has to order, another one to approve; the token of the top-level `bearer_token_file` is nobody's.
    """
    target = next((t for t in settings.targets if t.approval.four_eyes), None)
    if target is None:
        return
    ordering = () if web is None else web.holders(Scope.OPERATE)
    approving = () if web is None else approvers(web)
    if ANY_CERTIFICATE in approving or any(a != o for o in ordering for a in approving):
        return
    may = f"{', '.join(approving) or 'nobody'} may approve, {', '.join(ordering) or 'nobody'} may order"
    raise ConfigError(
        f"target {target.name} has approval.four_eyes, but no two people for it: {may}",
        hint="give two people a token or a password of their own: principals in --web.config.file, one with the scope "
        "operate, another with approve; or four_eyes: false",
    )


def approvers(web: LoadedWebConfig) -> tuple[str, ...]:
    """Who may approve under `four_eyes`, before it is known who ordered."""
    return tuple(name for name in web.holders(Scope.APPROVE) if name != TOKEN_NAME)


def _plan(target: TargetSettings, defaults: DefaultSettings, storm: StormSettings, digest: str) -> TargetPlan:
    return TargetPlan(
        name=target.name,
        model=target.model,
        mode=target.mode or defaults.mode,
        kind=target.target,
        versions=tuple(target.target.versions),
        labels=tuple(sorted(target.labels.items())),
        destination=target.destination,
        digests=tuple(sorted(target.digests.items())),
        cooldown=target.cooldown if target.cooldown is not None else defaults.cooldown,
        budget=target.budget or defaults.budget,
        reconcile=defaults.reconcile,
        reconcile_for=defaults.reconcile_for,
        verification=msgspec.convert({**_given(defaults.verification), **_given(target.verification)}, Verification),
        served=target.served,
        evidence=msgspec.convert({**_given(defaults.evidence), **_given(target.evidence)}, EvidenceLimits),
        approval=msgspec.convert({**_given(defaults.approval), **_given(target.approval)}, Approval),
        capacity=msgspec.convert({**_given(defaults.capacity), **_given(target.capacity)}, Capacity),
        release=msgspec.convert({**_given(defaults.release), **_given(target.release)}, Steps),
        storm=storm,
        configuration=digest,
    )


def _given(section: Schema) -> dict[str, object]:
    """What a section says, without the keys that it leaves out."""
    return {
        key: float(value) if isinstance(value, Seconds) else value
        for key, value in msgspec.structs.asdict(section).items()
        if value is not None
    }
