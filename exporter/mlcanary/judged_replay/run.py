"""The run itself: logs in, what the judge would have said out.

Guarantee: at every multiple of the judge's interval in event time the exporter's counters, as they were then, go
through the judge's own cycle: roles, differences, steps, e-processes, verdicts and records are those of `mlcanary
judge` with one exporter that is scraped at just those times. The same logs give the same records to the bit.
An A/A run needs two exporters of the baseline, a log is one: `aa_period` is taken to be 0.

While nothing is written for long the judge looks on, until every label has matured; times after that are left out, and
what follows falls into the next step, as after a long outage. After the last record nobody looks on: the last verdict
is that of the first grid time at or after it, and `JudgedRelease.missing` says what the log ended before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from mlcanary import __version__
from mlcanary.catalog import Verdict
from mlcanary.documents import Seconds
from mlcanary.errors import InputError
from mlcanary.inputs import Inputs
from mlcanary.judge.canary import Canary
from mlcanary.judge.contract import Assessment, CanaryKey, CurvePoint, Plan, Step
from mlcanary.judge.cycle import Judge
from mlcanary.judge.intake.roles import find_arms
from mlcanary.judge.publish.view import JudgedCanary
from mlcanary.judge.settings import PlanSettings, Settings, unused_names
from mlcanary.judge.store import NewRecord
from mlcanary.judged_replay.archive import MemoryArchive, MonitorReader
from mlcanary.judged_replay.ending import Waiting, missing
from mlcanary.judged_replay.joint_features import JointEvidence, JointFeatures
from mlcanary.judged_replay.timeline import Progress, Timeline
from mlcanary.records import ModelKey, Prediction, Record
from mlcanary.replay import Replay, conclude, late_labels, oversized, whole_log_monitor
from mlcanary.settings import ExporterSettings


class Change(msgspec.Struct, frozen=True):
    """A moment at which the verdict changed. `requests`: of canary and baseline since the start; `hash`: of the record.

    `hours`: since the judging of the canary began.
    """

    at: float
    hours: float
    verdict: Verdict
    reason: str
    leading: str
    text: str
    requests: tuple[float, float]
    hash: str


class JudgedRelease(msgspec.Struct, frozen=True):
    """A canary. `assessment`: at the end, of the log or of the canary; `ended`: why it ended before, else "".

    `requests`: of canary and baseline, all. `skipped`: steps left out, by reason. `missing`: what the log ended before,
    where it came to no decision, clause by clause. `unused`: what the judge's file names in vain.
    """

    key: CanaryKey
    plan: Plan
    assessment: Assessment
    ended: str
    missing: tuple[str, ...]
    changes: tuple[Change, ...]
    requests: tuple[float, float]
    skipped: dict[str, int]
    joint_features: JointEvidence | None
    curve: tuple[CurvePoint, ...]
    unused: tuple[str, ...]

    @property
    def decision(self) -> Change | None:
        """The first rollback or promotion: what would have been acted on."""
        decided = (c for c in self.changes if c.verdict in {Verdict.ROLLBACK, Verdict.PROMOTE})
        return next(decided, None)


@dataclass(frozen=True, slots=True)
class JudgedReplay:
    """What a whole log came to. `looks`: times at which was judged, the first at `first`, the last at `last`."""

    replay: Replay
    interval: float
    looks: int
    first: float
    last: float
    canaries: tuple[JudgedRelease, ...]
    records: tuple[NewRecord, ...]


def judged_replay(
    settings: ExporterSettings, judge: Settings, now: float, progress: Progress = lambda _lines, _done: None
) -> JudgedReplay:
    """Read every log to its end and judge on the way. `now`: Unix seconds, bounds times in the future.

    Raises InputError for a log that cannot be read, has no times, or no canary beside a baseline.
    """
    source = Inputs(settings, complete=True, columns=False)
    timeline = Timeline(source, now, progress)
    run = _Run(settings, _without_aa_run(judge))
    try:
        for written, record in timeline:
            run.take(written, record)
        too_long = oversized(source)
    finally:
        source.close()
    rejected = timeline.rejected + too_long
    result = Replay(timeline.lines, rejected, timeline.examples, backwards=timeline.order.backwards)
    return run.finish(result)


class _Run:
    """Where a replay stands. Time is counted in looks: look k is at k * interval."""

    def __init__(self, settings: ExporterSettings, judge: Settings) -> None:
        self._interval = judge.interval
        maturities = (policy.maturity for policy in settings.plan.join_policies.values())
        self._patience = max(judge.catch_up, *maturities)
        self._monitor = whole_log_monitor(settings)
        self._labels = late_labels(self._monitor)
        self._reader, self._archive = MonitorReader(self._monitor), MemoryArchive()
        self._models = judge.models
        self._judge = Judge(self._reader, self._archive, judge, __version__, lambda: 0.0)
        self._joint: dict[CanaryKey, JointFeatures] = {}
        self._fresh: list[Record] = []
        self._newest = -math.inf
        self._look: int | None = None
        self._first = self._looks = 0

    def take(self, written: float, record: Record) -> None:
        """The next record; looks that are due before it come first."""
        if self._look is None and written > -math.inf:
            self._look = self._first = math.ceil(written / self._interval)
        while self._look is not None and written > self._look * self._interval:
            if self._look * self._interval - self._newest > self._patience:
                self._look = max(self._look, math.ceil(written / self._interval) - 1)
            self._close(self._look)
        self._fresh.append(record)
        self._labels.see((record,))
        self._newest = max(self._newest, written)

    def finish(self, result: Replay) -> JudgedReplay:
        """The logs are read: judge what came since the last look, and sum up."""
        if self._look is None:
            raise InputError("no record tells a time, so nothing can be judged", hint="give each record a `ts`")
        if self._fresh:
            self._close(self._look)
        last = (self._look - 1) * self._interval
        if not self._archive.plans:
            raise self._nobody(last)
        shown = self._judge.run_once().canaries  # nothing is due: it only says how things stand
        pending = self._pending(last)
        canaries = tuple(self._release(key, shown.get(key), pending) for key in self._archive.plans)
        conclude(result, self._monitor, self._labels, last)
        first = self._first * self._interval
        return JudgedReplay(result, self._interval, self._looks, first, last, canaries, tuple(self._archive.records))

    def _close(self, look: int) -> None:
        """What was written until a look has been read: decide the joins, judge."""
        at = look * self._interval
        self._monitor.feed(self._fresh, at)
        self._monitor.advance(at, at)
        self._judge.step_grid(at)
        self._test_rows(at)
        self._fresh = []
        self._look = look + 1
        self._looks += 1

    def _test_rows(self, at: float) -> None:
        """The rows of this look, for the joint test of every canary."""
        running = self._archive.running()
        if not running:
            return
        rows = _by_version(self._fresh)
        for key in running:
            joint = self._joint.setdefault(key, JointFeatures(self._archive.plans[key].exclude))
            canary, baseline = (rows.get(ModelKey(key.model, v), []) for v in (key.version, key.baseline))
            if at - self._interval < key.start + self._archive.plans[key].warm_up:
                joint.learn(baseline)
            else:
                joint.take(canary, baseline)

    def _pending(self, last: float) -> dict[ModelKey, float]:
        """Predictions that wait for their outcome, by version."""
        waiting = (s for s in self._monitor.samples(last) if s.name == "mlcanary_label_join_pending")
        return {ModelKey(*s.labels): s.value for s in waiting}

    def _release(self, key: CanaryKey, shown: JudgedCanary | None, pending: dict[ModelKey, float]) -> JudgedRelease:
        """Everything about a canary; one that has ended is judged once more, up to its last step."""
        plan, steps = self._archive.plans[key], list(self._archive.steps(key))
        if shown is None:
            canary = Canary(key, plan)
            for step in steps:
                canary.advance(step)
            shown = JudgedCanary(canary.assess(), plan, canary.curve, dict(canary.skipped))
        joint, ended = self._joint.get(key), self._archive.ended.get(key, "")
        of_canary, of_baseline = (pending.get(ModelKey(key.model, v), 0.0) for v in (key.version, key.baseline))
        waiting = Waiting(of_canary, of_baseline, self._monitor.plan.model(key.model).join.maturity)
        return JudgedRelease(
            key=key,
            plan=plan,
            assessment=shown.assessment,
            ended=ended,
            missing=() if ended else missing(shown.assessment, plan, steps, waiting),
            changes=tuple(_change(record, steps) for record in self._archive.records if record.key == key),
            requests=_requests(steps),
            skipped=dict(shown.skipped),
            joint_features=None if joint is None else joint.evidence(),
            curve=shown.curve,
            unused=tuple(unused_names(plan, key.model, {n for step in steps for n in step.born}, self._models)),
        )

    def _nobody(self, last: float) -> InputError:
        """Why nothing was judged, and what to write."""
        reading = self._reader.read(last)
        if conflicts := [arms.conflict for arms in find_arms(reading) if arms.conflict]:
            return InputError(f"no canary can be judged: {'; '.join(conflicts)}", hint=_HINT)
        role = self._monitor.plan.role
        found = [f"{key.model}/{key.version} is {role(*key)}" for key in sorted(self._monitor.panels)]
        return InputError(
            f"no version is a canary beside a baseline: {', '.join(found) or 'the log is empty'}", hint=_HINT
        )


_HINT = (
    "say who is who in --config.file, such as `models: [{name: churn, roles: {v1: baseline, v2: canary}}]`, "
    "with the names of the log"
)


class _Decided(msgspec.Struct):
    """The part of a record that a table shows."""

    assessment: Assessment


def _change(record: NewRecord, steps: Sequence[Step]) -> Change:
    found = msgspec.json.decode(record.body, type=_Decided, strict=False).assessment
    return Change(
        at=record.at,
        hours=(record.at - record.key.start) / 3600.0,
        verdict=found.verdict,
        reason=found.reason,
        leading=found.leading,
        text=found.text,
        requests=_requests([step for step in steps if step.end <= record.at]),
        hash=record.hash,
    )


def _requests(steps: Sequence[Step]) -> tuple[float, float]:
    canary = math.fsum(sum(step.canary.get("requests", ())) for step in steps)
    return canary, math.fsum(sum(step.baseline.get("requests", ())) for step in steps)


def _by_version(records: Sequence[Record]) -> dict[ModelKey, list[Prediction]]:
    """Predictions by version, each request once."""
    found: dict[ModelKey, list[Prediction]] = {}
    seen: set[tuple[ModelKey, str]] = set()
    for record in records:
        if isinstance(record, Prediction):
            if record.id is not None:
                if (record.key, record.id) in seen:
                    continue
                seen.add((record.key, record.id))
            found.setdefault(record.key, []).append(record)
    return found


def _without_aa_run(judge: Settings) -> Settings:
    def without(section: PlanSettings) -> PlanSettings:
        return section if section.aa_period is None else msgspec.structs.replace(section, aa_period=Seconds(0))

    models = {name: without(section) for name, section in judge.models.items()}
    return replace(judge, defaults=without(judge.defaults), models=models)
