"""The exporter's configuration: a YAML file, flags above it, one checked value out of both.

    sources:
      - path: /var/log/model/predictions*.jsonl
    models:
      - name: churn
        reference: churn.profile.json       # relative to this file
        roles: {v1: baseline, v2: canary}
        maturity: 30m
        unlabeled: negative                 # no label by then means the negative class; default: it means nothing
        objectives: {accuracy_drop: 0.03}
        segments: [country, device]
        split: {v1: 0.9, v2: 0.1}
    users:
      salt_file: user_salt                  # one for all sidecars, or users cannot be counted over several
      peers: [http://sidecars:10877]        # whose users are merged with ours: all addresses of the name

Every key has a default; `--log.path` alone is enough. Raises ConfigError with file, line, key, found, allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mlcanary.bounds_settings import (
    AtLeastOne,
    LabelsSection,
    LimitsSection,
    SamplingSection,
    SheddingSection,
    check_feature_objectives,
    check_objectives,
)
from mlcanary.catalog import UNKNOWN, Role, Task
from mlcanary.documents import Schema, Seconds, error_at, load_document, read_text
from mlcanary.errors import ConfigError
from mlcanary.exposition.sketches import PeerPlan
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.profile import no_profile, read_profile
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.reference import Reference
from mlcanary.measures.users import salt_fingerprint
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.push.settings import PushSection, push_section
from mlcanary.records import canonical_class
from mlcanary.settings_warnings import settings_warnings
from mlcanary.shedding import SheddingPlan
from mlcanary.source_settings import (
    Origin,
    OriginKind,
    SourceSection,
    origins_of,
    origins_of_paths,
    push_origins,
)
from mlcanary.store.settings import StoreSection, store_section
from mlcanary.users_settings import UsersSection, peers_of, salt_of

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Limit = Annotated[float, msgspec.Meta(ge=0)]
ClassName = str | float | bool


class ModelSection(Schema, frozen=True):
    """One model; `name` is the `model` of its records."""

    name: str
    task: Task = Task.BINARY
    reference: str | None = None
    positive_class: ClassName | None = None
    negative_class: ClassName | None = None
    threshold: Share = 0.5
    maturity: Seconds = Seconds(0)
    label_ttl: Seconds | None = None
    unlabeled: Literal["negative"] | None = None
    roles: dict[str, Role] = msgspec.field(default_factory=dict)
    objectives: dict[str, Limit] = msgspec.field(default_factory=dict)
    feature_objectives: dict[str, dict[str, Limit]] = msgspec.field(default_factory=dict)
    ranks: tuple[AtLeastOne, ...] = (10,)
    quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    segments: tuple[str, ...] = ()
    split: dict[str, Share] = msgspec.field(default_factory=dict)
    clicks: str = "click"
    conversions: str = "purchase"
    sampling: SamplingSection | None = None


class DefaultsSection(Schema, frozen=True):
    """What holds for models that the file does not name, and for records that leave something out."""

    model: str = "default"
    version: str = UNKNOWN
    role: Role = Role.UNASSIGNED
    task: Task = Task.BINARY
    reference: str | None = None


class ExporterDocument(Schema, frozen=True):
    """The whole file."""

    sources: tuple[SourceSection, ...] = ()
    models: tuple[ModelSection, ...] = ()
    defaults: DefaultsSection = DefaultsSection()
    windows: tuple[Seconds, ...] = (Seconds(300), Seconds(3600))
    version_retention: Seconds = Seconds(86_400)
    labels: LabelsSection = LabelsSection()
    push: PushSection | msgspec.UnsetType | None = msgspec.UNSET
    limits: LimitsSection = LimitsSection()
    users: UsersSection = UsersSection()
    sampling: SamplingSection = SamplingSection()
    shedding: SheddingSection = SheddingSection()
    store: StoreSection | None = None


@dataclass(frozen=True)
class Flags:
    """What the command line says; it wins over the file."""

    log_paths: Sequence[str] = ()
    config_file: Path | None = None
    reference: Path | None = None
    model: str | None = None
    version: str | None = None
    role: Role | None = None
    task: Task | None = None
    format: str | None = None
    push: bool = False


@dataclass(frozen=True)
class ExporterSettings:
    """Checked settings of one exporter. `patterns`: the files among its sources; `origins`: how each source is read.

    `push`: what is taken over HTTP, `store`: where rows are kept; None for nothing.
    """

    patterns: tuple[str, ...]
    plan: MonitorPlan
    model: str = "default"
    version: str = UNKNOWN
    warnings: tuple[str, ...] = field(default_factory=tuple)
    peers: PeerPlan = field(default_factory=PeerPlan)
    origins: tuple[Origin, ...] = ()
    push: PushSection | None = None
    shedding: SheddingPlan = field(default_factory=SheddingPlan)
    store: StoreSection | None = None

    @property
    def default_format(self) -> FormatOptions:
        """How a source is read that no origin names."""
        return FormatOptions(model=self.model, version=self.version)

    @property
    def salt_fingerprint(self) -> str:
        """Of the salt that users are hashed with."""
        return salt_fingerprint(self.plan.default.user_salt)


def load_settings(flags: Flags) -> ExporterSettings:
    """Read the file, lay the flags over it, check the whole. Raises ConfigError; starts and changes nothing."""
    text, source, base = "", "flags", Path()
    if flags.config_file is not None:
        text, source, base = read_text(flags.config_file), str(flags.config_file), flags.config_file.parent
    document = load_document(text, source, ExporterDocument)
    defaults = document.defaults
    limits = Limits(**msgspec.structs.asdict(document.limits))
    model, version = flags.model or defaults.model, flags.version or defaults.version
    fallback = FormatOptions(flags.format or "native", model, version)
    if flags.log_paths:
        origins = origins_of_paths(flags.log_paths, fallback)
    else:
        origins = origins_of(document.sources, fallback, base, text, source)
    push = push_section(document.push, flags.push)
    if push is not None:
        origins = (*origins, *push_origins(push, fallback, text, source))
    if not origins:
        hint = "give --log.path FILE, or --push, or `sources:` in the configuration file"
        raise ConfigError("no log to read", hint=hint)
    patterns = tuple(origin.name for origin in origins if origin.kind is OriginKind.FILES)
    default = ModelPlan(
        reference=_default_reference(flags, defaults, base),
        task=flags.task or defaults.task,
        default_role=flags.role or defaults.role,
        user_salt=salt_of(document.users, base, text, source),
        limits=limits,
        feature_share=document.sampling.features,
    )
    models: dict[str, ModelPlan] = {}
    for i, section in enumerate(document.models):
        if section.name in models:
            raise error_at(text, source, ["models", i, "name"], repr(section.name), "each model once")
        models[section.name] = _model(section, default, base, text=text, source=source, index=i)
    plan = MonitorPlan(
        models=models,
        default=default,
        windows=_windows(document.windows, text, source),
        join_capacity=document.labels.capacity,
        early_ttl=float(document.labels.early_ttl),
        limits=limits,
        version_retention=float(document.version_retention),
    )
    peers = peers_of(document.users, base, text, source)
    return ExporterSettings(
        patterns,
        plan,
        model,
        version,
        tuple(settings_warnings(plan, peers, origins)),
        peers,
        origins,
        push,
        SheddingPlan(document.shedding.enabled, document.shedding.lag_bytes, float(document.shedding.patience)),
        store_section(document.store, base, text, source),
    )


def duration_text(seconds: float) -> str:
    """The shortest Prometheus spelling of a whole duration.

    >>> duration_text(300), duration_text(5400), duration_text(86400), duration_text(90)
    ('5m', '90m', '1d', '90s')
    """
    if seconds == 0:
        return "0"
    for unit, text in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{int(seconds // unit)}{text}"
    return f"{seconds:g}s"


def _model(section: ModelSection, default: ModelPlan, base: Path, *, text: str, source: str, index: int) -> ModelPlan:
    _check_model(section, base, text, source, ("models", index))
    maturity = float(section.maturity)
    label_ttl = float(section.label_ttl) if section.label_ttl is not None else max(JoinPolicy().label_ttl, maturity)
    reference = default.reference if section.reference is None else _profile(base / section.reference)
    place = ("models", index, "feature_objectives")
    check_feature_objectives(section.feature_objectives, reference, text, source, place)
    return replace(
        default,
        positive=canonical_class(section.positive_class),
        negative=canonical_class(section.negative_class),
        threshold=section.threshold,
        join=JoinPolicy(maturity, label_ttl, _unlabeled(section)),
        reference=reference,
        roles=section.roles,
        objectives=section.objectives,
        feature_objectives=section.feature_objectives,
        task=section.task,
        ranks=tuple(sorted(set(section.ranks))),
        quantile=section.quantile,
        segments=section.segments,
        split=section.split,
        clicks=section.clicks,
        conversions=section.conversions,
        feature_share=default.feature_share if section.sampling is None else section.sampling.features,
    )


def _check_model(section: ModelSection, base: Path, text: str, source: str, place: tuple[str | int, ...]) -> None:
    """Rules that span keys. Raises ConfigError."""
    check_objectives(section.objectives, text, source, (*place, "objectives"))
    ttl = section.label_ttl
    if ttl is not None and (ttl <= 0 or ttl < section.maturity):
        allowed = "a duration such as 24h, at least the maturity"
        raise error_at(text, source, (*place, "label_ttl"), duration_text(ttl), allowed)
    negative = canonical_class(section.negative_class)
    if negative is not None and negative == canonical_class(section.positive_class):
        raise error_at(text, source, (*place, "negative_class"), repr(negative), "another class than positive_class")
    _check_unlabeled(section, text, source, (*place, "unlabeled"))
    baselines = [version for version, role in section.roles.items() if role is Role.BASELINE]
    if len(baselines) > 1:
        found = f"{' and '.join(baselines)} all called baseline"
        allowed = "one baseline, or nothing is judged or rolled back; a retired version: unassigned"
        raise error_at(text, source, (*place, "roles"), found, allowed)
    total = sum(section.split.values())
    if section.split and abs(total - 1) > _ROUNDING:
        raise error_at(text, source, (*place, "split"), f"shares that add up to {total:g}", "shares that add up to 1")
    if section.split and min(section.split.values()) <= 0:
        raise error_at(text, source, (*place, "split"), "a share of 0", "only versions that get traffic")
    for i, name in enumerate(section.segments):
        if name in section.segments[:i]:
            raise error_at(text, source, (*place, "segments", i), repr(name), "each feature once")
    if section.reference is not None and not (base / section.reference).is_file():
        allowed = f"a reference profile; there is no file {base / section.reference}"
        raise error_at(text, source, (*place, "reference"), repr(section.reference), allowed)


def _unlabeled(section: ModelSection) -> str | None:
    """The class that a mature prediction without a label counts as."""
    if section.unlabeled is None:
        return None
    return canonical_class(section.negative_class) or "0"


def _check_unlabeled(section: ModelSection, text: str, source: str, place: tuple[str | int, ...]) -> None:
    """A negative needs a name, and a moment at which it is one. Raises ConfigError."""
    if section.unlabeled is None:
        return
    if section.task is not Task.BINARY:
        raise error_at(text, source, place, repr(section.unlabeled), "this key only with `task: binary`")
    if section.maturity <= 0:
        raise error_at(text, source, place, repr(section.unlabeled), "this key only with a `maturity` above 0")
    if section.positive_class is not None and section.negative_class is None:
        allowed = "this key only with a `negative_class` beside the `positive_class`"
        raise error_at(text, source, place, repr(section.unlabeled), allowed)


_ROUNDING = 1e-6


def _default_reference(flags: Flags, defaults: DefaultsSection, base: Path) -> Reference | None:
    if flags.reference is not None:
        return _profile(flags.reference)
    return None if defaults.reference is None else _profile(base / defaults.reference)


def _profile(path: Path) -> Reference:
    try:
        text = read_text(path)
    except ConfigError as error:
        if isinstance(error.__cause__, UnicodeDecodeError):  # such as the Parquet file itself
            raise no_profile(str(path)) from error
        raise
    return read_profile(text, str(path))


def _windows(windows: Sequence[Seconds], text: str, source: str) -> tuple[tuple[str, float], ...]:
    for i, seconds in enumerate(windows):
        if seconds < 1:
            raise error_at(text, source, ["windows", i], f"{float(seconds):g}s", "a duration of at least 1s")
        if seconds in windows[:i]:
            raise error_at(text, source, ["windows", i], duration_text(seconds), "each window once")
    return tuple({duration_text(s): float(s) for s in windows}.items())
