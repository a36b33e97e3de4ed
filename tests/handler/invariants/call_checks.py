"""The invariants that are held when a call goes out that may change a router, and when an incident opens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.invariants.ledger_watch import LedgerWatch
from handler.invariants.memory_router import TIMEOUT
from handler_world import BAD
from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind, Incident
from mlcanary.handler.ledger.book import STORM_BRAKE
from mlcanary.handler.targets.contract import State

if TYPE_CHECKING:
    from handler.invariants.world import World

EPS = 1e-6
Found = Iterator[tuple[int, str]]
"""Numbers of violated invariants, each with what happened."""


@dataclass(frozen=True)
class Facts:
    """What was true, and so was answered, when the handler asked for evidence."""

    at: float
    sound: bool
    roles: tuple[tuple[str, str], ...]
    shared: bool
    accused: bool
    serving: frozenset[str]
    warm: frozenset[str]


@dataclass(frozen=True)
class Word:
    """What the judge said, and what else was answered, when a release was looked at."""

    at: float
    word: str | None
    may_expand: bool
    sound: bool
    roles: bool
    firing: bool


class CallChecks:
    """See the module. Part of `Checks`, which keeps what was told."""

    world: World
    watch: LedgerWatch
    facts: dict[str, Facts]
    words: dict[str, Word]
    rooms: dict[str, tuple[float, dict[str, float]]]
    begun: dict[str, tuple[int, float, float]]
    checked: Counter[int]

    def against(self, action: Action, desired: State) -> Found:
        """What speaks against a call that goes out now."""
        yield from self._may_go(action)
        yield from self._may_move(action, desired)
        yield from self._evidence(action)
        yield from self._room(action, desired)
        yield from self._promotes(action, desired)

    def _room(self, action: Action, desired: State) -> Found:
        """Whether the destination can take what it gets, by what was answered last."""
        plan, incident = self.world.plan(action.target), self.watch.incidents.get(action.incident)
        room = self.rooms.get(action.target)
        limit = plan.capacity.requests_per_second if plan is not None else None
        first = action.kind is ActionKind.ROLLBACK and action.attempt == 1
        if plan is None or incident is None or limit is None or not first or self._forced(action):
            return
        self.checked[3] += 1
        if room is None:
            yield 3, f"{action.id} went out without a look at the capacity"
            return
        load, servers = room
        wanted = desired.share(incident.good) * load * plan.capacity.headroom
        raised = action.expected is None or desired.share(incident.good) > action.expected.share(incident.good) + EPS
        if raised and wanted > servers.get(incident.good, 0.0) * limit * 1.001:
            yield 3, f"{action.id} gives {incident.good} {wanted:g} requests/s, {servers} servers take {limit:g} each"

    def _promotes(self, action: Action, desired: State) -> Found:
        """Whether the judge allows the step."""
        release = self.watch.releases.get(action.release)
        if release is None or action.kind is not ActionKind.STEP or action.attempt > 1:
            return
        plan, word = self.world.plan(action.target), self.words.get(action.target)
        if plan is None or (action.actor != HANDLER and self._forced(action)):
            return
        self.checked[7] += 1
        if word is None or self.world.now - word.at > TIMEOUT + 1.0:
            yield 7, f"{action.id} steps without having asked the judge: {word}"
            return
        last = action.stage == len(plan.release.steps) - 1
        if last and word.word != "promote":
            yield 7, f"{action.id} promotes although the judge says {word.word}"
        if (
            action.stage > 0
            and action.actor == HANDLER
            and (word.word not in ("promote", "hold") or not word.may_expand)
        ):
            yield 7, f"{action.id} steps up although the judge says {word}"
        if word.word == "rollback" or word.firing or not word.sound or not word.roles:
            yield 7, f"{action.id} steps up although {word}"
        earlier = self.begun.get(release.id)
        if action.actor == HANDLER and action.stage > 0 and earlier is not None and earlier[0] < action.stage:
            got = self.world.truths[action.target].served[BAD] - earlier[1]
            if got < plan.release.min_trials:
                yield 7, f"{action.id} steps up after {got:g} requests"
        gaining = [
            v for v, _ in desired.weights if action.expected and desired.share(v) > action.expected.share(v) + EPS
        ]
        if action.stage > 0 and set(gaining) - {release.candidate}:
            yield 1, f"{action.id} steps up and gives {gaining} traffic"

    def _may_go(self, action: Action) -> Found:
        self.checked[12] += 1
        level = self.watch.frozen(action.target)
        if self.world.freeze_path.exists():
            level = "all"
        incident = self.watch.incidents.get(action.incident)
        if (
            level == "all"
            and incident is not None
            and action.kind is ActionKind.ROLLBACK
            and not self._by_hand(incident)
        ):
            level = ""
        if action.actor == HANDLER and (level == "all" or (level == "promote" and action.kind is ActionKind.STEP)):
            yield 12, f"{action.kind} {action.id} went out although {action.target} is frozen ({level})"
        if self.world.store_fault == "unreadable":
            yield 12, f"{action.id} went out although the ledger cannot be read"

    def _by_hand(self, incident: Incident) -> bool:
        """Whether anything but the storm brake, which lets open incidents end, freezes the target."""
        freezes = [f for f in self.watch.freezes(incident.target) if f[0] == "all"]
        spared = all(actor == STORM_BRAKE and since >= incident.opened for _, actor, since in freezes)
        return self.world.freeze_path.exists() or not spared

    def _may_move(self, action: Action, desired: State) -> Found:
        self.checked[1] += 1
        self.checked[2] += 1
        before = action.expected or State.of({})
        gaining = [v for v, _ in desired.weights if desired.share(v) > before.share(v) + EPS]
        plan = self.world.plan(action.target)
        for version in gaining:
            if (
                plan is not None
                and (plan.model, plan.digest(version)) in self.watch.quarantined
                and not self._forced(action)
            ):
                yield 1, f"{version} is quarantined and gains traffic by {action.id}"
        if desired.total <= 0:
            yield 2, f"{action.id} takes the traffic from everybody"
        incident = self.watch.incidents.get(action.incident)
        if incident is None:
            return
        partial = action.kind is ActionKind.ROLLBACK and plan is not None and plan.capacity.requests_per_second
        if incident.bad in gaining or (desired.weight(incident.bad) > 0 and not partial):
            yield 1, f"{action.id} gives the bad version {incident.bad} traffic"
        if set(gaining) - {incident.good}:
            yield 1, f"{action.id} gives {gaining} traffic, not only {incident.good}"
        if desired.weight(incident.good) <= 0:
            yield 2, f"{action.id} gives the destination {incident.good} nothing"

    def _forced(self, action: Action) -> bool:
        return any(order.force and order.target == action.target for order in self.watch.orders.values())

    def _evidence(self, action: Action) -> Found:
        """What was asked right before a person's approval was carried out."""
        incident = self.watch.incidents.get(action.incident)
        first = action.kind is ActionKind.ROLLBACK and action.stage == 0 and action.attempt == 1
        if incident is not None and first and incident.actor == HANDLER and action.actor != HANDLER:
            yield from self.grounds(incident)

    def grounds(self, incident: Incident) -> Found:
        facts = self.facts.get(incident.target)
        self.checked[8] += 1
        if facts is None:
            yield 8, f"{incident.id} acts without having asked for evidence"
            return
        baselines = [v for v, role in facts.roles if role == "baseline"]
        if not facts.sound:
            yield 8, f"{incident.id} acts although a source cannot be read"
        if len(baselines) > 1 or facts.roles.count((incident.bad, "canary")) != 1 or len(facts.roles) > 2:
            yield 8, f"{incident.id} acts although the roles are {facts.roles}"
        if facts.shared:
            yield 8, f"{incident.id} acts although the baseline fell too"
        if not facts.accused:
            yield 8, f"{incident.id} acts although nothing accuses {incident.bad} now"
        plan = self.world.plan(incident.target)
        stable = any(r.target == incident.target and r.stable == incident.good for r in self.watch.releases.values())
        kept = stable or (plan is not None and (plan.model, plan.digest(incident.good)) in self.watch.proven)
        if incident.good not in facts.serving and not (kept and incident.good in facts.warm):
            yield 2, f"{incident.id} sends the traffic to {incident.good}, which serves nobody"
