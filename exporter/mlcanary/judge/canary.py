"""One canary under judgement: steps in, an assessment out.

Guarantee: a function of the key, the plan and the steps in their order, to the bit; nothing else has a part in it. A
rollback verdict stays until the canary ends, since the promise is about whether one is EVER made.
Cost: one update of each e-process per block. `state` and `from_state` are a cache of what the steps would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from mlcanary.catalog import Family, Gate, Verdict
from mlcanary.judge import snapshots
from mlcanary.judge.contract import (
    FEATURE,
    Assessment,
    CanaryKey,
    Counts,
    CurvePoint,
    FamilyAssessment,
    FeatureAssessment,
    GateAssessment,
    MeasureAssessment,
    Plan,
    Step,
    Structure,
    family_threshold,
    promote_threshold,
)
from mlcanary.judge.evidence_curve import EvidenceCurve
from mlcanary.judge.gates.gates import Gates
from mlcanary.judge.gates.phases import PhaseClock
from mlcanary.judge.measures.feature_group import FeatureGroup
from mlcanary.judge.measures.measure import Measure, with_figures
from mlcanary.judge.measures.proportion_measure import Block, ProportionMeasure
from mlcanary.judge.measures.registry import WEIGHTS, input_of, measures_of
from mlcanary.judge.planning import eta_seconds
from mlcanary.judge.verdict import Decision, Situation, decide, may_expand
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence_family import e_bh, mean_log_e
from mlcanary.stats.proportion_evidence import estimates_together, looks_together

REFERENCE_STEPS = 20
"""Steps between two comparisons with the reference profile: it never decides anything."""

TAINTING = frozenset({Gate.SPLIT_MISMATCH, Gate.LABEL_COVERAGE})
"""Gates that also leave out what is counted meanwhile: else it would ask for a rollback as soon as they open."""

CLUSTER_BLOCKS = 20
"""Blocks of a measure from which its design effect may suspend it."""


class Canary:
    """See the module."""

    def __init__(self, key: CanaryKey, plan: Plan) -> None:
        self.key, self.plan = key, plan
        self.skipped: Counter[str] = Counter()
        self.structures: dict[str, Structure] = {}
        self._births: list[list[str]] = []
        self._measures: dict[str, Measure] = {}
        self._inputs: dict[str, str] = {}
        self._groups: list[FeatureGroup] = []
        self._members: dict[str, list[str]] = {}
        self._phases, self._gates = PhaseClock(), Gates(dict(plan.margins))
        self._traffic: list[float | None] = [None, None]
        self._latched: Decision | None = None
        self._promoted: Decision | None = None
        self._decision: Decision | None = None
        self._since = self._judged = key.start
        self._curve = EvidenceCurve()
        self._steps = 0
        self._assessment: Assessment | None = None
        self._of_features: dict[str, float] | None = None
        self._of_measures: tuple[MeasureAssessment, ...] | None = None
        self._in_force: tuple[GateAssessment, ...] | None = None

    # --- steps

    def advance(self, step: Step) -> None:
        """Judge one more step. Raises ValueError if it is older than the last one."""
        if step.end <= self._judged:
            raise ValueError(f"a step that ends at {step.end} comes after one that ends at {self._judged}")
        self._judged = step.end
        self._steps += 1
        self._of_features = self._of_measures = self._in_force = None
        self._meet(step)
        for i, arm in enumerate((step.canary, step.baseline)):
            if sum(arm.get("requests", ())) > 0:
                self._traffic[i] = step.end
        reason = self._left_out(step)
        if reason:
            self.skipped[reason] += 1
        else:
            self._take(step)
        measures = self._assessed()
        self._gates.update(step, {m.name: m.design_effect for m in measures if m.blocks >= CLUSTER_BLOCKS})
        self._conclude(measures)

    def _left_out(self, step: Step) -> str:
        """Why the counts of a step have no part in the evidence, or "". Never for what the counts are."""
        if step.start < self.key.start + self.plan.warm_up:
            return "warm_up"
        if step.facts.conflict:
            return "role_conflict"
        return "source_broken" if step.facts.sources_broken else ""

    def _meet(self, step: Step) -> None:
        """Make measures and features of inputs that are seen for the first time."""
        born = {name: structure for name, structure in step.born.items() if name not in self.structures}
        if born:
            self.structures |= born
            self._bear(list(born))

    def _bear(self, names: list[str]) -> None:
        """Make what inputs that were first seen together are judged by."""
        self._births.append(names)
        for name in names:
            for measure in measures_of(name, self.structures[name], self.structures, self.plan):
                self._measures[measure.name] = measure
                self._inputs[measure.name] = input_of(measure, name)
        features = {
            name: self.structures[name]
            for name in names
            if name.startswith(FEATURE) and name.removeprefix(FEATURE) not in self.plan.exclude
        }
        if features:
            self._groups.append(FeatureGroup(features, self.plan))

    def _take(self, step: Step) -> None:
        requests = (self._counts(step.canary, "requests"), self._counts(step.baseline, "requests"))
        phase = self._phases.update(step.end, float(requests[0].sum()), float(requests[1].sum()))
        tainted = self._tainted()
        blocks: list[Block] = []
        for name, measure in self._measures.items():
            source = self._inputs[name]
            canary, baseline = self._counts(step.canary, source), self._counts(step.baseline, source)
            if measure.family in tainted or not (canary.any() or baseline.any()):
                continue
            self._settle(measure.family)
            if isinstance(measure, ProportionMeasure):
                blocks += measure.closed(canary, baseline, step.start, step.end)
            else:
                measure.take(canary, baseline, step.start, step.end, phase)
        ProportionMeasure.close(blocks)
        for measure in self._measures.values():
            if isinstance(measure, ProportionMeasure):
                measure.note_change()
        for group in self._groups:
            arms = [
                np.concatenate([self._counts(arm, name) for name in group.names])
                for arm in (step.canary, step.baseline)
            ]
            if Family.FEATURES not in tainted and (arms[0].any() or arms[1].any()):
                group.take(arms[0], arms[1], step.start, step.end)
                self._settle(Family.FEATURES)
            if self._steps % REFERENCE_STEPS == 0:
                group.look_at_reference()

    def _tainted(self) -> frozenset[Family]:
        """Families whose counts prove nothing while the arms get unlike requests or unlike labels.

        By the gates of the step before: what is counted now has no part in whether it counts.
        """
        found = [gate for gate in self._gates.current(self.plan) if gate.gate in TAINTING]
        self.skipped.update(gate.gate.value for gate in found)
        return frozenset(family for gate in found for family in (gate.families or tuple(Family)))

    def _settle(self, family: Family) -> None:
        """The mean over a family needs weights that are fixed before its first block."""
        if family in self._members:
            return
        if family is Family.FEATURES:
            self._members[family] = [name for group in self._groups for name in group.names]
        else:
            self._members[family] = [name for name, measure in self._measures.items() if measure.family is family]

    def _counts(self, arm: Counts, name: str) -> Floats:
        found = arm.get(name)
        if found is not None:
            return np.array(found, dtype=np.float64)
        structure = self.structures.get(name)
        return np.zeros(len(structure.history) if structure is not None else 2)

    # --- the answer

    def assess(self) -> Assessment:
        """What is to be said now, with intervals, which are dearer than a step."""
        if self._assessment is None:
            self._assessment = self._answer()
        return self._assessment

    def standing(self) -> tuple[Decision, tuple[GateAssessment, ...]]:
        """The decision of the newest step and the gates in force: what `assess` says, without its figures."""
        if self._decision is None:
            self._conclude(())
        assert self._decision is not None  # noqa: S101 - for the type checker
        return self._decision, self._current_gates()

    @property
    def verdict(self) -> Verdict:
        """The verdict alone, which costs nothing."""
        return Verdict.NO_DATA if self._decision is None else self._decision.verdict

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Evidence over judged time."""
        return tuple(self._curve.points)

    def _conclude(self, measures: tuple[MeasureAssessment, ...]) -> None:
        """Note what this step leads to, so that it is remembered whether or not anybody asks."""
        self._assessment = None
        families = self._families(measures)
        features = tuple(_bare(name, log_e) for name, log_e in self._feature_log_e().items())
        decision = decide(self._situation(measures, families, features))
        if decision.verdict in {Verdict.ROLLBACK, Verdict.PROMOTE} and decision.verdict is not self.verdict:
            decision = decide(self._situation(self._with_intervals(), families, self._feature_assessments()))
            if decision.verdict is Verdict.ROLLBACK:
                self._latched = decision
            else:
                self._promoted = decision
        if self._decision is None or decision.verdict is not self._decision.verdict:
            self._since = self._judged
        self._decision = decision
        self._curve.draw(self._steps, self._judged, families, measures)

    def _current_gates(self) -> tuple[GateAssessment, ...]:
        if self._in_force is None:
            self._in_force = self._gates.current(self.plan)
        return self._in_force

    def _situation(
        self,
        measures: tuple[MeasureAssessment, ...],
        families: tuple[FamilyAssessment, ...],
        features: tuple[FeatureAssessment, ...],
    ) -> Situation:
        return Situation(
            plan=self.plan,
            key=self.key,
            judged=self._judged,
            last_traffic=(self._traffic[0], self._traffic[1]),
            families=families,
            measures=measures,
            features=features,
            gates=self._current_gates(),
            latched=self._latched,
            promoted=self._promoted,
            eta=eta_seconds(self.plan, self.key, self._judged, families, measures, self._curve.points),
        )

    def _answer(self) -> Assessment:
        measures = self._with_intervals()
        families = self._families(measures)
        situation = self._situation(measures, families, self._feature_assessments())
        decision = decide(situation)
        return Assessment(
            key=self.key,
            verdict=decision.verdict,
            reason=decision.reason,
            text=decision.text,
            leading=decision.leading,
            since=self._since,
            judged=self._judged,
            steps=self._steps,
            may_expand=may_expand(situation, decision),
            eta_seconds=situation.eta,
            promote_threshold=promote_threshold(self.plan),
            families=families,
            measures=measures,
            features=situation.features,
            gates=situation.gates,
        )

    def _seen(self) -> list[Measure]:
        return [measure for measure in self._measures.values() if measure.seen]

    def _assessed(self) -> tuple[MeasureAssessment, ...]:
        """Assessments without intervals, as of the newest step; those of shares at once, which is many times faster."""
        if self._of_measures is None:
            seen = self._seen()
            looks = iter(looks_together([part for m in seen if isinstance(m, ProportionMeasure) for part in m.parts]))
            self._of_measures = tuple(
                m.assess_from(list(islice(looks, len(m.parts)))) if isinstance(m, ProportionMeasure) else m.assess()
                for m in seen
            )
        return self._of_measures

    def _with_intervals(self) -> tuple[MeasureAssessment, ...]:
        """Assessments with intervals; those of shares at once."""
        seen = self._seen()
        shown = {m.name: m.shown for m in seen if isinstance(m, ProportionMeasure) and m.parts}
        shown = {name: part for name, part in shown.items() if part.with_interval}
        found = dict(zip(shown, estimates_together(list(shown.values())), strict=True))
        pairs = zip(seen, self._assessed(), strict=True)
        return tuple(with_figures(assessed, measure.estimate(found.get(measure.name))) for measure, assessed in pairs)

    def _feature_assessments(self) -> tuple[FeatureAssessment, ...]:
        members = self._members.get(Family.FEATURES, [])
        log_e = self._feature_log_e()
        judged = [name for name in members if name in log_e]
        budget = self.plan.alpha * max(self.plan.weights.get(Family.FEATURES, 0.0), 1e-12)
        guilty = e_bh(np.array([log_e[name] for name in judged]), budget) if judged else ()
        named = {judged[i] for i in guilty}
        return tuple(found for group in self._groups for found in group.assess(log_e, named))

    def _feature_log_e(self) -> dict[str, float]:
        if self._of_features is None:
            self._of_features = {
                name: value
                for group in self._groups
                for name, value in zip(group.names, group.log_e().tolist(), strict=True)
            }
        return self._of_features

    def _families(self, measures: Sequence[MeasureAssessment]) -> tuple[FamilyAssessment, ...]:
        log_e = {m.name: m.log_e for m in measures} | self._feature_log_e()
        found = []
        for family in Family:
            names = self._members.get(family)
            if names:
                weights = [WEIGHTS.get(name, 1.0) for name in names]
                mean = float(mean_log_e(np.array([log_e.get(name, 0.0) for name in names]), weights))
                found.append(FamilyAssessment(family, mean, family_threshold(self.plan, family)))
        return tuple(found)

    # --- a cache of the state

    def state(self) -> bytes:
        """Everything that the steps so far have led to."""
        plain = _Plain(
            structures=self.structures,
            births=self._births,
            members=self._members,
            skipped=dict(self.skipped),
            traffic=self._traffic,
            latched=self._latched,
            promoted=self._promoted,
            decision=self._decision,
            since=self._since,
            judged=self._judged,
            steps=self._steps,
            curve=self._curve,
        )
        return snapshots.joined(msgspec.msgpack.encode(plain), snapshots.saved(self._objects()))

    @classmethod
    def from_state(cls, data: bytes, key: CanaryKey, plan: Plan) -> Canary:
        """The canary that wrote `state`. Raises StateError if the bytes are of another version."""
        first, second = snapshots.parted(data)
        plain = snapshots.decoded(first, _Plain)
        canary = cls(key, plan)
        for names in plain.births:
            canary.structures |= {name: plain.structures[name] for name in names}
            canary._bear(names)
        canary._members, canary.skipped = plain.members, Counter(plain.skipped)
        canary._traffic, canary._decision = plain.traffic, plain.decision
        canary._latched, canary._promoted = plain.latched, plain.promoted
        canary._since, canary._judged, canary._steps = plain.since, plain.judged, plain.steps
        canary._curve = plain.curve
        snapshots.load(canary._objects(), second)
        return canary

    def _objects(self) -> dict[str, Any]:
        groups = {f"group {i}": group for i, group in enumerate(self._groups)}
        return {**self._measures, **groups, "phases": self._phases, "gates": self._gates}


class _Plain(msgspec.Struct):
    structures: dict[str, Structure]
    births: list[list[str]]
    members: dict[str, list[str]]
    skipped: dict[str, int]
    traffic: list[float | None]
    latched: Decision | None
    promoted: Decision | None
    decision: Decision | None
    since: float
    judged: float
    steps: int
    curve: EvidenceCurve


def fold(key: CanaryKey, plan: Plan, steps: Sequence[Step]) -> Assessment:
    """The assessment after these steps: what `mlcanary explain` recomputes."""
    canary = Canary(key, plan)
    for step in steps:
        canary.advance(step)
    return canary.assess()


def _bare(name: str, log_e: float) -> FeatureAssessment:
    """A feature without the place of its difference, which is dear and told only with a rollback."""
    return FeatureAssessment(name.removeprefix(FEATURE), log_e, "", 0.0, 0.0)
