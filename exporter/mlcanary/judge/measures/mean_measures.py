"""Means, AUC, and rates of users, judged by E2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlcanary.catalog import Family
from mlcanary.catalog.judge import RELATIVE_MARGINS
from mlcanary.judge.contract import MeasureAssessment, Plan
from mlcanary.judge.measures.blocks import Pending
from mlcanary.judge.measures.measure import LEAST_HISTORY, UNKNOWN, Limits, Measure, assessment, signed
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.auc_evidence import AUCEvidence
from mlcanary.stats.bucket_evidence import BucketEvidence
from mlcanary.stats.evidence import Estimate
from mlcanary.stats.mean_evidence import MeanEvidence

Sums = tuple[float, float, float]
"""Count, sum, sum of squares."""


@dataclass(slots=True)
class MeanMeasure:
    """The mean of a number; `sign` -1 where lower is worse. `level`: the baseline's mean before the first block."""

    name: str
    family: Family
    unit: str
    columns: Callable[[Floats], Sums]
    history: Floats
    plan: Plan
    sign: float = 1.0
    level: float | None = field(init=False, default=None)
    blocks: int = field(init=False, default=0)
    pending: Pending = field(init=False)
    evidence: MeanEvidence = field(init=False)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        """Begin at once if the history is long enough, or if no limit depends on it."""
        self.pending = Pending(self.history.size)
        self.limits = Limits.of(self.plan, self.name)
        self.evidence = MeanEvidence()
        self._settle()

    def _settle(self) -> None:
        n, total, _ = self.columns(self.history)
        if self.name not in RELATIVE_MARGINS:
            self.begin(1.0)
        elif n >= LEAST_HISTORY and self.seen:
            self.begin(total / n)

    def begin(self, level: float) -> None:
        """Start the evidence with the baseline's mean as known now."""
        self.level = level
        self.limits = Limits.of(self.plan, self.name, level)
        self.evidence = MeanEvidence(tolerance=self.limits.tolerance, margin=self.limits.margin)

    @property
    def seen(self) -> bool:
        """Whether the baseline has had any of it; money may be of no concern."""
        return self.level is not None or self.columns(self.history)[2] > 0

    def take(self, canary: Floats, baseline: Floats, start: float, end: float, phase: int) -> None:
        """As `Measure.take`."""
        if self.level is None:
            self.history = self.history + baseline
            self._settle()
            return
        self.pending.add(canary, baseline, start)
        n_c, n_b = self.columns(self.pending.canary)[0], self.columns(self.pending.baseline)[0]
        limits = self.limits
        if self.pending.closes(n_c, n_b, end, least=2.0, trials=limits.trials, seconds=limits.seconds):
            (n, total, squares), (m, other, other_squares) = (self.columns(arm) for arm in self.pending.take())
            self.evidence.update(n, self.sign * total, squares, m, self.sign * other, other_squares)
            self.blocks += 1

    def log_e(self) -> float:
        """As `Measure.log_e`."""
        return float(self.evidence.log_e())

    def assess(self) -> MeasureAssessment:
        """As `Measure.assess`."""
        return _assessed(self, self.unit, self.evidence, self.limits, self.blocks)

    def estimate(self, found: Estimate | None = None) -> Estimate:
        """As `Measure.estimate`."""
        if min(float(n) for n in self.evidence.trials) <= 0:
            return UNKNOWN
        return signed(found or self.evidence.estimate(), self.sign)


@dataclass(slots=True)
class AUCMeasure:
    """Area under the ROC curve: positives per score bin, then negatives."""

    bins: int
    plan: Plan
    name: str = "auc"
    family: Family = Family.QUALITY
    blocks: int = field(init=False, default=0)
    pending: Pending = field(init=False)
    evidence: AUCEvidence = field(init=False)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        """No counts yet."""
        self.pending = Pending(2 * self.bins)
        self.limits = Limits.of(self.plan, self.name)
        self.evidence = AUCEvidence(bins=self.bins, tolerance=self.limits.tolerance, margin=self.limits.margin)

    @property
    def seen(self) -> bool:
        """Scores are there."""
        return True

    def take(self, canary: Floats, baseline: Floats, start: float, end: float, phase: int) -> None:
        """As `Measure.take`."""
        self.pending.add(canary, baseline, start)
        n_c, n_b = float(self.pending.canary.sum()), float(self.pending.baseline.sum())
        if self.pending.closes(n_c, n_b, end, least=1.0, trials=self.limits.trials, seconds=self.limits.seconds):
            c, b = self.pending.take()
            self.evidence.update(c[: self.bins], c[self.bins :], b[: self.bins], b[self.bins :], phase)
            self.blocks += 1

    def log_e(self) -> float:
        """As `Measure.log_e`."""
        return float(self.evidence.log_e())

    def assess(self) -> MeasureAssessment:
        """As `Measure.assess`."""
        return _assessed(self, "ratio", self.evidence, self.limits, self.blocks)

    def estimate(self, found: Estimate | None = None) -> Estimate:
        """As `Measure.estimate`."""
        return found or self.evidence.estimate()


@dataclass(slots=True)
class UserMeasure:
    """Events or money per prediction, lower is worse, with the variance over buckets of users.

    Counts are rows of buckets: predictions first. `row`: where the values are; `squares`: the row of their squares,
    None for events. What is judged of events is how many predictions had none.
    """

    name: str
    unit: str
    buckets: int
    row: int
    squares: int | None
    history: Floats
    plan: Plan
    family: Family = Family.BUSINESS
    level: float | None = field(init=False, default=None)
    pending: Pending = field(init=False)
    evidence: BucketEvidence = field(init=False)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        """Begin at once if the history is long enough."""
        self.pending = Pending(self.history.size)
        self.limits = Limits.of(self.plan, self.name)
        self.evidence = BucketEvidence(self.buckets)
        self._settle()

    def _settle(self) -> None:
        rows = self._rows(self.history)
        if self.seen and rows[0].sum() >= LEAST_HISTORY:
            self.begin(float(rows[self.row].sum() / rows[0].sum()))

    def _rows(self, counts: Floats) -> Floats:
        rows: Floats = counts.reshape(-1, self.buckets)
        return rows

    def begin(self, level: float) -> None:
        """Start the evidence with the baseline's figure as known now."""
        self.level = level
        self.limits = Limits.of(self.plan, self.name, level)
        self.evidence = BucketEvidence(self.buckets, self.limits.tolerance, self.limits.margin)

    @property
    def seen(self) -> bool:
        """Whether the baseline has had any of it."""
        return self.level is not None or bool(self._rows(self.history)[self.row].any())

    def take(self, canary: Floats, baseline: Floats, start: float, end: float, phase: int) -> None:
        """As `Measure.take`."""
        if self.level is None:
            self.history = self.history + baseline
            self._settle()
            return
        self.pending.add(canary, baseline, start)
        n_c, n_b = (float(self._rows(a)[0].sum()) for a in (self.pending.canary, self.pending.baseline))
        if not self.pending.closes(n_c, n_b, end, least=2.0, trials=self.limits.trials, seconds=self.limits.seconds):
            return
        c, b = (self._rows(arm) for arm in self.pending.take())
        if self.squares is None:
            self.evidence.update(c[0], c[0] - c[self.row], b[0], b[0] - b[self.row])
        else:
            self.evidence.update(c[0], -c[self.row], b[0], -b[self.row], c[self.squares], b[self.squares])

    def log_e(self) -> float:
        """As `Measure.log_e`."""
        return float(self.evidence.log_e())

    def assess(self) -> MeasureAssessment:
        """As `Measure.assess`."""
        return _assessed(self, self.unit, self.evidence, self.limits, int(self.evidence.blocks))

    def estimate(self, found: Estimate | None = None) -> Estimate:
        """As `Measure.estimate`."""
        if min(float(n) for n in self.evidence.trials) <= 0:
            return UNKNOWN
        found = found or self.evidence.estimate()
        if self.squares is not None:
            return signed(found, -1.0)
        return Estimate(1.0 - found.canary, 1.0 - found.baseline, found.difference, found.lower, found.upper)


def _assessed(
    measure: Measure, unit: str, evidence: MeanEvidence | AUCEvidence | BucketEvidence, limits: Limits, blocks: int
) -> MeasureAssessment:
    """What every measure by E2 says of itself; its figures come with the interval, which is dear."""
    against = evidence.log_e_noninferior()
    n_c, n_b = (float(n) for n in evidence.trials)
    known = None if against is None else float(against)
    return assessment(measure, unit, measure.log_e(), known, UNKNOWN, limits, trials=(n_c, n_b), blocks=blocks)
