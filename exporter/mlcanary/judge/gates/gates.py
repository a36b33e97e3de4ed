"""What suspends decisions, and why: gates look at trials, at the health of the measurement and at the baseline. Pure.

A gate lasts as long as its cause. It makes no verdict: `verdict` holds, and says which gate holds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mlcanary.catalog import Family, Gate
from mlcanary.judge.contract import GateAssessment, Plan, Step
from mlcanary.judge.gates.baseline_watch import BaselineWatch
from mlcanary.judge.gates.sub_windows import SubWindows
from mlcanary.judge.measures.blocks import Pending
from mlcanary.judge.sentences import percent
from mlcanary.listing import first_of
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.proportion_evidence import ProportionEvidence, update_together
from mlcanary.stats.traffic_split import SplitEvidence
from mlcanary.stats.user_buckets import BUCKETS

SPLIT_DEVIATION = 0.05
"""Relative deviation of a share that nobody minds, however sure it is."""

SPLIT_GRACE = 120.0
"""Seconds after a share was configured, for the first time or anew, in which routers still follow."""

COVERAGE_ALPHA = 0.001
COVERAGE_TOLERANCE = math.log(1.1)
"""Log odds ratio of label coverage between the arms that is not worth a word."""

COVERAGE_ENOUGH = 200.0
"""Decided predictions in the last half hour under which nothing is said of the coverage of an arm."""

COVERAGE_SECONDS = 300.0
"""Length of a block of coverage: labels come too slowly for a look at every step to be worth its cost."""

_NAMED = 3


def _arrival_evidence() -> ProportionEvidence:
    return ProportionEvidence(tolerance=COVERAGE_TOLERANCE, with_interval=False)


@dataclass(slots=True)
class Gates:
    """State of all gates of one canary. `margins`: as in `Plan`, for the watch on the baseline.

    >>> from mlcanary.judge.contract import Facts
    >>> gates = Gates()
    >>> gates.update(Step(0.0, 30.0, {}, {}, facts=Facts(conflict="two baselines")), {})
    >>> [(found.gate.value, found.why) for found in gates.current(Plan())]
    [('role_conflict', 'two baselines.')]
    """

    margins: dict[str, float] = field(default_factory=dict)
    sources_broken: list[str] = field(default_factory=list)
    conflict: str = ""
    edges_mismatch: bool = False
    aa_passed: bool | None = None
    design_effects: dict[str, float] = field(default_factory=dict)
    expected_share: float | None = None
    expected_since: float = -math.inf
    split: SplitEvidence = field(default_factory=lambda: SplitEvidence(0.5))
    split_recent: Floats = field(init=False)
    """Requests of canary and baseline in the last hour, by 5 minutes; shape (12, 2)."""
    split_ring: SubWindows = field(default_factory=lambda: SubWindows(12, 300.0))
    unlabelled: ProportionEvidence = field(default_factory=_arrival_evidence)
    """Evidence that the canary lacks more labels."""
    labelled: ProportionEvidence = field(default_factory=_arrival_evidence)
    """Evidence that the canary lacks fewer."""
    waiting: Pending = field(default_factory=lambda: Pending(2))
    """Decided and labelled, of a block that is not full yet."""
    coverage_recent: Floats = field(init=False)
    """The same four, in the last half hour; shape (6, 4)."""
    coverage_ring: SubWindows = field(default_factory=lambda: SubWindows(6, 300.0))
    watch: BaselineWatch = field(init=False)

    def __post_init__(self) -> None:
        """Nothing seen yet."""
        self.split_recent, self.coverage_recent = np.zeros((12, 2)), np.zeros((6, 4))
        self.watch = BaselineWatch(dict(self.margins))

    def update(self, step: Step, design_effects: Mapping[str, float]) -> None:
        """Add a step, and the design effect of each measure after it.

        Give every step, those too that are not judged: the counts of a step whose sources are broken or whose roles
        are disputed are left out here.
        """
        facts = step.facts
        self.sources_broken, self.conflict = list(facts.sources_broken), facts.conflict
        self.edges_mismatch, self.aa_passed = facts.edges_mismatch, facts.aa_passed
        self.design_effects = {name: float(phi) for name, phi in design_effects.items()}
        self._follow_share(facts.expected_share, step.end)
        if self.sources_broken or self.conflict:
            return
        self._add_split(step)
        self._add_coverage(step)
        self.watch.update(step)

    def current(self, plan: Plan) -> tuple[GateAssessment, ...]:
        """Gates in force now, in the order of `Gate`."""
        found = (
            (Gate.SOURCE_BROKEN, _listed("cannot be read: ", self.sources_broken)),
            (Gate.ROLE_CONFLICT, f"{self.conflict}." if self.conflict else ""),
            (Gate.EDGES_MISMATCH, _EDGES if self.edges_mismatch else ""),
            (Gate.SPLIT_MISMATCH, self._split_why(plan)),
            (Gate.LABEL_COVERAGE, self._coverage_why(plan)),
            (Gate.DESIGN_EFFECT, self._design_why(plan)),
            (Gate.AA_NOT_PASSED, _AA if plan.aa_period > 0 and not self.aa_passed else ""),
            (Gate.SHARED_CAUSE, _listed("the baseline is worse than before: ", self.watch.degraded())),
        )
        concerned = {**_CONCERNED, Gate.SHARED_CAUSE: self.watch.concerned()}
        return tuple(GateAssessment(gate, why, concerned.get(gate, ())) for gate, why in found if why)

    def _follow_share(self, expected: float | None, end: float) -> None:
        """Begin anew when the configured share changes: each period of one share is a test of its own."""
        usable = expected if expected is not None and 0.0 < expected < 1.0 else None
        if usable == self.expected_share:
            return
        self.expected_since, self.expected_share = end, usable
        self.split = SplitEvidence(usable if usable is not None else 0.5)
        self.split_recent = np.zeros_like(self.split_recent)

    def _add_split(self, step: Step) -> None:
        if self.expected_share is None or step.end < self.expected_since + SPLIT_GRACE:
            return
        gained = [float(sum(arm.get("requests", ()))) for arm in (step.canary, step.baseline)]
        users_c, users_b = (_by_bucket(arm.get("users")) for arm in (step.canary, step.baseline))
        self.split.update(gained[0], gained[1], users_c, users_b)
        slot, emptied = self.split_ring.turn(step.end)
        self.split_recent[emptied] = 0.0
        self.split_recent[slot] += gained

    def _split_why(self, plan: Plan) -> str:
        if self.expected_share is None or self.split.log_e() < -math.log(plan.split_alpha):
            return ""
        canary, baseline = (float(v) for v in self.split_recent.sum(axis=0))
        expected, now = self.expected_share, canary / max(canary + baseline, 1.0)
        if canary + baseline > 0 and abs(now - expected) <= SPLIT_DEVIATION * min(expected, 1.0 - expected):
            return ""
        return (
            f"the canary gets {percent(now)} of the requests, {percent(self.split.share)} since this share is "
            f"configured, and should get {percent(expected)}."
        )

    def _add_coverage(self, step: Step) -> None:
        canary, baseline = (np.array(arm.get("coverage", (0.0, 0.0))) for arm in (step.canary, step.baseline))
        slot, emptied = self.coverage_ring.turn(step.end)
        self.coverage_recent[emptied] = 0.0
        self.coverage_recent[slot] += np.concatenate([canary, baseline])
        self.waiting.add(canary, baseline, step.start)
        n_c, n_b = float(self.waiting.canary[0]), float(self.waiting.baseline[0])
        if self.waiting.closes(n_c, n_b, step.end, least=1.0, trials=math.inf, seconds=COVERAGE_SECONDS):
            (_, x_c), (_, x_b) = self.waiting.take()
            lacking, come = (n_c, n_c - x_c, n_b, n_b - x_b), (n_c, x_c, n_b, x_b)
            update_together([self.unlabelled, self.labelled], [lacking, come])

    def _coverage_why(self, plan: Plan) -> str:
        """Too few labels at one arm now, or unlike shares of labels at both since the start."""
        n_c, x_c, n_b, x_b = (float(v) for v in self.coverage_recent.sum(axis=0))
        for arm, decided, labels in (("canary", n_c, x_c), ("baseline", n_b, x_b)):
            if decided >= COVERAGE_ENOUGH and labels < plan.label_coverage * decided:
                return (
                    f"in the last half hour {percent(labels / decided)} of the {arm}'s predictions got their label, "
                    f"{percent(plan.label_coverage)} are asked. {_LABELS}"
                )
        both = np.logaddexp(float(self.unlabelled.log_e()), float(self.labelled.log_e())) - math.log(2.0)
        if both < -math.log(COVERAGE_ALPHA):
            return ""
        decided_c, labels_c, decided_b, labels_b, _ = (float(v) for v in self.labelled.totals)
        return (
            f"{percent(labels_c / decided_c)} of the canary's predictions got their label and "
            f"{percent(labels_b / decided_b)} of the baseline's, so their labels cannot be compared. {_LABELS}"
        )

    def _design_why(self, plan: Plan) -> str:
        over = [f"{name} {phi:.1f}" for name, phi in self.design_effects.items() if phi > plan.design_effect_limit]
        head = f"events come in clusters, with a design effect over {plan.design_effect_limit:g}: "
        return _listed(head, over)


_CONCERNED = {
    Gate.EDGES_MISMATCH: (Family.QUALITY, Family.FEATURES),
    Gate.LABEL_COVERAGE: (Family.QUALITY, Family.BUSINESS),
}
_EDGES = "exporters count in different bins, so scores and features cannot be added up. Errors and latency are judged."
_AA = "the A/A run of the baseline against itself has not passed yet."
_LABELS = "Only evidence from labels is suspended."


def _listed(head: str, items: list[str] | tuple[str, ...]) -> str:
    """The first few, and how many more; "" if there are none."""
    if not items:
        return ""
    return f"{head}{first_of(items, _NAMED, between='; ')}."


def _by_bucket(users: tuple[float, ...] | None) -> Floats:
    return np.zeros(BUCKETS) if users is None else np.asarray(users[:BUCKETS], dtype=np.float64)
