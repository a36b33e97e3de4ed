"""What bounds an exporter in its configuration: names, predictions that wait, rows that are looked at, bytes behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from mlcanary.catalog import LATENCY_BUCKETS, OBJECTIVES
from mlcanary.documents import Schema, Seconds, error_at, suggestion

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class LabelsSection(Schema, frozen=True):
    """Bounds of the join table."""

    capacity: AtLeastOne = 200_000
    early_ttl: Seconds = Seconds(600)


class LimitsSection(Schema, frozen=True):
    """Caps on names learnt from the log."""

    models: AtLeastOne = 50
    versions: AtLeastOne = 20
    features: AtLeastOne = 200
    classes: Annotated[int, msgspec.Meta(ge=2)] = 20
    events: AtLeastOne = 20
    reasons: AtLeastOne = 20
    segment_values: AtLeastOne = 10
    items: AtLeastOne = 100
    series: Annotated[int, msgspec.Meta(ge=1000)] = 50_000
    window_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 256 * 1024 * 1024


class SamplingSection(Schema, frozen=True):
    """How much is looked at by choice. `features`: the share of rows whose features are counted."""

    features: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class SheddingSection(Schema, frozen=True):
    """When features of rows are shed: above `lag_bytes` of unread log, for `patience`, and not catching up."""

    enabled: bool = True
    lag_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 64 * 1024 * 1024
    patience: Seconds = Seconds(5)


def check_objectives(objectives: Mapping[str, float], text: str, source: str, place: tuple[str | int, ...]) -> None:
    """Hold the limits of a model against what rules read.

    Raises ConfigError: an unknown one, one that makes no sense, or no edge of latency.
    """
    known = {row.name: row for row in OBJECTIVES}
    for name, limit in objectives.items():
        if name not in known:
            found = f"an unknown key{suggestion(name, known)}"
            raise error_at(text, source, (*place, name), found, ", ".join(known))
        low, high = known[name].low, known[name].high
        if name == "latency_seconds" and limit not in LATENCY_BUCKETS:
            allowed = f"an edge of the latency histogram: {', '.join(f'{edge:g}' for edge in LATENCY_BUCKETS)}"
            raise error_at(text, source, (*place, name), f"{limit:g}", allowed)
        if not low <= limit <= high:
            percent = f" ({limit / 100:g} for {limit:g} %)" if high == 1.0 < limit <= 100.0 else ""
            raise error_at(text, source, (*place, name), f"{limit:g}", f"{low:.10g} to {high:.10g}{percent}")
