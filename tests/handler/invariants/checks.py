"""The fourteen invariants of recovery.md 5, held against what truly happened and against the ledger.

`look` runs at every commit of the process, `told` at every call that may change a router, `step` after every rule.
A violation is kept with the number of its invariant; 0 stands for a process that ends by itself.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from handler.invariants.call_checks import EPS, CallChecks, Facts, Word
from handler.invariants.ledger_watch import Change, LedgerWatch
from handler_world import BAD, GOOD
from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.releases import Release
from mlcanary.handler.ledger.book import STORM_BRAKE
from mlcanary.handler.ledger.verify import verify_file
from mlcanary.handler.service import PAGE_SECONDS
from mlcanary.handler.targets.contract import Guard, State

if TYPE_CHECKING:
    from handler.invariants.world import World

NAMES: Mapping[int, str] = {
    0: "the process ends only when it is told to",
    1: "traffic goes to good versions only",
    2: "somebody always serves, the last healthy one keeps its weight",
    3: "the destination can take the load",
    4: "one effect per incident and ladder step",
    5: "one action under way per target, one handler per ledger",
    6: "cooldown, budget and storm brake hold",
    7: "only a healthy verdict promotes",
    8: "no rollback on shared cause, broken source or confused roles",
    9: "resolve, restart and reload promote nothing and cancel nothing",
    10: "every incident ends in time, and a bad end pages",
    11: "resolved only by traffic after the effect",
    12: "a freeze holds in the dispatch, an unreadable store is one",
    13: "a dry run writes nothing",
    14: "the audit holds, each effect has one row",
}
DAY = 86400.0
_MOST_OPENED = 8
_PAGED = (IncidentState.FAILED, IncidentState.STUCK, IncidentState.INEFFECTIVE)


class Checks(CallChecks):
    """See the module."""

    def __init__(self) -> None:
        self.violations: list[tuple[int, str]] = []
        self.facts: dict[str, Facts] = {}
        self.words: dict[str, Word] = {}
        self.rooms: dict[str, tuple[float, dict[str, float]]] = {}
        self.begun: dict[str, tuple[int, float, float]] = {}
        self._soaks: dict[str, float] = {}
        self.checked: Counter[int] = Counter()
        self._inflight: dict[str, str] = {}
        self._effects: dict[str, tuple[float, float]] = {}
        self._entered: dict[str, tuple[str, float]] = {}
        self._written = Counter[str]()
        self._jumps: list[tuple[float, float]] = []
        self._downtime = 0.0
        self._ended: dict[str, float] = {}
        self._page_since = 0.0
        self._opened: dict[str, list[float]] = defaultdict(list)

    # --- what the world tells

    def begin(self, world: World) -> None:
        self.world = world
        self.watch = LedgerWatch(world.state_path)

    def fail(self, number: int, message: str) -> None:
        self.violations.append((number, message))

    def started(self) -> None:
        self._inflight.clear()
        self.facts.clear()
        self.look()
        self._page_since = self.world.clock() - PAGE_SECONDS + 1.0

    def jumped(self, seconds: float) -> None:
        """The handler's clock jumped. One that jumps ahead makes an old judgement look younger than a step's split."""
        self._jumps.append((self.world.now, seconds))
        if seconds > 0:
            self.begun = {name: (step, -math.inf, effect) for name, (step, _, effect) in self.begun.items()}

    def asked(self, name: str, expressions: Mapping[str, str]) -> None:
        """Evidence was answered."""
        truth = self.world.truths[name]
        if "servers" in expressions:
            self.rooms[name] = (sum(truth.serving().values()), dict(truth.servers))
        if "expand" in expressions:
            fresh = truth.verdict_age <= 30.0
            roles = truth.roles == [(GOOD, "baseline"), (BAD, "canary")]
            word = truth.word if fresh else None
            self.words[name] = Word(self.world.now, word, truth.may_expand, truth.source_up == 1.0, roles, truth.fires)
            return
        if "firing" not in expressions:
            return
        by_verdict = "verdict" in expressions
        fresh = max(truth.verdict_age if by_verdict else truth.rule_age, 0.0) <= 30.0
        stands = truth.verdict == 1.0 if by_verdict else truth.violated and not truth.judged
        self.facts[name] = Facts(
            self.world.now,
            truth.source_up == 1.0,
            tuple(truth.roles),
            truth.shared_cause,
            stands and fresh and truth.fires,
            frozenset(v for v, rate in truth.serving().items() if rate > 0),
            frozenset(v for v, servers in truth.servers.items() if servers > 0),
        )

    def open_call(self, name: str) -> tuple[State, Guard] | None:
        """The write on a router that is under way."""
        action = self.watch.actions.get(self._inflight.get(name, ""))
        return None if action is None else (action.desired, Guard(action.id, action.expected))

    def open_incidents(self) -> list[Incident]:
        """Incidents that still run."""
        self.look()
        return [incident for incident in self.watch.incidents.values() if incident.open]

    def drains(self) -> None:
        """Nothing breaks from now on."""
        self._hold()

    def told(self, kind: str, name: str, desired: State, guard: Guard) -> None:
        """A call that may change a router begins, or ends."""
        if kind == "ended":
            self._inflight.pop(name, None)
            return
        plan = self.world.plan(name)
        self.checked[13] += 1
        if kind == "apply" and (plan is None or not plan.acts):
            self.fail(13, f"{kind} on {name} in mode {plan.mode if plan else 'none'}")
        if kind != "apply":
            return
        self.look()
        action = self.watch.actions.get(guard.action_id)
        if action is None or action.state is not ActionState.DISPATCHED or action.target != name:
            self.fail(5, f"apply on {name} without a dispatched action: {action}")
            return
        self.checked[5] += 1
        if name in self._inflight:
            self.fail(5, f"{action.id} on {name} while {self._inflight[name]} is under way")
        self._inflight[name] = action.id
        for number, message in self.against(action, desired):
            self.fail(number, message)

    # --- what the ledger tells

    def look(self) -> None:
        """Hold every change of the ledger since the last look against the invariants. Runs at every commit."""
        for change in self.watch.changes():
            if change.illegal:
                self.fail(9, f"{change.table} {change.name}: no move from {change.source or 'nothing'} to {change.to}")
            if change.gone:
                self.fail(9, f"{change.table} {change.name} vanished")
            elif isinstance(change.row, Incident):
                self._incident(change, change.row)
            elif isinstance(change.row, Action):
                self._action(change, change.row)
            elif isinstance(change.row, Release):
                self._release(change, change.row)

    def _release(self, change: Change, release: Release) -> None:
        truth = self.world.truths[release.target]
        begun = self.begun.get(release.id)
        if release.effect and (begun is None or (begun[0], begun[2]) != (release.step, release.effect)):
            self.begun[release.id] = (release.step, truth.served[BAD], release.effect)
        if change.to == "soak" and change.source != "soak":
            self._soaks[release.id] = self.world.now
        if change.to == "proven":
            self.checked[7] += 1
            plan, word = self.world.plan(release.target), self.words.get(release.target)
            ahead = sum(max(0.0, by) for at, by in self._jumps if at >= self._soaks.get(release.id, 0.0))
            soaked = self.world.now - self._soaks.get(release.id, self.world.now) + ahead
            if plan is not None and soaked < plan.release.soak - 1.0:
                self.fail(7, f"{release.id} is proven after {soaked:g} s of soak")
            if word is None or not word.sound or word.word in (None, "rollback") or word.firing or not word.roles:
                self.fail(7, f"{release.id} is proven although {word}")
            if (release.model, release.digest) in self.watch.quarantined:
                self.fail(1, f"{release.id} is proven although its artefact is quarantined")

    def _incident(self, change: Change, incident: Incident) -> None:
        known = self._effects.get(incident.id)
        if incident.effect and (known is None or known[0] != incident.effect):
            self._effects[incident.id] = (incident.effect, self.world.now)
        if not change.source and incident.actor == HANDLER:
            for number, message in self.grounds(incident):
                self.fail(number, message)
        if not change.source:
            opened = [at for at in self._opened[incident.target] if at > self.world.now - 10.0]
            self._opened[incident.target] = [*opened, self.world.now]
            if len(opened) > _MOST_OPENED:
                self.fail(4, f"{len(opened)} incidents in 10 s on {incident.target}: the same alert again and again")
        if change.to in _PAGED and change.source != change.to:
            self._ended[incident.id] = self.world.clock()
        if change.source != change.to:
            self._entered[incident.id] = (change.to, self.world.now)
        if change.to == IncidentState.RESOLVED and change.source != change.to:
            self.checked[11] += 1
            for message in self._unproven(incident):
                self.fail(11, f"{incident.id} is resolved, but {message}")

    def _action(self, change: Change, action: Action) -> None:
        watch = self.watch
        under_way = [a.id for a in watch.actions.values() if a.target == action.target and a.state == "dispatched"]
        if len(under_way) > 1:
            self.fail(5, f"{under_way} are all under way on {action.target}")
        beside = [a for a in watch.actions.values() if a.incident == action.incident and a.kind is action.kind]
        if action.kind is ActionKind.ROLLBACK:
            self.checked[4] += 1
            if sum(a.stage == action.stage for a in beside) > 1:
                self.fail(4, f"incident {action.incident} has stage {action.stage} twice")
        elif action.kind is ActionKind.REASSERT and action.incident and len(beside) > 2:
            self.fail(4, f"incident {action.incident} was set again {len(beside)} times")
        if change.dispatched and action.kind is ActionKind.ROLLBACK and action.stage == 0 and action.actor == HANDLER:
            self._limits(action)
        if change.to in ("confirmed", "conflict", "failed", "unknown") and change.source != change.to:
            for message in watch.effect_rows(action):
                self.fail(14, f"{action.id}: {message}")
            self.checked[14] += 1

    def _limits(self, action: Action) -> None:
        plan = self.world.plan(action.target)
        if plan is None:
            return
        self.checked[6] += 1
        rollbacks = [
            a
            for a in self.watch.actions.values()
            if a.kind is ActionKind.ROLLBACK
            and a.stage == 0
            and a.actor == HANDLER
            and a.dispatched
            and a is not action
        ]
        own = [a.dispatched for a in rollbacks if a.target == action.target and a.id != action.id]
        if any(action.dispatched - at < plan.cooldown for at in own):
            self.fail(6, f"{action.id} inside the cooldown: {action.dispatched} after {own}")
        storm = {a.target for a in (*rollbacks, action) if action.dispatched - a.dispatched < plan.storm.window}
        braked = any(actor == STORM_BRAKE for _, actor, _ in self.watch.freezes(""))
        if len(storm) >= plan.storm.targets and not braked and self.watch.frozen("") != "all":
            self.fail(6, f"{sorted(storm)} were rolled back within {plan.storm.window:g} s and nothing is frozen")
        if sum(action.dispatched - at < DAY for at in own) >= plan.budget:
            self.fail(6, f"{action.id} over the budget: {action.dispatched} after {own}")

    def _unproven(self, incident: Incident) -> Iterator[str]:
        """What speaks against a resolved incident, in the truth."""
        world = self.world
        truth, router, plan = world.truths[incident.target], world.routers[incident.target], world.plan(incident.target)
        if plan is None:
            return
        if router.observable and router.show(world.now).weight(incident.bad) > 0:
            yield f"the router shows {router.show(world.now)}"
        effect = self._effects[incident.id][1]
        ahead = sum(max(0.0, by) for at, by in self._jumps if at >= effect)
        rules = plan.verification
        needed = rules.windows * rules.window - ahead
        reference = float(msgspec.json.decode(incident.evidence).get("reference", 0.0))  # unknown: nothing to compare
        if _less_is_better(incident):
            reference = 1.0 - reference if reference else 0.0
        found = [s for s in truth.scrapes if s.at >= effect - ahead - EPS]
        for i, first in enumerate(found):
            for last in found[i + 1 :]:
                bad = last.served[BAD] - first.served[BAD]
                others = sum(last.served[v] - first.served[v] for v in first.served if v != BAD)
                right = sum(last.right[v] - first.right[v] for v in first.served if v != BAD)
                moved = bad <= rules.max_share * (bad + others) + EPS
                enough = others >= rules.windows * rules.min_predictions and last.at - first.at >= needed - EPS
                if moved and enough and right / others > reference - 0.05:
                    return
        yield f"no traffic since the effect at {effect} proves it"

    # --- after every rule

    def step(self) -> None:
        """Hold what truly happened against the ledger."""
        self.look()
        self._writes()
        self._times()
        self._pages()

    def _writes(self) -> None:
        for name, router in self.world.routers.items():
            for write in router.writes[self._written[name] :]:
                self._written[name] += 1
                self.checked[9] += 1
                if write.after.total <= 0:
                    self.fail(2, f"nobody serves on {name}: {write}")
                if not write.action:
                    continue
                action = self.watch.actions.get(write.action)
                if action is None or not action.dispatched:
                    self.fail(14, f"an effect without a dispatched action: {write}")
                    continue
                earlier = [w for w in router.writes if w.action == write.action and w.at < write.at]
                if earlier and write.before != action.expected:
                    self.fail(4, f"{action.id} had its effect twice: {earlier[-1]}, {write}")
                incident = self.watch.incidents.get(action.incident)
                if incident and write.after.share(incident.bad) > write.before.share(incident.bad) + EPS:
                    self.fail(9, f"{action.id} gives {incident.bad} more traffic: {write}")

    def _times(self) -> None:
        """Acting and verifying are bounded while the process runs; nobody may stand still."""
        if self.world.service is None or self.world.store_fault:
            self._hold()
            return
        for incident in self.watch.incidents.values():
            state, since = self._entered.get(incident.id, ("", 0.0))
            plan = self.world.plan(incident.target)
            if not incident.open or plan is None or state not in ("acting", "verifying"):
                continue
            back = sum(by < 0 for _, by in self._jumps)  # each of them may start a deadline again
            bound = (3 + back) * plan.verification.deadline + self.world.slack
            self.checked[10] += 1
            if self.world.now - since > bound:
                self.fail(10, f"{incident.id} is {state} for {self.world.now - since:g} s, more than {bound:g}")

    def _hold(self) -> None:
        """The clock of every open incident starts again when the process can work again."""
        for name, (state, _) in self._entered.items():
            self._entered[name] = (state, self.world.now)

    def _pages(self) -> None:
        service = self.world.service
        if service is None or not self.world.loop.idle:
            return
        bad: dict[tuple[str, str, str], int] = defaultdict(int)
        for incident in self.watch.incidents.values():
            if incident.state in _PAGED and self._ended.get(incident.id, 0.0) >= self._page_since:
                bad[incident.target, incident.model, incident.state] += 1
        for labels, count in bad.items():
            told = service.metrics.value("rollbacks_total", *labels)
            self.checked[10] += 1
            if told < count:
                self.fail(
                    10, f"{count} incidents ended {labels[2]} on {labels[0]}, and the counter that pages says {told:g}"
                )

    def close(self) -> None:
        """The last look, with the product's own check of the file."""
        self.look()
        self.watch.close()
        try:
            report = verify_file(self.world.state_path)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self.fail(14, f"the audit cannot be verified: {error}")
            return
        for problem in report.problems:
            self.fail(14, problem)


def _less_is_better(incident: Incident) -> bool:
    measure = msgspec.json.decode(incident.evidence).get("recovery", incident.measure)
    return str(measure) in ("log_loss", "errors")
