"""What `mlcanary replay` says of the features: which are beyond chance, and how; or that none is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlcanary.listing import first_of
from mlcanary.measures.beyond_chance import FIGURES, times_chance, words
from mlcanary.replay import Replay

_MOST = 10
_NAMES = {figure: f"feature_{figure.removesuffix('_ratio')}" for figure in FIGURES}
"""Names in a replay, by those of `beyond_chance`."""
_KINDS = {"number": "numbers", "text": "text", "boolean": "booleans", "other": "lists or objects"}


def features_told(result: Replay) -> Iterator[str]:
    """A line or two for each version that has a profile: features beyond chance, the furthest first; new features."""
    for (model, version), figures in result.versions.items():
        of = f"{model}/{version}"
        features = _by_feature(figures)
        times = {name: times_chance(found) for name, found in features.items()}
        order = sorted(times, key=lambda name: -times[name])
        beyond = [name for name in order if times[name] > 1]
        told = [f"{name} {' and '.join(words(features[name], _wrong_type(figures, name)))}" for name in beyond]
        if told:
            more = ", see --output json" if len(beyond) > _MOST else ""
            yield f"{of} beyond chance: {first_of(told, _MOST, between='; ')}{more}"
        elif closest := next((name for name in order if "psi_critical" in features[name]), None):
            found = features[closest]
            yield (
                f"{of}: no feature is beyond chance; the furthest is {closest}, "
                f"PSI {found['psi']:.3f} (by chance {found['psi_critical']:.3f})"
            )
        if new := figures.get("features_not_in_the_reference"):
            named = first_of((f"{name} ({count:,.0f} records)" for name, count in new.items()), _MOST)
            yield f"{of} not in the profile: {named}"


def _by_feature(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of each feature that a profile has; without one nothing is far from anything."""
    found: dict[str, dict[str, float]] = {}
    for figure, name in _NAMES.items():
        for feature, value in figures.get(name, {}).items():
            found.setdefault(feature, {})[figure] = value
    known = {*figures.get("feature_missing_delta", {}), *figures.get("feature_psi", {})}
    return {feature: own for feature, own in found.items() if feature in known}


def _wrong_type(figures: dict[str, Any], feature: str) -> str:
    """The kind of values that is most frequent among those which numbers are not; else that it is another type."""
    kinds = figures.get("feature_kinds", {}).get(feature, {})
    others = {kind: n for kind, n in kinds.items() if kind != "number"}
    numeric = feature in figures.get("feature_ks", {}) or "number" in kinds
    return _KINDS[max(others, key=lambda kind: others[kind])] if numeric and len(others) == 1 else "of another type"
