"""The judge's configuration file, which is optional: `--prometheus.url` alone starts a judge with every default.

    prometheus: {url: http://127.0.0.1:9090}
    interval: 30s
    defaults: {alpha: 0.01, warm_up: 5m}
    models:
      clicks: {weights: {errors: 0.2, quality: 0.5, business: 0.3}, margins: {ctr: 0.03}}

Guarantee: what `load_settings` returns is complete and consistent; anything else is one ConfigError with file, line,
key, what was found and what is allowed. A model overrides `defaults` key by key, `tolerances` and `margins` measure
by measure; `weights` replace the default ones as a whole, for they are parts of one alpha. The model's own output is
always excluded from the features.

A plan is bound to a canary when its judging begins: a change of the file holds for canaries that begin later. Else a
verdict would be a function of when the file was changed, and alpha could be spent twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from mlcanary.catalog import OBJECTIVES, PREDICTION_FEATURE, Family
from mlcanary.catalog.judge import MARGINS, RELATIVE_MARGINS
from mlcanary.documents import Schema, Seconds, error_at, load_document, suggestion
from mlcanary.errors import ConfigError
from mlcanary.judge.contract import FEATURE, Plan

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@\s]+(/[^#\s]*)?$")]
LabelName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Chance = Annotated[float, msgspec.Meta(gt=0, lt=0.5)]
Part = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Keys = tuple[str | int, ...]

MEASURES: dict[str, frozenset[str]] = {
    "margins": frozenset({*MARGINS, *RELATIVE_MARGINS}),
    "tolerances": frozenset({*MARGINS, *RELATIVE_MARGINS, "recall", "precision", "jaccard"}),
}
"""Measures that a key may name."""

LOWEST_INTERVAL = 1.0
LONGEST_WAIT = 240.0
"""Seconds from a grid time to the next reading at most: rules and handler take a judge of 300 s ago for gone."""
_PLACE = "--prometheus.url"
_ROUNDING = 1e-9
_DEFAULTS = {objective.name: objective.default for objective in OBJECTIVES}
_DURATIONS_ABOVE_ZERO = ("deadline", "block_seconds", "change_seconds")


class PrometheusSettings(Schema, frozen=True):
    """Where counters are read."""

    url: Url
    timeout: Seconds = Seconds(30.0)
    bearer_token_file: str = ""
    ca_file: str = ""


class PlanSettings(Schema, frozen=True):
    """The keys of `contract.Plan`. Absent keys come from `defaults`, then from `Plan`."""

    alpha: Chance | None = None
    promote_alpha: Chance | None = None
    weights: dict[Family, Part] | None = None
    tolerances: dict[str, Amount] | None = None
    margins: dict[str, Amount] | None = None
    exclude: tuple[str, ...] | None = None
    warm_up: Seconds | None = None
    min_age: Seconds | None = None
    min_trials: Amount | None = None
    deadline: Seconds | None = None
    block_trials: Annotated[float, msgspec.Meta(ge=1)] | None = None
    block_seconds: Seconds | None = None
    design_effect: Annotated[float, msgspec.Meta(ge=1)] | None = None
    design_effect_limit: Annotated[float, msgspec.Meta(ge=1)] | None = None
    split_alpha: Chance | None = None
    label_coverage: Part | None = None
    change_seconds: Seconds | None = None
    aa_period: Seconds | None = None


class JudgeSettings(Schema, frozen=True):
    """The whole file."""

    prometheus: PrometheusSettings | None = None
    interval: Seconds = Seconds(30.0)
    settle: Seconds = Seconds(10.0)
    catch_up: Seconds = Seconds(6 * 3600.0)
    forget_after: Seconds = Seconds(3600.0)
    retention: Seconds = Seconds(30 * 86400.0)
    select: dict[LabelName, str] = msgspec.field(default_factory=dict)
    defaults: PlanSettings = PlanSettings()
    models: dict[str, PlanSettings] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration; durations in seconds.

    `interval`: grid of Prometheus time on which counters are read, each `settle` after its time. `catch_up`: oldest
    time that is still read after an outage. `forget_after`: a canary that is named nowhere for so long has ended, and
    one that is asked again after the baseline alone was for so long is another one. `retention`: how long the steps of
    an ended canary are kept. `select`: label matchers of every query.
    """

    prometheus: PrometheusSettings
    interval: float
    settle: float
    catch_up: float
    forget_after: float
    retention: float
    select: tuple[tuple[str, str], ...]
    defaults: PlanSettings
    models: Mapping[str, PlanSettings]
    digest: str

    def plan(self, model: str, objectives: Mapping[str, float]) -> Plan:
        """The plan of a model: its keys, else the defaults, else `Plan`.

        A margin that the file does not name is the model's own objective, as its exporters publish it in
        `mlcanary_objective_threshold`, else the objective's default. Input: `objectives` by name.
        """
        own, shared = self.models.get(model, PlanSettings()), self.defaults
        published = {name: objectives.get(objective, _DEFAULTS[objective]) for name, objective in MARGINS.items()}
        keys = {
            **_given(shared),
            **_given(own),
            "tolerances": {**(shared.tolerances or {}), **(own.tolerances or {})},
            "margins": {**published, **(shared.margins or {}), **(own.margins or {})},
            "exclude": tuple(dict.fromkeys((*Plan().exclude, *(own.exclude or shared.exclude or ())))),
        }
        return msgspec.convert(keys, Plan)


def unused_names(
    plan: Plan, model: str, born: Collection[str], models: Collection[str], known: Collection[str] = ()
) -> Iterator[str]:
    """What a file seems to misspell for a canary: names that nothing bears, beside one that is close.

    Other names may belong to other models. Input: `born`, inputs that the canary has now, as in `contract.Counts`;
    `known`, those that it had before; `models`, those that have a plan of their own.
    """
    features, others = ({n.removeprefix(FEATURE) for n in names if n.startswith(FEATURE)} for names in (born, known))
    for name in sorted({*plan.exclude} - features - others - {PREDICTION_FEATURE}):
        if near := suggestion(name, features):
            yield f"exclude: the canary has no feature {name}{near}"
    if model not in models and (near := suggestion(model, models)):
        yield f"models: none is called {model}, so the defaults hold{near}"


NO_PROMETHEUS = "http://prometheus.invalid"
"""Stands where a file may name a server, for whoever asks none: a check of the file, a replay."""


def load_settings(path: Path | None, url: str | None, *, asks: bool = True) -> Settings:
    """The configuration of a file, of `--prometheus.url`, or of both, where the flag wins. Raises ConfigError.

    An address is needed by who `asks` Prometheus; else NO_PROMETHEUS stands for it where none is named.
    """
    if path is None:
        return parse_settings("", _PLACE, url, asks=asks)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", hint="check --config.file") from error
    return parse_settings(text, str(path), url, asks=asks)


def parse_settings(text: str, source: str, url: str | None = None, *, asks: bool = True) -> Settings:
    """The configuration of a text; `source` names it in messages. Raises ConfigError."""
    document = load_document(text, source, JudgeSettings)
    prometheus = _prometheus(document, source, url if asks or document.prometheus else url or NO_PROMETHEUS)
    _check(document, text, source)
    return Settings(
        prometheus=prometheus,
        interval=float(document.interval),
        settle=float(document.settle),
        catch_up=float(document.catch_up),
        forget_after=float(document.forget_after),
        retention=float(document.retention),
        select=tuple(sorted(document.select.items())),
        defaults=document.defaults,
        models=document.models,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _prometheus(document: JudgeSettings, source: str, url: str | None) -> PrometheusSettings:
    if url is None:
        if document.prometheus is None:
            hint = "set prometheus.url in --config.file, or give --prometheus.url http://HOST:9090"
            raise ConfigError(f"{source}: prometheus.url: found nothing; allowed: an address", hint=hint)
        return document.prometheus
    base = {} if document.prometheus is None else msgspec.structs.asdict(document.prometheus)
    try:
        return msgspec.convert({**base, "url": url}, PrometheusSettings, dec_hook=lambda kind, value: value)
    except msgspec.ValidationError as error:
        allowed = "http://HOST:PORT or https://HOST/PATH, without a name or password"
        raise ConfigError(f"{_PLACE}: found {url!r}; allowed: {allowed}") from error


def _given(section: PlanSettings) -> dict[str, object]:
    return {
        key: float(value) if isinstance(value, Seconds) else value
        for key, value in msgspec.structs.asdict(section).items()
        if value is not None
    }


def _check(document: JudgeSettings, text: str, source: str) -> None:
    """Rules that span keys."""

    def wrong(place: Keys, found: str, allowed: str) -> ConfigError:
        return error_at(text, source, place, found, allowed)

    if document.interval < LOWEST_INTERVAL:
        raise wrong(("interval",), f"{document.interval:g} s", f"{LOWEST_INTERVAL:g}s or more")
    if document.interval + document.settle > LONGEST_WAIT:
        found = f"{document.interval + document.settle:g} s with settle"
        raise wrong(("interval",), found, f"{LONGEST_WAIT:g}s or less: older verdicts are not acted on")
    for key in ("catch_up", "forget_after"):
        value = getattr(document, key)
        if value < document.interval:
            raise wrong((key,), f"{value:g} s", f"the interval, {document.interval:g} s, or more")
    if document.prometheus is not None and document.prometheus.timeout <= 0:
        raise wrong(("prometheus", "timeout"), "0 s", "more than 0")
    _check_plan(document.defaults, ("defaults",), text, source)
    for name, plan in document.models.items():
        _check_plan(plan, ("models", name), text, source)


def _check_plan(plan: PlanSettings, place: Keys, text: str, source: str) -> None:
    for key, value in msgspec.structs.asdict(plan).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise error_at(text, source, (*place, key), f"{value}", "a finite number")
    if plan.weights is not None:
        total = math.fsum(plan.weights.values())
        if total > 1 + _ROUNDING:
            raise error_at(
                text, source, (*place, "weights"), f"a sum of {total:g}", "1 at most: they are parts of alpha"
            )
        if total <= 0:
            raise error_at(text, source, (*place, "weights"), "no weight", "at least one above 0")
    for key in ("tolerances", "margins"):
        for measure, amount in (getattr(plan, key) or {}).items():
            if measure not in MEASURES[key]:
                raise error_at(text, source, (*place, key, measure), repr(measure), ", ".join(sorted(MEASURES[key])))
            if not math.isfinite(amount) or (key == "margins" and amount == 0):
                raise error_at(text, source, (*place, key, measure), f"{amount:g}", "a finite number above 0")
    for key in _DURATIONS_ABOVE_ZERO:
        if getattr(plan, key) == 0:
            raise error_at(text, source, (*place, key), "0 s", "more than 0")
