"""Users spread over many sidecars, each sidecar the real monitor, and what is known of them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import Role
from mlcanary.exposition.page import Page
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.users import UserMeasure, day_of, salt_fingerprint
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.monitor.users import Sketches
from mlcanary.records import ModelKey, Prediction
from mlcanary.stats.distinct import HyperLogLog

NOW = 1_800_000_000.0
TODAY = day_of(NOW)
STABLE, CANARY = ModelKey("churn", "v1"), ModelKey("churn", "v2")
SALT = salt_fingerprint(b"salt of the tests")
Hashes = NDArray[np.uint64]


def plan() -> MonitorPlan:
    """One model with a baseline and a canary."""
    roles = {STABLE.version: Role.BASELINE, CANARY.version: Role.CANARY}
    return MonitorPlan(models={STABLE.model: ModelPlan(roles=roles)})


def hashes(n: int, seed: int) -> Hashes:
    """Users as the decoder hashes them: uniform over 64 bits."""
    return np.random.default_rng(seed).integers(0, 2**64 - 1, n, dtype=np.uint64, endpoint=True)


@dataclass(frozen=True)
class Fleet:
    """What each sidecar saw today, by version."""

    sidecars: Sequence[dict[ModelKey, Hashes]]

    def users(self, *keys: ModelKey) -> set[int]:
        """Everybody whom these versions served, exactly."""
        return {int(u) for sidecar in self.sidecars for key in keys for u in sidecar[key]}

    def sketches(self) -> list[Sketches]:
        """What each sidecar would hand out."""
        return [_sketches(sidecar) for sidecar in self.sidecars]


def fleet(seed: int, sidecars: int, users: int, canary: float = 0.2, crossing: float = 0.1) -> Fleet:
    """Each user lands on one to four sidecars; `canary` of them on the canary, `crossing` of whom meet both."""
    rng = np.random.default_rng(seed)
    who = hashes(users, seed + 1_000_000)  # the same seed would tie who somebody is to where he goes
    on_canary = rng.random(users) < canary
    on_baseline = ~on_canary | (rng.random(users) < crossing)
    places = rng.integers(0, sidecars, (users, 4))
    visits = rng.integers(1, 5, users)
    made = []
    for i in range(sidecars):
        here = ((places == i) & (np.arange(4) < visits[:, None])).any(axis=1)
        made.append({STABLE: who[here & on_baseline], CANARY: who[here & on_canary]})
    return Fleet(made)


def monitor_of(sidecar: dict[ModelKey, Hashes], ts: float = NOW) -> Monitor:
    """A monitor that saw a request of each user."""
    monitor = Monitor(plan(), NOW)
    monitor.feed([Prediction(key, ts, predicted="1", user=int(u)) for key, us in sidecar.items() for u in us], NOW)
    return monitor


def page_of(sketches: Sketches, salt: str = SALT) -> Page:
    """A page that hands these sketches out."""
    return Page((), (), sketches=sketches, salt=salt, made_at=NOW)


def _sketches(sidecar: dict[ModelKey, Hashes]) -> Sketches:
    found: dict[tuple[str, str, int], HyperLogLog] = {}
    for key, users in sidecar.items():
        measure = UserMeasure(ModelPlan())
        measure.days.add_users(TODAY, users)
        found[(*key, TODAY)] = measure.days.users[TODAY]
    return found
