"""What bounds an exporter in its configuration: names, predictions that wait, rows that are looked at, bytes behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from mlcanary.catalog import LATENCY_BUCKETS, OBJECTIVES, Objective
from mlcanary.documents import Schema, Seconds, error_at, suggestion
from mlcanary.listing import first_of
from mlcanary.measures.reference import Reference

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


_NAMED = 20
"""Features that an error names; more would hide what it says."""

Place = tuple[str | int, ...]


def check_objectives(objectives: Mapping[str, float], text: str, source: str, place: Place) -> None:
    """Hold the limits of a model against what rules read.

    Raises ConfigError: an unknown one, one that makes no sense, or no edge of latency.
    """
    known = {row.name: row for row in OBJECTIVES}
    for name, limit in objectives.items():
        if name not in known:
            found = f"an unknown key{suggestion(name, known)}"
            raise error_at(text, source, (*place, name), found, ", ".join(known))
        _check_limit(known[name], limit, text, source, (*place, name))


def check_feature_objectives(
    objectives: Mapping[str, Mapping[str, float]],
    reference: Reference | None,
    text: str,
    source: str,
    place: Place,
) -> None:
    """Hold the limits of single features against what rules read, and their names against the reference profile.

    Without a profile features are learnt from the log, and any name may come. With one, what it does not have is never
    measured. Raises ConfigError: a feature or limit that is unknown, a limit of the model, one that makes no sense.
    """
    known = {row.name: row for row in OBJECTIVES}
    of_features = [row.name for row in OBJECTIVES if row.per_feature]
    for feature, own in objectives.items():
        if reference is not None and feature not in reference.watched:
            found = f"no feature of the reference profile{suggestion(feature, reference.watched)}"
            raise error_at(text, source, (*place, feature), found, first_of(reference.watched, _NAMED))
        for name, limit in own.items():
            if name not in of_features:
                found = f"an unknown key{suggestion(name, of_features)}"
                if name in known:
                    found = "a limit of the whole model, which belongs under `objectives`"
                raise error_at(text, source, (*place, feature, name), found, ", ".join(of_features))
            _check_limit(known[name], limit, text, source, (*place, feature, name))


def _check_limit(row: Objective, limit: float, text: str, source: str, place: Place) -> None:
    low, high = row.low, row.high
    if row.name == "latency_seconds" and limit not in LATENCY_BUCKETS:
        allowed = f"an edge of the latency histogram: {', '.join(f'{edge:g}' for edge in LATENCY_BUCKETS)}"
        raise error_at(text, source, place, f"{limit:g}", allowed)
    if not low <= limit <= high:
        percent = f" ({limit / 100:g} for {limit:g} %)" if high == 1.0 < limit <= 100.0 else ""
        raise error_at(text, source, place, f"{limit:g}", f"{low:.10g} to {high:.10g}{percent}")
