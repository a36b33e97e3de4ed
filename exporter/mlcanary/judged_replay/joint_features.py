"""All features at once: whether rows of the canary can be told from those of the baseline at the same time.

Only a log has rows; Prometheus has counts. So this test informs, takes no part of alpha, and stands in no record.
Guarantee: that of `stats.classifier_evidence`. Which rows are used and when a block closes depends on their number
alone. Columns are the numeric features of the baseline when it was first seen beside the canary, the first `COLUMNS` by
name; what is no number there counts as missing. They are standardised by rows of the baseline from the warm-up, so
from before the first block that is tested.
Cost: `ROWS` rows a block and arm at most; O(COLUMNS ** 4) a row.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from mlcanary.records import Prediction
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.classifier_evidence import ClassifierEvidence

COLUMNS = 20
ROWS = 500
LEAST_ROWS = 20
"""Rows that each arm of a block needs; fewer wait for the next one."""

_LARGEST = 1e300
Features = Mapping[str, object]


class JointEvidence(msgspec.Struct, frozen=True):
    """What came out. `auc`: chance that a canary row looks more like the canary than a baseline row does, .5 if alike.

    `rows_canary`, `rows_baseline`: rows that were used. `left_out`: numeric features beyond the first `COLUMNS`.
    """

    log_e: float
    auc: float | None
    rows_canary: int
    rows_baseline: int
    features: tuple[str, ...]
    left_out: tuple[str, ...]


class JointFeatures:
    """The test of one canary. `exclude`: features that are not judged."""

    def __init__(self, exclude: Collection[str]) -> None:
        self._exclude = frozenset(exclude)
        self._names: tuple[str, ...] = ()
        self._left_out: tuple[str, ...] = ()
        self._past: list[Features] = []
        self._open: tuple[list[Features], list[Features]] = ([], [])
        self._evidence: ClassifierEvidence | None = None

    def learn(self, baseline: Iterable[Prediction]) -> None:
        """Rows of the warm-up."""
        self._past += _features(baseline)
        self._past = _thinned(self._past)

    def take(self, canary: Iterable[Prediction], baseline: Iterable[Prediction]) -> None:
        """What both arms answered in the same interval."""
        for rows, fresh in zip(self._open, (canary, baseline), strict=True):
            rows.extend(_features(fresh))
        if min(map(len, self._open)) < LEAST_ROWS:
            self._open = _thinned(self._open[0]), _thinned(self._open[1])
            return
        if self._evidence is None:
            self._begin()
        if self._evidence is not None:
            self._evidence.update(*(self._rows(_thinned(rows)) for rows in self._open))
        self._open = [], []

    def evidence(self) -> JointEvidence | None:
        """Where things stand; None before the first block, and where no feature is a number."""
        found = self._evidence
        if found is None:
            return None
        return JointEvidence(found.log_e(), found.auc, found.n_c, found.n_b, self._names, self._left_out)

    def _begin(self) -> None:
        """Choose the columns and fix their scale."""
        known = self._past or self._open[1]
        names = sorted({name for row in known for name, value in row.items() if _is_number(value)} - self._exclude)
        self._names, self._left_out = tuple(names[:COLUMNS]), tuple(names[COLUMNS:])
        if not self._names:
            return
        self._evidence = ClassifierEvidence(len(self._names))
        if self._past:
            self._evidence.update(np.empty((0, len(self._names))), self._rows(self._past))
        self._past = []

    def _rows(self, rows: Sequence[Features]) -> Floats:
        found = [[_number(row.get(name)) for name in self._names] for row in rows]
        return np.array(found, dtype=np.float64).reshape(len(rows), len(self._names))


def _features(predictions: Iterable[Prediction]) -> list[Features]:
    return [p.features for p in predictions if p.error is None and p.features]


def _thinned(rows: list[Features]) -> list[Features]:
    """At most `ROWS` of them, evenly spread."""
    if len(rows) <= ROWS:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, ROWS).astype(int).tolist()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> float:
    """A finite number, else NaN: missing."""
    return float(value) if isinstance(value, int | float) and abs(value) < _LARGEST else math.nan
