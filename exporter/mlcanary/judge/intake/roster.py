"""Who is judged at a reading: which canaries are there, which have gone, whose arms are counted.

Guarantee: a pure function of a reading and of the canaries judged so far. A canary whose exporter is away for a moment
stays: its arms are known from its key. One whose roles are disputed stays, with the dispute in its arms. One that has
another baseline now is another canary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mlcanary.judge.contract import CanaryKey
from mlcanary.judge.intake.reading import THRESHOLD, Reading
from mlcanary.judge.intake.roles import SPLIT_NAME, Arms, ModelName, find_arms, roles, split_arms


@dataclass(frozen=True, slots=True)
class Attendant:
    """Arms whose gains are taken. `key`: the canary judged by them, None if its judging may begin.

    `named`: it is called a canary now. `counts`: what it gains is evidence; it is not while its version has another
    role, such as a canary that was made the baseline.
    """

    arms: Arms
    key: CanaryKey | None
    named: bool
    counts: bool


@dataclass(slots=True)
class Roster:
    """Everybody at one reading, in a fixed order. `replaced`: canaries that have another baseline now."""

    attendants: list[Attendant] = field(default_factory=list)
    replaced: list[CanaryKey] = field(default_factory=list)


def is_split(key: CanaryKey) -> bool:
    """Whether this is an A/A run: some exporters of the baseline against the others."""
    return key.version == key.baseline + SPLIT_NAME


def model_of(key: CanaryKey) -> ModelName:
    """The model of a canary."""
    return key.cluster, key.namespace, key.model


def arms_of(key: CanaryKey, conflict: str = "") -> Arms:
    """The arms that a canary began with."""
    return Arms(*model_of(key), key.version, key.baseline, conflict, is_split(key))


def attend(reading: Reading, judged: Iterable[CanaryKey], split: Collection[ModelName]) -> Roster:
    """The roster. Input: `judged`, canaries judged so far; `split`, models whose A/A run is wanted."""
    roster = Roster()
    held = roles(reading)
    free = {(*arms.model_name, arms.canary): arms for arms in find_arms(reading)}
    free |= {(*arms.model_name, arms.canary): arms for arms in split_arms(reading) if arms.model_name in split}
    for key in sorted(judged):
        arms = free.pop((*model_of(key), key.version), None)
        if arms is None:
            other_role = bool(held.get(model_of(key), {}).get(key.version))
            roster.attendants.append(Attendant(arms_of(key), key, named=False, counts=not other_role))
        elif arms.baseline == key.baseline:
            roster.attendants.append(Attendant(arms, key, named=True, counts=True))
        elif arms.conflict:
            roster.attendants.append(Attendant(arms_of(key, arms.conflict), key, named=True, counts=True))
        else:
            roster.replaced.append(key)
            free[*model_of(key), key.version] = arms
    for arms in sorted(free.values()):
        if not arms.conflict:
            roster.attendants.append(Attendant(arms, None, named=True, counts=True))
    return roster


def objectives(reading: Reading, models: Collection[str]) -> Mapping[str, Mapping[str, float]]:
    """Limits that exporters publish, by model and objective; of several the largest, as the rules take it."""
    found: dict[str, dict[str, float]] = {}
    for sample in reading.series:
        if sample.name == THRESHOLD and sample.labels.get("model") in models:
            of_model = found.setdefault(sample.labels["model"], {})
            name = sample.labels.get("objective", "")
            of_model[name] = max(of_model.get(name, sample.value), sample.value)
    return found


def began(arms: Arms, at: float) -> CanaryKey:
    """The key of a canary that begins."""
    return CanaryKey(*arms.model_name, arms.canary, arms.baseline, at)
