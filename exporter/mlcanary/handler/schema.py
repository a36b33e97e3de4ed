"""The keys of the handler's configuration file, as they are written. What they amount to: `settings`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.handler.targets.http import Pointer, Url
from mlcanary.handler.targets.registry import TargetKind

Mode = Literal["observe", "react", "drive", "judge"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LabelName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:@/+=-]{1,200}$")]
Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
NoticeKind = Literal[
    "rolled_back", "stuck", "failed", "ineffective", "approval", "frozen", "step", "held", "promoted", "submitted"
]


class PrometheusSettings(Schema, frozen=True):
    """Where evidence is asked for."""

    url: Url
    timeout: Seconds = Seconds(5.0)
    bearer_token_file: str = ""
    ca_file: str = ""


class AlertmanagerSettings(Schema, frozen=True):
    """Where silences and inhibitions are asked for. `unanswered`: what happens while there is no answer."""

    url: Url
    timeout: Seconds = Seconds(5.0)
    bearer_token_file: str = ""
    ca_file: str = ""
    unanswered: Literal["act", "hold"] = "act"


class ServedSettings(Schema, frozen=True):
    """GET `url` of the model server: at `pointer` it tells which artefact it serves; `values` by version."""

    url: Url
    values: dict[Name, Digest]
    pointer: Pointer = ""


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


class EvidenceSettings(Schema, frozen=True):
    """How evidence is gathered. Absent keys come from `defaults`, then from `EvidenceLimits`."""

    max_age: Seconds | None = None
    serving_window: Seconds | None = None
    deadline: Seconds | None = None
    recheck: Seconds | None = None


class ApprovalSettings(Schema, frozen=True):
    """Whether a person must approve a rollback. Absent keys come from `defaults`, then from `Approval`."""

    required: bool | None = None
    expires: Seconds | None = None
    four_eyes: bool | None = None


class CapacitySettings(Schema, frozen=True):
    """What a version can take. Absent keys come from `defaults`, then from `Capacity`."""

    requests_per_second: Positive | None = None
    headroom: Positive | None = None
    stage_wait: Seconds | None = None
    deadline: Seconds | None = None


class ReleaseSettings(Schema, frozen=True):
    """How mode drive steps. Absent keys come from `defaults`, then from `Steps`."""

    steps: Annotated[tuple[Percent, ...], msgspec.Meta(min_length=1)] | None = None
    min_trials: Count | None = None
    hold_deadline: Seconds | None = None
    soak: Seconds | None = None


class StormSettings(Schema, frozen=True):
    """The storm brake: so many targets rolled back within so long freeze all of them."""

    targets: Count = 3
    window: Seconds = Seconds(600.0)


class NotifySettings(Schema, frozen=True):
    """A webhook that is told. The URL is a secret, so it stands in a file of its own, one line."""

    name: Name
    url_file: str
    format: Literal["slack", "json"] = "slack"
    kinds: tuple[NoticeKind, ...] = ()
    ca_file: str = ""


class GrafanaSettings(Schema, frozen=True):
    """Alert webhooks of Grafana, signed with the secret of a file."""

    secret_file: str
    timestamp_header: str = "X-Grafana-Alerting-Timestamp"


class DefaultSettings(Schema, frozen=True):
    """What targets share."""

    mode: Mode = "observe"
    cooldown: Seconds = Seconds(3600.0)
    budget: Count = 2
    reconcile: Seconds = Seconds(15.0)
    reconcile_for: Seconds = Seconds(3600.0)
    verification: VerificationSettings = VerificationSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    approval: ApprovalSettings = ApprovalSettings()
    capacity: CapacitySettings = CapacitySettings()
    release: ReleaseSettings = ReleaseSettings()


class TargetSettings(Schema, frozen=True):
    """One target of one model. `digests` names the artefact of a version; without it the version's name does."""

    name: Name
    model: Name
    target: TargetKind
    mode: Mode | None = None
    labels: dict[LabelName, Name] = msgspec.field(default_factory=dict)
    destination: Name | None = None
    digests: dict[Name, Digest] = msgspec.field(default_factory=dict)
    cooldown: Seconds | None = None
    budget: Count | None = None
    verification: VerificationSettings = VerificationSettings()
    served: ServedSettings | None = None
    evidence: EvidenceSettings = EvidenceSettings()
    approval: ApprovalSettings = ApprovalSettings()
    capacity: CapacitySettings = CapacitySettings()
    release: ReleaseSettings = ReleaseSettings()


class HandlerSettings(Schema, frozen=True):
    """The whole file."""

    prometheus: PrometheusSettings
    targets: Annotated[tuple[TargetSettings, ...], msgspec.Meta(min_length=1)]
    defaults: DefaultSettings = DefaultSettings()
    storm: StormSettings = StormSettings()
    alertmanager: AlertmanagerSettings | None = None
    notify: tuple[NotifySettings, ...] = ()
    grafana: GrafanaSettings | None = None
    freeze_file: str = ""
