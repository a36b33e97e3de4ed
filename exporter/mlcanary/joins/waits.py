"""Waiting times of every version as arrays over its code."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import Codes, Mask
from mlcanary.joins.names import NO_ROOM, Names
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.row_ring import MATURED, ODD, Rows


class Waits:
    """`wait`, `memory`: seconds; `held`: labels wait for maturity; `assumed`: code of what no label means, or NONE.

    `odd`: the class that no label means has no code, so rows of this version cannot be held in columns.
    """

    def __init__(self, policies: Mapping[str, JoinPolicy], names: Names) -> None:
        self._policies = policies
        self._names = names
        self.wait: NDArray[np.float64] = np.zeros(0)
        self.memory: NDArray[np.float64] = np.zeros(0)
        self.held: Mask = np.zeros(0, dtype=np.bool_)
        self.assumed: Codes = np.zeros(0, dtype=np.int32)
        self.odd: Mask = np.zeros(0, dtype=np.bool_)
        self.learn()

    def learn(self) -> None:
        """Know the versions that were named since."""
        if len(self.wait) == len(self._names.keys):
            return
        policies = [self._policies.get(key.model) or self._policies[""] for key in self._names.keys]
        self.wait = np.array([policy.wait for policy in policies], dtype=np.float64)
        self.memory = np.array([policy.memory for policy in policies], dtype=np.float64)
        self.held = np.array([policy.maturity > 0 for policy in policies], dtype=np.bool_)
        assumed = [self._names.class_code(p.unlabeled if p.maturity > 0 else None) for p in policies]
        self.assumed = np.array(assumed, dtype=np.int32)
        self.odd = self.assumed == NO_ROOM

    def due(self, rows: Rows) -> NDArray[np.float64]:
        """When something next happens to each row: its wait ends, or the memory of it; never to an odd one."""
        key, flags = rows["key"], rows["flags"]
        due: NDArray[np.float64] = rows["ts"] + np.where(flags & MATURED, self.memory[key], self.wait[key])
        due[(flags & ODD) != 0] = np.inf
        return due
