"""What the parts of the judge hand to each other: frozen values, all of which go into a decision record.

A `Step` is what both arms gained between two readings on a fixed grid of Prometheus time. A verdict is a function of a
`Plan`, a `CanaryKey` and the steps since the start, and of nothing else: no clock, no order of polling, no process.
That is why a restart, an outage and `mlcanary explain` come to the same bits. JSON has no infinity: None stands for it.
"""

from __future__ import annotations

import math

import msgspec

from mlcanary.catalog import PREDICTION_FEATURE, Family, Gate, Verdict


class CanaryKey(msgspec.Struct, frozen=True, order=True):
    """One canary in one release: its model, both versions, and when it began (Unix seconds of Prometheus time).

    The error budget alpha belongs to this key. A version that comes back later is another canary. `cluster` and
    `namespace` are "" where series do not carry them.
    """

    cluster: str
    namespace: str
    model: str
    version: str
    baseline: str
    start: float


class Structure(msgspec.Struct, frozen=True):
    """What the counts of one input mean, fixed when it was first seen, before its first count was judged.

    `cells` names the columns (bins, buckets, classes); `history` is what the baseline had counted until then, in the
    layout of the counts. `kind`: numeric or categorical for a feature, else "". `reference`: counts of the reference
    profile in the same cells, empty without one.
    """

    cells: tuple[str, ...]
    history: tuple[float, ...]
    kind: str = ""
    reference: tuple[float, ...] = ()


Counts = dict[str, tuple[float, ...]]
"""Input -> what one arm gained. Inputs that gained nothing are left out. Inputs and their counts:

    requests         answered, failed
    latency          requests per bucket, not cumulative; cells are the upper edges, "+Inf" last
    confusion        actual by predicted, row by row; cells are the classes, "other" last; one column more than rows:
                     the last one holds what was predicted wrong among other classes
    log_loss         count, sum, sum of squares; so do brier_score, squared_error and ndcg
    scores           positives per bin, then negatives per bin; cells are the bins in ascending order
    mature           mature predictions, clicks, conversions, clicked conversions, value, sum of squared values
    users            five rows of buckets: mature predictions, clicks, conversions, value, squared value
    coverage         predictions whose wait for a label is over, those among them with a label
    feature/NAME     values per bin, then those missing; cells are the bins, "missing" last
"""

FEATURE = "feature/"


class Facts(msgspec.Struct, frozen=True):
    """What is known of a step beside its counts.

    `expected_share`: share of the canary in the traffic of both arms as configured, None if it is not.
    `sources_broken`: sources of either arm that could not be read. `conflict`: why the roles of the model are disputed.
    `aa_passed`: whether two halves of the baseline were compared long enough without a firing, None if not asked for.
    """

    sources_broken: tuple[str, ...] = ()
    conflict: str = ""
    edges_mismatch: bool = False
    aa_passed: bool | None = None
    expected_share: float | None = None


class Step(msgspec.Struct, frozen=True):
    """What both arms gained in (start, end], Unix seconds of Prometheus time, and what was first seen in it."""

    start: float
    end: float
    canary: Counts
    baseline: Counts
    born: dict[str, Structure] = {}
    facts: Facts = Facts()


WEIGHTS: dict[Family, float] = {family: 0.25 for family in Family if family is not Family.LATENCY}
"""Parts of alpha by default. Latency informs: when one process stalls, all of its requests are slow together, so a
healthy canary on a busy machine may well be slower for a while, and no block length is right for all stalls.
"""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the configuration says about judging a model; durations in seconds.

    `alpha`: chance of ever rolling back a healthy canary. `promote_alpha`: chance of promoting one that is worse by a
    margin in any measure. `weights`: parts of alpha by family, at most 1 together; a family without one only informs.
    `tolerances` and `margins`: by measure, in its unit; absent: 0 and the objective. `exclude`: features not judged,
    the model's own output by default: a new version may well answer differently.
    `design_effect`: what is assumed of clusters before blocks tell, 1 for independent requests.
    `deadline`: age without a decision at which a person is told. `aa_period`: 0 asks for no A/A run.
    """

    alpha: float = 0.01
    promote_alpha: float = 0.05
    weights: dict[Family, float] = msgspec.field(default_factory=lambda: dict(WEIGHTS))
    tolerances: dict[str, float] = {}
    margins: dict[str, float] = {}
    exclude: tuple[str, ...] = (PREDICTION_FEATURE,)
    warm_up: float = 300.0
    min_age: float = 3600.0
    min_trials: float = 1000.0
    deadline: float = 86400.0
    block_trials: float = 20.0
    block_seconds: float = 60.0
    design_effect: float = 1.0
    design_effect_limit: float = 3.0
    split_alpha: float = 0.001
    label_coverage: float = 0.5
    change_seconds: float = 30 * 86400.0
    aa_period: float = 0.0


class MeasureAssessment(msgspec.Struct, frozen=True):
    """One measure of a canary now. Differences: canary minus baseline, positive is worse, unit as `unit` says.

    `log_e`: evidence for a rollback; `log_e_noninferior`: against "worse by the margin", None where there is no margin.
    Figures are None while nothing is known. `change_log_r`: None where the measure has no detector. `of_class`: the
    class that the figures are of, the one with most evidence; "" where a measure is not about one class.
    """

    name: str
    family: Family
    unit: str
    log_e: float
    log_e_noninferior: float | None
    canary: float | None
    baseline: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    tolerance: float
    margin: float | None
    trials_canary: float
    trials_baseline: float
    blocks: int
    design_effect: float
    change_log_r: float | None = None
    of_class: str = ""


class FamilyAssessment(msgspec.Struct, frozen=True):
    """A family: the mean of its e-values against 1 / (alpha * weight); no threshold if it only informs."""

    name: Family
    log_e: float
    threshold: float | None


class FeatureAssessment(msgspec.Struct, frozen=True):
    """A feature seen by canary and baseline; `cell` is where they differ most, with its share in each arm.

    `guilty`: named by e-BH. `reference_log_e`: evidence that the baseline has drifted from the reference profile, which
    never rolls back; None without a profile.
    """

    name: str
    log_e: float
    cell: str
    canary: float
    baseline: float
    guilty: bool = False
    reference_log_e: float | None = None


class GateAssessment(msgspec.Struct, frozen=True):
    """A gate that suspends decisions now, and in words why; `families`: those that it concerns, empty for all."""

    gate: Gate
    why: str
    families: tuple[Family, ...] = ()


class Assessment(msgspec.Struct, frozen=True):
    """The whole answer about a canary. `reason` is a word from `verdict.Reason`, `text` a sentence for people.

    `since`: judged time at which the verdict became what it is; `judged`: end of the newest step.
    """

    key: CanaryKey
    verdict: Verdict
    reason: str
    text: str
    leading: str
    since: float
    judged: float
    steps: int
    may_expand: bool
    eta_seconds: float | None
    promote_threshold: float
    families: tuple[FamilyAssessment, ...] = ()
    measures: tuple[MeasureAssessment, ...] = ()
    features: tuple[FeatureAssessment, ...] = ()
    gates: tuple[GateAssessment, ...] = ()

    @property
    def trials(self) -> tuple[float, float]:
        """Most observations of any measure: canary, baseline."""
        largest = max(self.measures, key=lambda m: m.trials_canary, default=None)
        return (0.0, 0.0) if largest is None else (largest.trials_canary, largest.trials_baseline)


class CurvePoint(msgspec.Struct, frozen=True):
    """Evidence at one judged time, for the curves on the page.

    `families`: log e-value for a rollback; `noninferior`: the least log e-value of all measures with a margin.
    """

    at: float
    families: dict[Family, float]
    noninferior: float | None


def promote_threshold(plan: Plan) -> float:
    """Log e-value that every measure needs before a promotion."""
    return -math.log(plan.promote_alpha)


def change_threshold(plan: Plan, found: Assessment) -> float:
    """Log R at which a measure tells of a change: by chance once in `change_seconds` at the present pace of steps.

    A measure is updated once per step at most, and R reaches A at most once in A updates on average.
    """
    seconds = max(found.judged - found.key.start, 1.0)
    return math.log(max(plan.change_seconds * found.steps / seconds, 1.0))


def family_threshold(plan: Plan, family: Family) -> float | None:
    """Log e-value at which a family asks for a rollback: weighted e-Bonferroni; None without a weight."""
    weight = plan.weights.get(family, 0.0)
    return -math.log(plan.alpha * weight) if weight > 0 else None
