"""Orders of people, carried out by the target's own worker: there is one writer."""

from __future__ import annotations

from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.work.effect import Effector, Environment


class Orders:
    """Carries out the waiting orders of one target."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.plan = plan
        self._effector = effector
        self._env = environment

    async def carry_out_pending(self) -> None:
        """Every waiting order, oldest first. Raises StateError and ActionError."""
