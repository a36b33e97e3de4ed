"""The release of a target in mode drive: steps, holds, soak, promotion. One task, the target's worker, runs it."""

from __future__ import annotations

import math

from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.work.effect import Effector, Environment


class Driver:
    """See the module."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self._plan = plan
        self._effector = effector
        self._env = environment

    async def step(self) -> float:
        """Do what is due for the open release; gives the seconds until something else may be. Raises StateError."""
        return math.inf
