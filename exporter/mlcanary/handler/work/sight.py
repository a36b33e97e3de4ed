"""What a release asks before it goes on: the judge, the target, the ledger. Writes nothing."""

from __future__ import annotations

import logging

from mlcanary.errors import ActionError
from mlcanary.handler.core import stepping
from mlcanary.handler.core.incidents import ActionKind
from mlcanary.handler.core.judgement import Judgement
from mlcanary.handler.core.machines import ReleaseState
from mlcanary.handler.core.policy import DAY, LedgerView
from mlcanary.handler.core.releases import Release
from mlcanary.handler.core.stepping import Ground, Standing
from mlcanary.handler.evidence import capacity
from mlcanary.handler.evidence.judgement import judge_of
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State
from mlcanary.handler.work.effect import Effector, Environment

log = logging.getLogger(__name__)

WITH_SPLIT = (ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK)
"""States in which a release keeps a split."""


class Sight:
    """Looks at one target for its releases. `unseen` says why the target could not be read last."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.unseen = ""
        self._plan = plan
        self._effector = effector
        self._env = environment
        self._evidence_at = environment.clock()

    async def judge(self, release: Release) -> Judgement | None:
        """What Prometheus tells of the candidate, None while it does not."""
        try:
            found = await judge_of(self._env.prometheus, self._plan, release.candidate, now=self._env.clock())
        except EvidenceError as error:
            log.warning("no evidence on a release", extra={"release": release.id, "error": str(error)})
            return None
        self._evidence_at = self._env.clock()
        return found

    async def seen(self) -> State | None:
        """The split now, None if it cannot be read."""
        try:
            seen = await self._effector.observe()
        except ActionError as error:
            self.unseen = str(error)
            return None
        self.unseen = "" if isinstance(seen, State) else seen.reason
        return seen if isinstance(seen, State) else None

    async def ground(self, release: Release, seen: State | None) -> Ground:
        """What the target and its servers tell; who else writes it is asked before the first step only."""
        try:
            room, unread = await capacity.read(self._env.prometheus, self._plan), ""
        except EvidenceError as error:
            room, unread = None, str(error)
        return Ground(seen, "" if release.step >= 0 else await self._owner(), room, unread)

    async def _owner(self) -> str:
        try:
            return await self._effector.owner()
        except ActionError as error:
            return f"nobody can tell who ({error})"

    def standing(self, release: Release) -> Standing:
        """What the handler knows by itself. Raises StateError."""
        plan, now, view = self._plan, self._env.clock(), self.view()
        configured = {release.candidate, release.stable} <= set(plan.versions)
        recent = any(now - at < plan.cooldown for at in view.changed)
        return Standing(
            drives=plan.mode == "drive"
            and configured
            and plan.digest(release.candidate) == release.digest
            and self._as_begun(release),
            level=view.level,
            quarantined=release.digest in view.quarantined,
            incident=view.open_version is not None,
            resting=recent or sum(now - at < DAY for at in view.changed) >= plan.budget,
            silence=max(0.0, now - self._evidence_at),
            patience=plan.evidence.deadline,
        )

    def view(self) -> LedgerView:
        """What the ledger knows of the target. Raises StateError."""
        since = self._env.clock() - max(DAY, self._plan.cooldown)
        return self._env.ledger.view(self._plan.name, self._plan.model, since)

    def split(self, release: Release, step: int) -> State:
        """The weights of a step."""
        return stepping.split(release, step, self._plan.release, self._plan.versions)

    def begun(self, release: Release) -> State:
        """The weights that the step under way was begun with. Raises StateError.

        They count until the step ends: a configuration that was loaded since may number its steps in another way.
        """
        actions = self._env.ledger.actions_of_release(release.id)
        return [action.desired for action in actions if action.kind is ActionKind.STEP][-1]

    def undone(self, release: Release, seen: State) -> bool:
        """Whether the split of the step was confirmed and is no longer there."""
        set_once = release.state in WITH_SPLIT and release.effect > 0
        return set_once and not self.begun(release).reached_by(seen)

    def _as_begun(self, release: Release) -> bool:
        """Whether the configuration still has the step under way."""
        if release.step < 0:
            return True
        known = release.step < len(self._plan.release.steps)
        return known and self.split(release, release.step).reached_by(self.begun(release))
