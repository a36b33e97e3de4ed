"""The rule-based machine: what may happen to a handler, in any order. Its checks: `checks`."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handler.invariants.checks import NAMES, Checks
from handler.invariants.routers import APPLY_ANSWERS, OBSERVE_ANSWERS, Answer
from handler.invariants.world import BAD, GOOD, MODELS, World, install
from handler_world import alert, payload
from mlcanary.handler.core.releases import FreezeLevel, Version, VersionStatus
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.targets.contract import State

STEPS: Counter[str] = Counter()
"""How often each rule ran, over all examples."""
EVENTS: Counter[str] = Counter()
"""What happened in the worlds, over all examples."""
CHECKED: Counter[int] = Counter()
"""How often each invariant was held against something, over all examples."""

SECONDS = st.sampled_from((0.0, 0.5, 2.0, 6.0, 12.0, 30.0, 60.0))
NUMBERS = st.integers(0, len(MODELS) - 1)
SCENES = (
    ("react",),
    ("react", "observe"),
    ("react", "react", "react", "react"),
    ("drive", "react"),
)
CHECKPOINTS = st.integers(1, 12)


class HandlerMachine(RuleBasedStateMachine):
    """See the module. `numbers`: the invariants that are held; all of them, unless a subclass says so."""

    numbers: ClassVar[frozenset[int]] = frozenset(NAMES)
    scenes: ClassVar[tuple[tuple[str, ...], ...]] = SCENES

    def __init__(self) -> None:
        super().__init__()
        install()
        self.world: World | None = None
        self.bodies: list[bytes] = []

    # --- the beginning

    @initialize(scene=st.integers(0, 99), accuse=st.booleans(), readable=st.sampled_from((True, True, True, False)))
    def begin(self, scene: int, accuse: bool, readable: bool) -> None:
        self.world = World(self.scenes[scene % len(self.scenes)], Checks())
        self.w.routers[MODELS[0]].observable = readable
        self.w.start()
        self.w.run(10.0)
        if accuse:
            self._send(MODELS[0], "accuracy", "5m", 0)
            self.w.run(0.0)

    @property
    def w(self) -> World:
        assert self.world is not None
        return self.world

    def _name(self, number: int) -> str:
        return MODELS[number % len(self.w.modes)]

    # --- time and calls

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.w.run(seconds)

    @rule(answer=st.sampled_from(APPLY_ANSWERS), skip=st.integers(0, 4))
    def next_write_meets(self, answer: Answer, skip: int) -> None:
        """Run up to the next write (or `skip` other calls), and decide how it is taken."""
        for _ in range(40):
            self.w.run_to_gate()
            if not self.w.gates:
                return
            kind = self.w.gates[0][0]
            if kind == "apply" or (skip == 0 and kind != "ask"):
                self.w.answer(answer if kind == "apply" else Answer.OK)
                return
            self.w.answer(Answer.OK)
            skip = max(0, skip - 1)

    @rule(answer=st.sampled_from(OBSERVE_ANSWERS))
    def next_call_meets(self, answer: Answer) -> None:
        """Run up to the next call, whatever it is, and decide how it is taken."""
        self.w.run_to_gate()
        self.w.answer(answer)

    @rule()
    def stop_at_the_next_call(self) -> None:
        """Run up to the next call and leave it open: other rules come in between."""
        self.w.run_to_gate()

    # --- the process

    @precondition(lambda self: self.w.service is not None)
    @rule(landed=st.booleans())
    def crash(self, landed: bool) -> None:
        """SIGKILL at the call that is open, which the router may still carry out."""
        if landed and self.w.gates and self.w.gates[0][0] == "apply":
            self.w.land_open_call()
        self.w.crash("a call")

    @precondition(lambda self: self.w.service is not None)
    @rule(checkpoints=CHECKPOINTS)
    def crash_at_a_checkpoint(self, checkpoints: int) -> None:
        self.w.crash_in = checkpoints

    @precondition(lambda self: self.w.service is None)
    @rule(seconds=SECONDS)
    def start(self, seconds: float) -> None:
        self.w.run(seconds)
        self.w.start()

    @precondition(lambda self: self.w.service is not None)
    @rule()
    def restart(self) -> None:
        """SIGTERM, then a new process."""
        self.w.stop()
        self.w.start()

    @precondition(lambda self: self.w.service is not None)
    @rule(number=NUMBERS, mode=st.sampled_from(("react", "react", "observe", "drive", "judge")))
    def reload(self, number: int, mode: str) -> None:
        self.w.modes[self._name(number)] = mode
        if self.w.service is not None:
            self.w.spawn(self.w.service.reload())

    @rule()
    def second_instance(self) -> None:
        self.w.second_instance()

    @rule(fault=st.sampled_from(("", "unreadable", "full")))
    def store(self, fault: str) -> None:
        self.w.store_fault = fault

    # --- webhooks

    def _send(self, name: str, measure: str, window: str, start: int, status: str = "firing") -> None:
        labels = {"model": name, "measure": measure, "window": window}
        mark = f"{measure}{window}".replace("_", "").ljust(16, "0")[:16]
        starts_at = f"2026-01-02T03:04:{start:02d}Z"
        self.bodies.append(payload(alert(status=status, fingerprint=mark, startsAt=starts_at, **labels)))
        self.w.deliver(self.bodies[-1])

    @rule(
        number=NUMBERS,
        kind=st.sampled_from((("accuracy", "5m"), ("accuracy", "1h"), ("verdict", "judge"), ("errors", "5m"))),
        start=st.integers(0, 3),
    )
    def webhook(self, number: int, kind: tuple[str, str], start: int) -> None:
        self._send(self._name(number), *kind, start)

    @rule(number=NUMBERS, start=st.integers(0, 3))
    def resolve(self, number: int, start: int) -> None:
        """An alert that is over changes nothing."""
        self.w.settle()
        before = self.w.checks.watch.state()
        self._send(self._name(number), "accuracy", "5m", start, status="resolved")
        self.w.checks.look()
        after = self.w.checks.watch.state()
        if before != after and self.w.service is not None:
            self.w.checks.fail(9, f"a resolve changed {before} to {after}")

    @precondition(lambda self: bool(self.bodies))
    @rule(which=st.integers(0, 9), times=st.integers(1, 3))
    def deliver_again(self, which: int, times: int) -> None:
        """Any earlier delivery once more, in any order."""
        for _ in range(times):
            self.w.deliver(self.bodies[which % len(self.bodies)])

    # --- people

    @rule(number=NUMBERS, everything=st.booleans(), level=st.sampled_from((FreezeLevel.ALL, FreezeLevel.PROMOTE)))
    def freeze(self, number: int, everything: bool, level: FreezeLevel) -> None:
        scope = EVERYTHING if everything else self._name(number)
        self.w.order(lambda ledger: ledger.freeze(scope, reason="r", actor="p", now=self.w.clock(), level=level))

    @rule(number=NUMBERS)
    def unfreeze(self, number: int) -> None:
        for scope in (EVERYTHING, self._name(number)):
            self.w.order(lambda ledger, scope=scope: ledger.unfreeze(scope, actor="p", now=self.w.clock()))

    @rule(there=st.booleans())
    def freeze_file(self, there: bool) -> None:
        if there:
            self.w.freeze_path.touch()
        else:
            self.w.freeze_path.unlink(missing_ok=True)

    @rule(number=NUMBERS, version=st.sampled_from((GOOD, BAD)), status=st.sampled_from(VersionStatus))
    def mark_version(self, number: int, version: str, status: VersionStatus) -> None:
        """A person says what an artefact is."""
        name = self._name(number)
        marked = Version(name, version, version, status, "r", "p", self.w.clock())
        self.w.order(lambda ledger: ledger.set_version(marked, target=name))

    # --- the world

    @rule(number=NUMBERS, good=st.integers(0, 100), bad=st.integers(0, 100))
    def other_writer(self, number: int, good: int, bad: int) -> None:
        name = self._name(number)
        self.w.truths[name].move(self.w.now)
        self.w.routers[name].write(self.w.now, State.of({GOOD: good + (good + bad == 0), BAD: bad}), "")

    @rule(number=NUMBERS)
    def other_writer_reverts(self, number: int) -> None:
        self.other_writer(number, 90, 10)

    @rule(seconds=st.sampled_from((-7200.0, -60.0, -3.0, 3.0, 60.0, 700.0, 90000.0)))
    def clock_jumps(self, seconds: float) -> None:
        self.w.skew += seconds
        self.w.checks.jumped(seconds)

    @rule(number=NUMBERS, what=st.sampled_from(("readable", "obeys")), value=st.booleans())
    def router_changes(self, number: int, what: str, value: bool) -> None:
        setattr(self.w.routers[self._name(number)], what, value)

    @rule(number=NUMBERS, good=st.sampled_from((0.9, 0.9, 0.7)), bad=st.sampled_from((0.9, 0.5, 0.3)))
    def quality(self, number: int, good: float, bad: float) -> None:
        self._truth(number).quality = {GOOD: good, BAD: bad}

    @rule(number=NUMBERS, version=st.sampled_from((GOOD, BAD)), alive=st.booleans())
    def servers(self, number: int, version: str, alive: bool) -> None:
        self._truth(number).alive[version] = alive

    @rule(number=NUMBERS, version=st.sampled_from((GOOD, BAD)))
    def counters_reset(self, number: int, version: str) -> None:
        self._truth(number).reset_counters(version)

    @rule(number=NUMBERS, fault=st.sampled_from(("scraping", "source", "roles", "old rule", "hidden", "alert")))
    def monitoring_breaks(self, number: int, fault: str) -> None:
        truth = self._truth(number)
        match fault:
            case "scraping":
                truth.scraping = False
            case "source":
                truth.source_up = 0.0 if truth.source_up == 1.0 else None
            case "roles":
                truth.roles = [(GOOD, "baseline"), (BAD, "baseline")] if truth.judged else [(GOOD, "baseline")]
            case "old rule":
                truth.rule_age = truth.verdict_age = 500.0
            case "hidden":
                truth.hidden = True
            case _:
                truth.alert_firing = False

    @rule(number=NUMBERS)
    def all_is_well(self, number: int) -> None:
        """Everything that broke around a target works again."""
        self.w.heal(self._name(number))

    @rule(number=NUMBERS, judged=st.booleans(), verdict=st.sampled_from((1.0, 0.0)))
    def judge(self, number: int, judged: bool, verdict: float) -> None:
        truth = self._truth(number)
        truth.judged, truth.verdict = judged, verdict

    def _truth(self, number: int) -> Any:
        truth = self.w.truths[self._name(number)]
        truth.move(self.w.now)
        return truth

    # --- the invariants

    @invariant()
    def holds(self) -> None:
        STEPS["all"] += 1
        if self.world is not None:
            self.w.checks.step()
            self._raise()

    def _raise(self) -> None:
        for number, message in self.w.checks.violations:
            if number in self.numbers:
                self._end()
                raise AssertionError(f"invariant {number} ({NAMES[number]}): {message}")

    def teardown(self) -> None:
        if self.world is None:
            return
        self.w.drain()
        checks = self.w.checks
        self._end()
        for number, message in checks.violations:
            assert number not in self.numbers, f"invariant {number} ({NAMES[number]}): {message}"

    def _end(self) -> None:
        if self.world is not None:
            world, self.world = self.world, None
            EVENTS.update(world.counts)
            CHECKED.update(world.checks.checked)
            world.end()


