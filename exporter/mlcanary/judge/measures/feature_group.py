"""Features that canary and baseline see: is one of them read differently by the canary?

Features that are first seen in the same step form a group, whose tests are updated at once. The evidence of a feature
is an e-process under any drift that both arms share; that of the family is the mean over the features.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlcanary.judge.contract import FEATURE, FeatureAssessment, Plan, Structure
from mlcanary.judge.measures.blocks import Pending
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.category_evidence import CategoriesEvidence
from mlcanary.stats.feature_evidence import FeaturesEvidence, Guilty
from mlcanary.stats.reference_evidence import reference_log_e

MISSING = "missing"


@dataclass(slots=True)
class FeatureGroup:
    """Numeric features first, then categorical ones; `names` in that order.

    `against_reference`: log E of each feature of the baseline against its reference profile, as of the last call of
    `look_at_reference`, NaN without a profile.
    """

    structures: dict[str, Structure]
    plan: Plan
    names: tuple[str, ...] = field(init=False)
    pending: Pending = field(init=False)
    numeric: FeaturesEvidence | None = field(init=False, default=None)
    categorical: CategoriesEvidence | None = field(init=False, default=None)
    seen_baseline: Floats = field(init=False)
    against_reference: Floats = field(init=False)
    starts: NDArray[np.intp] = field(init=False)
    """First column of each feature."""

    def __post_init__(self) -> None:
        """At least one feature."""
        numeric = [name for name, structure in self.structures.items() if structure.kind == "numeric"]
        categorical = [name for name in self.structures if name not in numeric]
        self.names = (*numeric, *categorical)
        sizes = [len(self.structures[name].cells) for name in self.names]
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.pending = Pending(sum(sizes))
        self.seen_baseline, self.against_reference = np.zeros(sum(sizes)), np.full(len(sizes), np.nan)
        if numeric:
            self.numeric = FeaturesEvidence([(size, True) for size in sizes[: len(numeric)]])
        if categorical:
            self.categorical = CategoriesEvidence(sizes[len(numeric) :])

    def take(self, canary: Floats, baseline: Floats, start: float, end: float) -> None:
        """What both arms gained in (start, end], counts of all features one after another in the order of `names`."""
        self.pending.add(canary, baseline, start)
        n_c, n_b = (
            float(np.add.reduceat(arm, self.starts).max()) for arm in (self.pending.canary, self.pending.baseline)
        )
        trials, seconds = self.plan.block_trials, self.plan.block_seconds
        if not self.pending.closes(n_c, n_b, end, least=1.0, trials=trials, seconds=seconds):
            return
        block_c, block_b = self.pending.take()
        self.seen_baseline = self.seen_baseline + block_b
        counts_c, counts_b = block_c.astype(np.int64), block_b.astype(np.int64)
        numbers = 0
        if self.numeric is not None:
            numbers = self.numeric.counts_c.size
            self.numeric.update([counts_c[:numbers]], [counts_b[:numbers]])
        if self.categorical is not None:
            self.categorical.update([counts_c[numbers:]], [counts_b[numbers:]])

    def log_e(self) -> Floats:
        """Log E of each feature, in the order of `names`."""
        parts = [evidence.log_e() for evidence in (self.numeric, self.categorical) if evidence is not None]
        return np.concatenate(parts)

    def look_at_reference(self) -> None:
        """Hold what the baseline has seen so far against the reference profiles; rows that repeat count as one."""
        phi = np.concatenate([part.phi for part in (self.numeric, self.categorical) if part is not None])
        alike: dict[tuple[str, int], list[int]] = {}
        for i, name in enumerate(self.names):
            structure = self.structures[name]
            if structure.reference:
                alike.setdefault((structure.kind, len(structure.cells)), []).append(i)
        for (kind, size), places in alike.items():
            counts = np.stack([self.seen_baseline[start : start + size] for start in self.starts[places].tolist()])
            before = np.array([self.structures[self.names[i]].reference for i in places])
            found = reference_log_e(before, counts / phi[places, None], numeric=kind == "numeric", missing=True)
            self.against_reference[places] = found

    def assess(self, log_e: Mapping[str, float], guilty: Collection[str]) -> list[FeatureAssessment]:
        """Each feature, in the order of `names`; `log_e` by name; `guilty`: those named by e-BH."""
        places = [] if self.numeric is None else self.numeric.guilty_bins()
        places += [] if self.categorical is None else self.categorical.guilty_categories()
        return [
            FeatureAssessment(
                name=name.removeprefix(FEATURE),
                log_e=log_e[name],
                cell=_cell(found, self.structures[name]),
                canary=found.canary,
                baseline=found.baseline,
                guilty=name in guilty,
                reference_log_e=None if math.isnan(reference) else reference,
            )
            for name, found, reference in zip(self.names, places, self.against_reference.tolist(), strict=True)
        ]


def _cell(found: Guilty, structure: Structure) -> str:
    """Where the arms differ most, in words."""
    cell = structure.cells[found.place]
    if structure.kind != "numeric" or (cell == MISSING and not found.is_edge):
        return cell
    edge = float(cell)
    if found.is_edge:
        return _up_to(edge)
    below = float(structure.cells[found.place - 1]) if found.place else -math.inf
    if math.nextafter(below, math.inf) == edge:
        return f"exactly {_short(edge)}"
    return f"{_from(below)}, {_up_to(edge)}"


def _up_to(edge: float) -> str:
    """What lies at or under an edge: the last float before a frequent value begins the bin of that value alone.

    >>> _up_to(7.0), _up_to(math.nextafter(7.0, 0.0))
    ('at most 7', 'under 7')
    """
    after = _value_after(edge)
    return f"at most {_short(edge)}" if after is None else f"under {_short(after)}"


def _from(edge: float) -> str:
    """What lies over an edge.

    >>> _from(7.0), _from(math.nextafter(0.0, -1.0))
    ('over 7', 'from 0')
    """
    after = _value_after(edge)
    return f"over {_short(edge)}" if after is None else f"from {_short(after)}"


def _value_after(edge: float) -> float | None:
    """The next float, if that is the one which people write: by far the shorter of the two."""
    after = math.nextafter(edge, math.inf) + 0.0
    return after if len(repr(after)) < len(repr(edge)) - 2 else None


def _short(edge: float) -> str:
    """An edge in six digits: exporters write all seventeen."""
    return f"{edge:g}".replace("inf", "Inf")
