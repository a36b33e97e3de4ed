"""Where the objects of an export go: their namespace and what labels they get."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlcanary.errors import ConfigError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
PART_OF = {"app.kubernetes.io/part-of": "mlcanary"}
DEFAULT_NAMESPACE = "monitoring"


@dataclass(frozen=True)
class Place:
    """A namespace and labels, as Kubernetes allows them. Raises ConfigError for others."""

    namespace: str = DEFAULT_NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.namespace):
            raise ConfigError(
                f"--namespace: found {self.namespace!r}; allowed: lower case letters, digits and -, at most 63",
                hint="give the namespace of your Prometheus, such as monitoring",
            )
        for key, value in self.labels.items():
            if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
                raise ConfigError(
                    f"--label: found {f'{key}={value}'!r}; allowed: KEY=VALUE as labels of Kubernetes are",
                    hint="kube-prometheus-stack, for example, selects by release=NAME",
                )

    def metadata(self, name: str, more: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The metadata of an object of ours."""
        return {"name": name, "namespace": self.namespace, "labels": {**PART_OF, **(more or {}), **self.labels}}

    def placed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A document of this package with its namespace and labels."""
        metadata = document["metadata"]
        return {**document, "metadata": self.metadata(metadata["name"], metadata.get("labels"))}


def labels_of(pairs: Iterable[str]) -> dict[str, str]:
    """Labels of `KEY=VALUE` texts. Raises ConfigError where one has no `=`, or a key comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--label: found {pair!r}; allowed: KEY=VALUE", hint="such as --label release=prometheus")
        if found.setdefault(key, value) != value:
            raise ConfigError(f"--label: found {key} twice, with other values; allowed: each key once")
    return found
