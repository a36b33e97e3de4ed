"""The rule-based machine: what may happen to a handler, in any order. Its checks: `checks`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handler.invariants.afterwards import follow
from handler.invariants.checks import NAMES, Checks
from handler.invariants.memory_router import OBSERVE_ANSWERS, Answer
from handler.invariants.truth import Truth
from handler.invariants.vocabulary import (
    AFTERWARDS,
    ANSWERS,
    BREAKS,
    KINDS,
    NUMBERS,
    OPERATIONS,
    ORDERS,
    PERSON,
    SCENES,
    SECONDS,
    WORDS,
)
from handler.invariants.world import BAD, GOOD, MODELS, World
from handler_world import alert, payload
from mlcanary.handler.core.releases import FreezeLevel, Order, OrderKind, OrderState, Version, VersionStatus
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.targets.contract import State

STEPS: Counter[str] = Counter()
"""How often each rule ran, over all examples; `steps` counts all of them."""
EVENTS: Counter[str] = Counter()
"""What happened in the worlds, over all examples."""
CHECKED: Counter[int] = Counter()
"""How often each invariant was held against something, over all examples."""


class HandlerMachine(RuleBasedStateMachine):
    """See the module. `numbers`: the invariants that are held; all of them, unless a subclass says so."""

    numbers: ClassVar[frozenset[int]] = frozenset(NAMES)
    scenes: ClassVar[tuple[tuple[str, ...], ...]] = SCENES
    drains: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.bodies: list[bytes] = []
        self._alerts = 0
        self._orders = 0

    @initialize(scene=st.integers(0, 23), readable=st.sampled_from((True, True, True, False)))
    def begin(self, scene: int, readable: bool) -> None:
        self.world = World(self.scenes[scene % len(self.scenes)], Checks())
        self.w.routers[MODELS[0]].observable = readable
        self.w.start()
        self.w.run(6.0)

    @property
    def w(self) -> World:
        assert self.world is not None
        return self.world

    def name(self, number: int) -> str:
        """The target that a number stands for."""
        return MODELS[number % len(self.w.modes)]

    def truth(self, number: int) -> Truth:
        """What really happens around a target, up to now."""
        truth = self.w.truths[self.name(number)]
        truth.move(self.w.now)
        return truth

    # --- time and calls

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        STEPS["time passes"] += 1
        self.w.run(seconds)

    @rule(answer=ANSWERS, seconds=st.sampled_from((1.0, 20.0, 60.0)))
    def next_write_meets(self, answer: Answer | str, seconds: float) -> None:
        """Run up to the next write, and decide how it is taken."""
        STEPS["next write meets"] += 1
        self._meet(answer, seconds)

    def _meet(self, answer: Answer | str, seconds: float) -> None:
        if not self.w.run_to_write(seconds):
            return
        if isinstance(answer, Answer):
            self.w.answer(answer)
        elif answer != "open":
            if answer == "crash, landed":
                self.w.land_open_call()
            self.w.crash("call apply")

    @rule(answer=st.sampled_from(OBSERVE_ANSWERS))
    def next_call_meets(self, answer: Answer) -> None:
        """Run up to the next call, whatever it is, and decide how it is taken."""
        STEPS["next call meets"] += 1
        self.w.run_to_gate()
        self.w.answer(answer)

    @rule()
    def stop_at_the_next_call(self) -> None:
        """Run up to the next call and leave it open: other rules come in between."""
        STEPS["stop at the next call"] += 1
        self.w.run_to_gate()

    # --- the process

    @precondition(lambda self: self.w.service is not None)
    @rule(landed=st.booleans())
    def crash(self, landed: bool) -> None:
        """SIGKILL at the call that is open, which the router may still carry out."""
        STEPS["crash"] += 1
        if landed and self.w.gates:
            self.w.land_open_call()
        self.w.crash(f"call {self.w.gates[0][0]}" if self.w.gates else "rest")

    @precondition(lambda self: self.w.service is not None)
    @rule(checkpoints=st.integers(1, 12))
    def crash_at_a_checkpoint(self, checkpoints: int) -> None:
        STEPS["crash at a checkpoint"] += 1
        self.w.crash_in = checkpoints

    @precondition(lambda self: self.w.service is None)
    @rule(seconds=SECONDS)
    def start(self, seconds: float) -> None:
        STEPS["start"] += 1
        self.w.run(seconds)
        self.w.start()

    @precondition(lambda self: self.w.service is not None)
    @rule(what=st.sampled_from(OPERATIONS), number=NUMBERS)
    def operation(self, what: str, number: int) -> None:
        """Restart, reload, another mode, a second process, a store that fails."""
        STEPS[f"operation: {what}"] += 1
        match what:
            case "restart":
                self.w.stop()
                self.w.start()
            case "second":
                self.w.second_instance()
            case "store breaks" | "disk full" | "store heals":
                self.w.store_fault = {"store breaks": "unreadable", "disk full": "full"}.get(what, "")
            case _:
                if what != "reload":
                    self.w.modes[self.name(number)] = what
                if self.w.service is not None:
                    self.w.spawn(self.w.service.reload())

    # --- webhooks

    def _send(self, name: str, measure: str, window: str, start: int, status: str = "firing") -> None:
        labels = {"model": name, "measure": measure, "window": window}
        mark = f"{measure}{window}".replace("_", "").ljust(16, "0")[:16]
        starts_at = f"2026-01-02T{start // 3600:02d}:{start // 60 % 60:02d}:{start % 60:02d}Z"
        self.bodies.append(payload(alert(status=status, fingerprint=mark, startsAt=starts_at, **labels)))
        self.w.deliver(self.bodies[-1])

    @rule(
        number=NUMBERS,
        kind=st.sampled_from((*KINDS[:3], KINDS[0])),
        repeats=st.integers(1, 2),
        answer=ANSWERS,
        share=st.sampled_from((10, 50)),
        then=AFTERWARDS,
    )
    def accuse(
        self, number: int, kind: tuple[str, str], repeats: int, answer: Answer | str, share: int, then: str
    ) -> None:
        """A bad canary gets traffic, and an alert says so."""
        STEPS["accuse"] += 1
        name = self.name(number)
        self.w.heal(name)
        truth = self.truth(number)
        truth.quality = {GOOD: 0.9, BAD: 0.5}
        truth.judged, truth.verdict = kind[0] == "verdict", 1.0
        if self.w.routers[name].weights.weight(BAD) == 0:
            self.w.routers[name].write(self.w.now, State.of({GOOD: 100 - share, BAD: share}), "")
        self._alerts += 1
        for _ in range(repeats):
            self._send(name, *kind, self._alerts)
        self._meet(answer, 1.0)
        follow(self, number, then)

    @rule(number=NUMBERS, kind=st.sampled_from(KINDS), start=st.integers(0, 3))
    def webhook(self, number: int, kind: tuple[str, str], start: int) -> None:
        """An alert that may have no ground."""
        STEPS["webhook"] += 1
        self._send(self.name(number), *kind, start)

    @rule(number=NUMBERS, start=st.integers(0, 3))
    def resolve(self, number: int, start: int) -> None:
        """An alert that is over changes nothing."""
        STEPS["resolve"] += 1
        self.w.run(0.0)
        self.w.checks.look()
        before = self.w.checks.watch.state()
        self._send(self.name(number), "accuracy", "5m", start, status="resolved")
        self.w.checks.look()
        after = self.w.checks.watch.state()
        if before != after:
            self.w.checks.fail(9, f"a resolve changed {before} to {after}")

    @precondition(lambda self: bool(self.bodies))
    @rule(which=st.integers(0, 9), times=st.integers(1, 3))
    def deliver_again(self, which: int, times: int) -> None:
        """Any earlier delivery once more, in any order."""
        STEPS["deliver again"] += 1
        for _ in range(times):
            self.w.deliver(self.bodies[-1 - which % len(self.bodies)])

    # --- people

    @rule(what=st.sampled_from(PERSON), number=NUMBERS)
    def person(self, what: str, number: int) -> None:
        """Freeze, unfreeze, say what an artefact is."""
        STEPS[f"person: {what}"] += 1
        name, now = self.name(number), self.w.clock()
        match what.split():
            case ["touch"]:
                self.w.freeze_path.touch()
            case ["remove"]:
                self.w.freeze_path.unlink(missing_ok=True)
            case ["freeze", *more]:
                scope = EVERYTHING if more == ["all"] else name
                level = FreezeLevel.PROMOTE if more == ["promotions"] else FreezeLevel.ALL
                self.w.order(lambda ledger: ledger.freeze(scope, reason="r", actor="p", now=now, level=level))
            case ["unfreeze"]:
                self.w.order(lambda ledger: ledger.unfreeze(EVERYTHING, actor="p", now=now))
                self.w.order(lambda ledger: ledger.unfreeze(name, actor="p", now=now))
            case [word, *which]:
                status = {"quarantine": VersionStatus.QUARANTINED, "prove": VersionStatus.PROVEN}
                version = BAD if which == ["bad"] else GOOD
                said = Version(name, version, version, status.get(word, VersionStatus.CANDIDATE), "r", "p", now)
                self.w.order(lambda ledger: ledger.set_version(said, target=name))

    def give(self, number: int, kind: OrderKind, *, plan: str = "", force: bool = False, actor: str = "p") -> None:
        """A person orders something about the canary."""
        self._orders += 1
        name, reason = self.name(number), "because" if force else ""
        order = Order(
            f"order{self._orders}", name, kind, BAD, plan, reason, force, actor, self.w.clock(), OrderState.PENDING, ""
        )
        self.w.order(lambda ledger: ledger.give_order(order))

    @rule(
        what=st.sampled_from(ORDERS),
        number=NUMBERS,
        actor=st.sampled_from(("p", "q")),
        wait=st.sampled_from((0.0, 1.0, 6.0)),
    )
    def order(self, what: str, number: int, actor: str, wait: float) -> None:
        """What people order: in time, late, twice, with a plan that is another one by now."""
        STEPS[f"order: {what}"] += 1
        name = self.name(number)
        waiting = [i for i in self.w.checks.open_incidents() if i.state == "awaiting_approval"]
        if waiting and what in ("approve", "refuse"):
            number, name = MODELS.index(waiting[0].target), waiting[0].target
        open_ones = [i for i in self.w.checks.open_incidents() if i.target == name]
        plan = open_ones[0].plan if open_ones and what == "approve" else "0" * 16 if "another" in what else ""
        kinds = {"force": OrderKind.ROLLBACK, "approve another plan": OrderKind.APPROVE, "push": OrderKind.PROMOTE}
        kind = kinds[what] if what in kinds else OrderKind(what)
        self.give(number, kind, plan=plan, force=what in ("force", "push"), actor=actor)
        self.w.run(wait)

    @rule(number=NUMBERS, then=AFTERWARDS)
    def release(self, number: int, then: str) -> None:
        """A candidate that nothing speaks against is submitted."""
        STEPS["release"] += 1
        truth, router = self.truth(number), self.w.routers[self.name(number)]
        self.w.heal(router.name)
        truth.quality, truth.word, router.owned_by = {GOOD: 0.9, BAD: 0.9}, "hold", ""
        truth.judged = False
        if (router.name, BAD) in self.w.checks.watch.quarantined:
            said = Version(router.name, BAD, BAD, VersionStatus.CANDIDATE, "r", "p", self.w.clock())
            self.w.order(lambda ledger: ledger.set_version(said, target=router.name))
        if not any(r.target == router.name and r.open for r in self.w.checks.watch.releases.values()):
            router.write(self.w.now, State.of({GOOD: 100, BAD: 0}), "")
        self.give(number, OrderKind.SUBMIT)
        self.w.run(0.5)
        follow(self, number, then)

    @rule(number=NUMBERS, answer=ANSWERS, looks=st.integers(1, 4), then=AFTERWARDS)
    def release_goes_well(self, number: int, answer: Answer | str, looks: int, then: str) -> None:
        """The judge says promote, and nothing is wrong, up to the next write at least."""
        STEPS["release goes well"] += 1
        self.w.heal(self.name(number))
        truth = self.truth(number)
        truth.quality, truth.word = {GOOD: 0.9, BAD: 0.9}, "promote"
        if self.w.service is None:
            self.w.start()
        for look in range(looks):
            self._meet(answer if look == looks - 1 else Answer.OK, 40.0)
        follow(self, number, then)

    @rule(number=NUMBERS, word=st.sampled_from(WORDS))
    def judge_says(self, number: int, word: str) -> None:
        """The judge's word on the candidate, or none."""
        STEPS[f"judge says: {word}"] += 1
        truth = self.truth(number)
        truth.may_expand, truth.verdict_age = word != "slower", 500.0 if word == "deaf" else 1.0
        truth.word = {"nobody": None, "slower": "hold", "deaf": "promote"}.get(word, word)

    # --- the world

    @rule(number=NUMBERS, good=st.sampled_from((90, 0, 100, 37)), bad=st.sampled_from((10, 0, 50, 100)))
    def other_writer(self, number: int, good: int, bad: int) -> None:
        """Somebody else sets the weights; most often as they were before."""
        STEPS["other writer"] += 1
        self.truth(number)
        self.w.routers[self.name(number)].write(self.w.now, State.of({GOOD: good + (good + bad == 0), BAD: bad}), "")

    @rule(seconds=st.sampled_from((-7200.0, -60.0, -3.0, 3.0, 60.0, 700.0, 90000.0)))
    def clock_jumps(self, seconds: float) -> None:
        STEPS["clock jumps"] += 1
        self.w.skew += seconds
        self.w.checks.jumped(seconds)

    @rule(number=NUMBERS, what=st.sampled_from(BREAKS))
    def breaks(self, number: int, what: str) -> None:
        """Something around a target changes for the worse, or for the better."""
        STEPS[f"breaks: {what}"] += 1
        truth, router = self.truth(number), self.w.routers[self.name(number)]
        one_canary = truth.roles == [(GOOD, "baseline"), (BAD, "canary")]
        changes: dict[str, Callable[[], None]] = {
            "scraping": lambda: setattr(truth, "scraping", False),
            "source": lambda: setattr(truth, "source_up", 0.0 if truth.source_up == 1.0 else None),
            "roles": lambda: setattr(
                truth, "roles", [(v, "baseline") for v in (GOOD, BAD)] if one_canary else [(GOOD, "canary")]
            ),
            "old rule": truth.stop_rules,
            "hidden": lambda: setattr(truth, "hidden", True),
            "alert": lambda: setattr(truth, "alert_firing", False),
            "good falls": lambda: truth.quality.update({GOOD: 0.7, BAD: 0.3}),
            "bad recovers": lambda: truth.quality.update({BAD: 0.9}),
            "good dies": lambda: truth.stop_servers(GOOD),
            "bad dies": lambda: truth.alive.update({BAD: False}),
            "counters of good": lambda: truth.reset_counters(GOOD),
            "counters of bad": lambda: truth.reset_counters(BAD),
            "judged": lambda: setattr(truth, "judged", not truth.judged),
            "verdict": lambda: setattr(truth, "verdict", 1.0 - truth.verdict),
            "unreadable": lambda: setattr(router, "readable", False),
            "capacity": lambda: setattr(truth, "servers", {GOOD: 1.0 if truth.servers[GOOD] == 2.0 else 3.0, BAD: 1.0}),
            "owned": lambda: setattr(router, "owned_by", "" if router.owned_by else "another controller"),
            "disobeys": lambda: setattr(router, "obeys", False),
        }
        changes[what]()

    @rule(number=NUMBERS)
    def all_is_well(self, number: int) -> None:
        """Everything that broke around a target works again."""
        STEPS["all is well"] += 1
        self.w.heal(self.name(number))

    # --- the invariants

    @invariant()
    def holds(self) -> None:
        """The invariants, after every step."""
        if self.world is not None:
            STEPS["steps"] += 1
            self.w.checks.step()
            self._raise(self.w.checks)

    def teardown(self) -> None:
        if self.world is None:
            return
        if self.drains:
            self.w.drain()
        checks = self.w.checks
        self._end()
        self._raise(checks)

    def _raise(self, checks: Checks) -> None:
        for number, message in checks.violations:
            if number in self.numbers:
                self._end()
                raise AssertionError(f"invariant {number} ({NAMES[number]}): {message}")

    def _end(self) -> None:
        if self.world is not None:
            world, self.world = self.world, None
            EVENTS.update(world.counts)
            CHECKED.update(world.checks.checked)
            world.end()
