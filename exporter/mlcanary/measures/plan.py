"""How one model is measured: everything a measure may ask about its model, fixed for a process's life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mlcanary.catalog import NO_PREDICTION, OBJECTIVES, Role, Task
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.reference import Reference, edges_hash
from mlcanary.records import canonical_class
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.bin_edges import logit_edges

RECOGNISED_POSITIVE = frozenset({"1", "true", "yes", "y", "positive", "pos"})
RECOGNISED_NEGATIVE = frozenset({"0", "false", "no", "n", "negative", "neg", "-1"})


_BINS, _BINS_BESIDE_QUANTILES, _COARSE_BINS, _COARSE_STEP = 100, 50, 40, 5
"""Bins of the logit grid alone, beside quantiles, for a segment, and which of the reference's edges a segment keeps."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on what is learnt from the log; what is above is folded into `other` and counted.

    `items` of a ranking are kept per request; `series` per page and `window_bytes` of memory for the former states of
    all windows are budgets of the whole exporter, above which it degrades in a stated order.
    """

    models: int = 50
    versions: int = 20
    features: int = 200
    classes: int = 20
    events: int = 20
    reasons: int = 20
    segment_values: int = 10
    items: int = 100
    series: int = 50_000
    window_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True)
class ModelPlan:
    """Settings of one model. `positive` None means: recognise 1, true, yes, positive.

    `ranks`: the k of NDCG@k and its kin. `quantile`: which one a regression model predicts, 0.5 for a median or mean.
    `segments`: features whose values split the figures. `split`: configured share of traffic by version. `clicks`,
    `conversions`: names of the events behind CTR and CVR. `user_salt`: what user ids are hashed with. `coarse`: few
    score bins, for one segment of many. `feature_share`: the share of rows whose features are counted.
    `feature_objectives`: limits by feature and objective, where they are not those of the model.
    """

    task: Task = Task.BINARY
    positive: str | None = None
    negative: str | None = None
    threshold: float = 0.5
    join: JoinPolicy = field(default_factory=JoinPolicy)
    reference: Reference | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    default_role: Role = Role.UNASSIGNED
    objectives: Mapping[str, float] = field(default_factory=dict)
    feature_objectives: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    ranks: tuple[int, ...] = (10,)
    quantile: float = 0.5
    segments: tuple[str, ...] = ()
    split: Mapping[str, float] = field(default_factory=dict)
    clicks: str = "click"
    conversions: str = "purchase"
    user_salt: bytes = b""
    coarse: bool = False
    feature_share: float = 1.0

    @property
    def score_edges(self) -> Floats:
        """Inner edges of the score bins: equally spaced logits, and the quantiles of the reference's scores.

        Quantiles alone go blind where live scores leave the range of the reference: all of them then share the
        last bin, and any ranking reads 0.5. Where they are, every other point of the grid is enough.
        """
        quantiles = None if self.reference is None or self.reference.score is None else self.reference.score.edges
        if quantiles is None:
            return logit_edges(_COARSE_BINS if self.coarse else _BINS)
        grid = logit_edges(_COARSE_BINS if self.coarse else _BINS_BESIDE_QUANTILES)
        edges: Floats = np.union1d(grid, quantiles[::_COARSE_STEP] if self.coarse else quantiles)
        return edges

    @cached_property
    def edges(self) -> str:
        """Hash of every edge of this model."""
        return edges_hash(self.score_edges, self.reference)

    @property
    def kept_items(self) -> int:
        """Places of a ranking that are kept: as many as the limit says, and never fewer than a figure looks at."""
        return max((self.limits.items, *self.ranks))

    def segment_values(self, features: Mapping[str, object]) -> tuple[str, ...]:
        """The value of each segment feature; `none` where the prediction lacks it."""
        if not self.segments:
            return ()
        return tuple(canonical_class(features.get(name)) or NO_PREDICTION for name in self.segments)

    def is_positive(self, label: str) -> bool | None:
        """Whether a class is the positive one; None if that cannot be known without `positive_class`."""
        if self.positive is not None:
            return label == self.positive
        folded = label.lower()
        if folded in RECOGNISED_POSITIVE:
            return True
        return False if folded in RECOGNISED_NEGATIVE else None

    def class_of_score(self, score: float) -> str:
        """The class that a score alone stands for."""
        if score >= self.threshold:
            return self.positive if self.positive is not None else "1"
        return self.negative if self.negative is not None else "0"

    def role(self, version: str) -> Role:
        """The part that a version plays."""
        return self.roles.get(version, self.default_role)

    def thresholds(self) -> Mapping[str, float]:
        """Every objective with its configured or default limit."""
        return {row.name: self.objectives.get(row.name, row.default) for row in OBJECTIVES}
