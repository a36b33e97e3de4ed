"""Objects of Kubernetes in tests: read, and checked against the schemas of its API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

Object = dict[str, Any]
RELEASES = ("1.29", "1.33", "1.37")
"""The first with native sidecars turned on, the first where they are stable, the newest that there are schemas of."""
OPERATOR = "monitoring.coreos.com"


class _Loader(yaml.CSafeLoader):
    """kustomize writes a lone `=` unquoted, which YAML 1.1 takes for something else."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _loader, node: node.value)


def read(text: str | bytes) -> list[Object]:
    """The documents of a file."""
    return [document for document in yaml.load_all(text, Loader=_Loader) if document]


def objects(contents: Mapping[Path, bytes]) -> list[Object]:
    """All objects of an export but its kustomizations."""
    texts = [data for path, data in contents.items() if path.suffix == ".yaml" and path.name != "kustomization.yaml"]
    return [document for text in texts for document in read(text)]


def named(found: Iterable[Object], kind: str, name: str) -> Object:
    """The one object of a kind with a name."""
    (only,) = (each for each in found if each["kind"] == kind and each["metadata"]["name"] == name)
    return only


def check_core(document: Object, release: str) -> None:
    """Strict: an unknown field is an error. Raises what kubernetes_validate raises."""
    kubernetes_validate.validate(document, release, strict=True)
