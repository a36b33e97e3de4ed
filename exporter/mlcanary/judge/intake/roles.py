"""Who is compared with whom: the versions of each model by the roles that its exporters give them.

Guarantee: a pure function of a reading; every version that any exporter calls a canary is answered for, with arms that
may be compared or with the reason why not. Cost: one pass over `mlcanary_model_info`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mlcanary.catalog import Role
from mlcanary.judge.intake.reading import INFO, Reading

SPLIT_NAME = " (A/A)"
"""What is put behind the version of a baseline whose exporters are compared with each other."""

ModelName = tuple[str, str, str]
"""Cluster, namespace and name of a model; the first two are "" where series do not carry them."""

Roles = dict[ModelName, dict[str, set[str]]]


class Arms(msgspec.Struct, frozen=True, order=True):
    """A canary and what it is compared with.

    `conflict`: why they must not be compared now, "" if they may; `baseline` is then the first by name, "" if there is
    none. `split`: both arms are the baseline, some of its exporters against the others.
    """

    cluster: str
    namespace: str
    model: str
    canary: str
    baseline: str
    conflict: str = ""
    split: bool = False

    @property
    def model_name(self) -> ModelName:
        """Where the counters of the model are."""
        return self.cluster, self.namespace, self.model

    @property
    def name(self) -> tuple[str, ...]:
        """What tells these arms from others, whatever the conflict of the moment."""
        return *self.model_name, self.canary, self.baseline, "split" if self.split else ""


def find_arms(reading: Reading) -> list[Arms]:
    """The arms of every canary, in order of their names; several canaries of a model each have the same baseline."""
    return sorted(arms for name, versions in roles(reading).items() for arms in _of_model(name, versions))


def split_arms(reading: Reading) -> list[Arms]:
    """An A/A comparison of every model with one undisputed baseline, in order of names."""
    found = []
    for name, versions in roles(reading).items():
        baselines = [version for version, held in versions.items() if held == {Role.BASELINE.value}]
        disputed = sum(Role.BASELINE.value in held for held in versions.values()) > 1
        if len(baselines) == 1 and not disputed:
            found.append(Arms(*name, baselines[0] + SPLIT_NAME, baselines[0], split=True))
    return sorted(found)


def canary_models(reading: Reading) -> list[str]:
    """Names of the models that have a canary and a baseline, in order."""
    wanted = {Role.CANARY.value, Role.BASELINE.value}
    found = {name[2] for name, versions in roles(reading).items() if wanted <= set().union(*versions.values())}
    return sorted(found)


def roles(reading: Reading) -> Roles:
    """Roles of every version of every model, as all exporters give them."""
    found: Roles = {}
    for sample in reading.series:
        if sample.name != INFO or sample.value != 1:
            continue
        labels = sample.labels
        name = labels.get("cluster", ""), labels.get("namespace", ""), labels.get("model", "")
        versions = found.setdefault(name, {})
        versions.setdefault(labels.get("version", ""), set()).add(labels.get("role", ""))
    return found


def _of_model(name: ModelName, versions: dict[str, set[str]]) -> Iterator[Arms]:
    for version in sorted(versions):
        if Role.CANARY.value not in versions[version]:
            continue
        others = sorted(v for v, held in versions.items() if Role.BASELINE.value in held and v != version)
        baseline = others[0] if others else ""
        yield Arms(*name, version, baseline, _conflict(name[2], version, others, versions))


def _conflict(model: str, canary: str, baselines: Sequence[str], versions: dict[str, set[str]]) -> str:
    if not baselines:
        return f"no version of {model} is the baseline"
    if len(baselines) > 1:
        return f"{' and '.join(baselines)} are all called the baseline"
    for version in (canary, baselines[0]):
        if len(versions[version]) > 1:
            return f"exporters call {version} {' and '.join(sorted(versions[version]))}"
    return ""
