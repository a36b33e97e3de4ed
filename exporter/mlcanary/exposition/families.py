"""Samples of one moment, grouped into catalogue families in catalogue order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mlcanary.catalog import BY_NAME, CATALOG, MetricSpec
from mlcanary.records import Sample


class Family(NamedTuple):
    """A row of the catalogue and its samples, in the order in which they came."""

    spec: MetricSpec
    samples: list[Sample]


def families(samples: Iterable[Sample]) -> list[Family]:
    """Group samples; families without one are left out. Raises KeyError on a name that is no catalogue row."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.name, []).append(sample)
    for name in found:
        BY_NAME[name]
    return [Family(spec, found[spec.name]) for spec in CATALOG if spec.name in found]
