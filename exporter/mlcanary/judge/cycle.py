"""The judge at work: one grid time of Prometheus after the other, each read, judged and saved as one.

Guarantee: what is published is on disk, and is a function of what Prometheus holds at the grid times. Grid times are
multiples of the interval in Prometheus' own time, and come when its clock is past them by `settle`. After a restart, an
outage or a failure to save, the next grid time is the one after the last saved one, and is read as it would have been;
only what is older than `catch_up` is left out, and what was counted there falls into the next step. The local clock
has no part in it.

Whatever escapes from here is a bug of ours: an unreachable Prometheus and a full disk are states, not errors.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from mlcanary.catalog import Verdict
from mlcanary.errors import StateError
from mlcanary.judge.canary import Canary
from mlcanary.judge.contract import FEATURE, CanaryKey, Plan, Step
from mlcanary.judge.intake.counters import ArmGains, Counters
from mlcanary.judge.intake.reading import Reader, Reading, ReadingError
from mlcanary.judge.intake.roles import ModelName
from mlcanary.judge.intake.roster import Attendant, Roster, arms_of, attend, began, is_split, model_of, objectives
from mlcanary.judge.publish.view import JudgedCanary, View
from mlcanary.judge.records import build_record, record_hash
from mlcanary.judge.settings import Settings, unused_names
from mlcanary.judge.store import Archive, Changes, Life, NewRecord, SavedCanary

log = logging.getLogger(__name__)

SNAPSHOT_STEPS = 20
"""Steps of a canary between two snapshots: what a start has to fold again at most."""

SHOWN_STEPS = 20
"""Grid times between two looks at the evidence while an outage is caught up: intervals are dearer than steps.

A verdict that changed is shown at once: a judge that is slower than its interval is always catching up.
"""

PRUNE_SECONDS = 3600.0
GONE, REPLACED, SILENT, PASSED = "gone", "replaced", "silent", "passed"
"""Why a canary ended: no longer named one; another baseline; asked again after a silence; its A/A run is over."""

_AA = "aa_passed/"
_RESULTS = ("ok", "unreachable", "refused")


@dataclass(slots=True)
class Running:
    """A canary under judgement. `recorded`: verdict of its newest record.

    `taken`: steps since the last snapshot or more.
    `dropped`: steps in which an input was left out, by reason, since this process began.
    """

    key: CanaryKey
    plan: Plan
    canary: Canary
    life: Life
    recorded: str
    taken: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Memory:
    """Everything that a start reads from the store, and that each grid time changes."""

    read_at: float | None
    counters: Counters
    running: dict[CanaryKey, Running]
    passed: set[ModelName]
    last_hash: str
    fired: set[CanaryKey] = field(default_factory=set)


class Judge:
    """See the module. One thread at a time; `view` may be read from any.

    `version`: of mlcanary, for the records. `clock`: seconds that only measure how long a cycle takes.
    """

    def __init__(
        self, reader: Reader, store: Archive, settings: Settings, version: str, clock: Callable[[], float]
    ) -> None:
        self._reader, self._store, self._settings = reader, store, settings
        self._version, self._clock = version, clock
        self._memory: _Memory | None = None
        self._readings = dict.fromkeys(_RESULTS, 0)
        self._state_errors = self._series = self._resets = 0
        self._unshown = 0
        self._changed = False
        self._pruned = -math.inf
        self._seconds: float | None = None
        self.view = View(leader=True)
        self.behind = False
        """More grid times are due already."""
        self.wait = 0.0
        """Seconds of Prometheus time until the next grid time is due, as of the last cycle."""

    def configure(self, reader: Reader, settings: Settings) -> None:
        """Go on with another configuration. Canaries keep the plan that they began with."""
        self._reader, self._settings = reader, settings

    def run_once(self) -> View:
        """Judge the next grid time if one is due, and say how things stand. Never raises MLCanaryError."""
        began_at, problem = self._clock(), ""
        self.behind = self._changed = False
        try:
            memory = self._memory = self._memory or self._load()
            at = self._due(memory)
            if at is not None:
                self.step_grid(at)
                self._seconds = self._clock() - began_at
        except ReadingError as error:
            self._readings["refused" if error.refused else "unreachable"] += 1
            problem = f"Prometheus cannot be read: {error}"
        except StateError as error:
            # What is in memory may be ahead of the disk: the next cycle begins from the disk.
            self._memory = None
            self._state_errors += 1
            problem = f"the state cannot be saved: {error}"
        except BaseException:
            self._memory = None  # half a step must not become a snapshot when the process ends
            raise
        if problem:
            log.error(problem)
        self.view = self._shown(problem)
        return self.view

    def close(self) -> None:
        """Save what makes the next start quick, and give the file back."""
        try:
            if self._memory is not None:
                late = {key: r.canary.state() for key, r in self._memory.running.items() if r.taken}
                self._store.save_snapshots(late)
        except StateError as error:
            log.warning("no snapshots were saved, the next start folds the steps", extra={"error": str(error)})
        finally:
            self._memory = None
            self._store.close()

    # --- which time

    def _due(self, memory: _Memory) -> float | None:
        settings, now = self._settings, self._reader.now()
        newest = math.floor((now - settings.settle) / settings.interval)
        first = newest
        if memory.read_at is not None:
            first = math.floor(memory.read_at / settings.interval) + 1
            if first * settings.interval <= memory.read_at:  # the quotient was rounded down
                first += 1
            oldest = min(newest, math.ceil((now - settings.catch_up) / settings.interval))
            if oldest > first:
                left = {"from": memory.read_at, "to": oldest * settings.interval}
                log.warning("too old to catch up: it falls into one step", extra=left)
                first = oldest
        self.wait = max(0.0, max(first, newest + 1) * settings.interval + settings.settle - now)
        self.behind = first < newest
        return first * settings.interval if first <= newest else None

    # --- one grid time

    def step_grid(self, at: float) -> None:
        """Read, judge and save one grid time. Raises ReadingError with nothing changed, or StateError."""
        memory = self._memory = self._memory or self._load()
        reading = self._reader.read(at)
        changes = Changes(previous=memory.read_at, read_at=at, counters=b"")
        roster = attend(reading, memory.running, self._wanted_splits(reading, memory))
        for key in roster.replaced:
            self._end(memory, changes, key, REPLACED)
        self._judge(memory, changes, reading, roster)
        self._record(memory, changes)
        changes.counters = memory.counters.state()
        self._store.commit(changes)
        memory.read_at = at
        memory.running = {key: r for key, r in memory.running.items() if key not in changes.ended}
        self._readings["ok"] += 1
        self._series, self._resets = len(reading.series), memory.counters.resets
        self._prune(at)

    def _judge(self, memory: _Memory, changes: Changes, reading: Reading, roster: Roster) -> None:
        """Take what everybody gained, begin who is new, fold the steps, end who has gone."""
        gains = memory.counters.take(reading, [each.arms for each in roster.attendants])
        limits = objectives(reading, {each.arms.model for each in roster.attendants})
        for each, gained in zip(roster.attendants, gains, strict=True):
            if each.key is not None:
                self._go_on(memory, changes, each, gained)
            elif each.arms.split and min(gained.pages) == 0:
                memory.counters.forget(each.arms)  # one exporter alone cannot be compared with itself
            else:
                plan = self._settings.plan(each.arms.model, limits.get(each.arms.model, {}))
                self._begin(memory, changes, plan, gained)

    def _begin(self, memory: _Memory, changes: Changes, plan: Plan, gained: ArmGains) -> None:
        """Judge a canary from the grid time before the one at which it was first seen: nothing is counted until now."""
        start = gained.end - self._settings.interval
        key = began(gained.arms, start)
        life = Life(seen=gained.end, active=gained.end)
        taken = len(memory.running) % SNAPSHOT_STEPS  # canaries that begin together must not all save in one cycle
        running = Running(key, plan, Canary(key, plan), life, Verdict.NO_DATA.value, taken)
        memory.running[key] = running
        changes.started.append((key, plan, life))
        self._fold(memory, changes, running, Step(start, gained.end, {}, {}, gained.born, gained.facts))
        log.info("a canary begins", extra=_names(key))

    def _go_on(self, memory: _Memory, changes: Changes, each: Attendant, gained: ArmGains) -> None:
        running = memory.running[each.key] if each.key is not None else None
        if running is None:
            return
        running.dropped.update(dict.fromkeys(gained.dropped, 1))
        former, life = running.life, _lived(running.life, gained, named=each.named)
        running.life = changes.lives[running.key] = life
        if gained.end - life.seen >= self._settings.forget_after:
            self._end(memory, changes, running.key, GONE)
        elif each.counts and self._came_back(former, life, running.plan):
            self._end(memory, changes, running.key, SILENT)
        elif each.counts:
            start = gained.end - self._settings.interval if gained.start is None else gained.start
            step = Step(start, gained.end, gained.canary, gained.baseline, gained.born, gained.facts)
            self._fold(memory, changes, running, step)
            if is_split(running.key):
                self._watch_split(memory, changes, running, gained.end)

    def _came_back(self, former: Life, now: Life, plan: Plan) -> bool:
        """Whether a canary is asked again after the baseline alone was, for so long that this is another release."""
        silence = now.active - former.active
        return silence > self._settings.forget_after and former.missed >= plan.min_trials

    def _fold(self, memory: _Memory, changes: Changes, running: Running, step: Step) -> None:
        if running.plan.aa_period > 0:
            passed = is_split(running.key) or model_of(running.key) in memory.passed
            step = msgspec.structs.replace(step, facts=msgspec.structs.replace(step.facts, aa_passed=passed))
        running.canary.advance(step)
        if any(name.startswith(FEATURE) for name in step.born):
            key, canary = running.key, running.canary
            for text in unused_names(running.plan, key.model, step.born, self._settings.models, canary.structures):
                log.warning(text, extra=_names(running.key))
        running.taken += 1
        changes.steps.append((running.key, step))
        if running.taken >= SNAPSHOT_STEPS:
            changes.snapshots[running.key] = running.canary.state()
            running.taken = 0

    def _end(self, memory: _Memory, changes: Changes, key: CanaryKey, why: str) -> None:
        memory.counters.forget(arms_of(key))
        changes.ended[key] = why
        log.info("a canary has ended", extra={**_names(key), "why": why})

    # --- the A/A run

    def _wanted_splits(self, reading: Reading, memory: _Memory) -> set[ModelName]:
        """Models of which a canary waits for an A/A run."""
        waiting = {model_of(key) for key, r in memory.running.items() if r.plan.aa_period > 0 and not is_split(key)}
        return waiting - memory.passed

    def _watch_split(self, memory: _Memory, changes: Changes, running: Running, at: float) -> None:
        """An A/A run that fired stays, and with it the gate; one that did not for its period is over."""
        if running.canary.verdict is Verdict.ROLLBACK:
            if running.key not in memory.fired:
                memory.fired.add(running.key)
                log.error("the A/A run found a difference between exporters of one version", extra=_names(running.key))
        elif at - running.key.start >= running.plan.aa_period and min(running.canary.assess().trials) > 0:
            model = model_of(running.key)
            memory.passed.add(model)
            changes.notes[_AA + msgspec.json.encode(model).decode()] = msgspec.msgpack.encode(at)
            self._end(memory, changes, running.key, PASSED)

    # --- decisions

    def _record(self, memory: _Memory, changes: Changes) -> None:
        """Make a record of every verdict that changed."""
        stepped = dict(changes.steps)
        for key, step in stepped.items():
            running = memory.running[key]
            if running.canary.verdict == running.recorded:
                continue
            found = running.canary.assess()
            new = any(key == other for other, *_ in changes.started)
            steps = chain(() if new else self._store.steps(key), (step,))
            body = build_record(key, running.plan, steps, found, self._version, memory.last_hash)
            own = record_hash(body)
            self._changed = True
            changes.records.append(NewRecord(key, step.end, found.verdict.value, body, memory.last_hash, own))
            memory.last_hash, running.recorded = own, found.verdict.value
            log.info("verdict", extra={**_names(key), "verdict": found.verdict.value, "reason": found.reason})

    # --- the store

    def _load(self) -> _Memory:
        saved = self._store.load()
        counters = Counters() if saved.counters is None else Counters.from_state(saved.counters)
        running = {each.key: _resumed(each, self._store) for each in saved.canaries}
        passed = {
            msgspec.json.decode(name.removeprefix(_AA), type=ModelName) for name in saved.notes if name.startswith(_AA)
        }
        return _Memory(saved.read_at, counters, running, passed, saved.last_hash)

    def _prune(self, at: float) -> None:
        """Old steps of ended canaries take no part in anything; a failure is tried again an hour later."""
        if at - self._pruned < PRUNE_SECONDS:
            return
        self._pruned = at
        try:
            self._store.prune(at - self._settings.retention)
        except StateError as error:
            log.warning("old steps could not be dropped", extra={"error": str(error)})

    # --- what is shown

    def _shown(self, problem: str) -> View:
        memory = self._memory
        canaries = self.view.canaries
        self._unshown = self._unshown + 1 if self.behind else 0
        if memory is not None and (self._changed or self._unshown % SHOWN_STEPS == 0):
            canaries = {
                key: JudgedCanary(r.canary.assess(), r.plan, r.canary.curve, dict(r.canary.skipped + r.dropped))
                for key, r in memory.running.items()
                if not is_split(key)
            }
        return View(
            leader=True,
            read_at=self.view.read_at if memory is None else memory.read_at,
            canaries=canaries,
            readings=dict(self._readings),
            resets=self._resets,
            state_errors=self._state_errors,
            cycle_seconds=self._seconds,
            series=self._series,
            problem=problem,
        )


def _lived(life: Life, gained: ArmGains, *, named: bool) -> Life:
    """What a reading says of the life of a canary."""
    seen = gained.end if named else life.seen
    if any(any(counts) for counts in gained.canary.values()):
        return Life(seen=seen, active=gained.end)
    return Life(seen=seen, active=life.active, missed=life.missed + math.fsum(gained.baseline.get("requests", ())))


def _resumed(saved: SavedCanary, store: Archive) -> Running:
    """A canary as it was: its snapshot and the steps since, or all steps where the snapshot is of another version."""
    canary, after = Canary(saved.key, saved.plan), 0
    if saved.snapshot is not None:
        try:
            canary, after = Canary.from_state(saved.snapshot, saved.key, saved.plan), saved.snapshot_steps
        except StateError as error:
            log.warning("all steps are folded again", extra={**_names(saved.key), "error": str(error)})
    for step in store.steps(saved.key, after):
        canary.advance(step)
    recorded = saved.recorded or Verdict.NO_DATA.value
    return Running(saved.key, saved.plan, canary, saved.life, recorded, taken=saved.steps - after)


def _names(key: CanaryKey) -> dict[str, str]:
    return {"model": key.model, "version": key.version, "baseline": key.baseline, "cluster": key.cluster}
