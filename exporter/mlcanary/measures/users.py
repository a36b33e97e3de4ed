"""Users and money by UTC day: distinct users, net value of conversions, value per user.

A day is one of event time, that of the prediction. The newest day and the one before are kept, nothing older; a user is
active with any request, failed ones included. Sketches have no windows: two of them cannot be subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.catalog import Role
from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import Measure, Outcome, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.distinct import HyperLogLog, OverlapEstimate, overlap

DAY_SECONDS = 86_400
_KEPT_DAYS = 2


def day_of(ts: float) -> int:
    """The UTC day of a Unix time, counted from 1970."""
    return int(ts // DAY_SECONDS)


def salt_fingerprint(salt: bytes) -> str:
    """Tells whether two sidecars hash users alike, without the salt."""
    return blake2b(b"mlcanary user sketches", digest_size=8, key=salt[:64]).hexdigest()


class DailyUsers:
    """Sketches of users, and net values, by day; both forget a day once there are two newer ones."""

    def __init__(self, fingerprint: str) -> None:
        """`fingerprint` of the salt: hashes under another one are other users, so such a state is not loaded."""
        self.fingerprint = fingerprint
        self.users: dict[int, HyperLogLog] = {}
        self.values: dict[int, float] = {}

    def add_users(self, day: int, hashes: ArrayLike) -> None:
        """Take in users of a day; nothing if the day is too old."""
        if self._kept(day):
            self.users.setdefault(day, HyperLogLog.empty()).update_many(hashes)

    def add_value(self, day: int, value: float) -> None:
        """Take in money of a day; nothing if the day is too old."""
        if self._kept(day):
            self.values[day] = self.values.get(day, 0.0) + value

    def dump(self) -> Any:
        """A form that msgpack can carry."""
        return [self.fingerprint, [[d, x.dump()] for d, x in self.users.items()], list(self.values.items())]

    def load(self, dumped: Any) -> None:
        """Take over a dumped state, unless its users were hashed with another salt. Raises ValueError."""
        fingerprint, users, values = dumped
        self.values = {int(day): float(value) for day, value in values}
        self.users = {}
        for day, state in users if fingerprint == self.fingerprint else ():
            self.users[int(day)] = HyperLogLog.empty()
            self.users[int(day)].load(state)

    def _kept(self, day: int) -> bool:
        newest = max((day, *self.users, *self.values))
        for stored in (self.users, self.values):
            for old in [d for d in stored if d <= newest - _KEPT_DAYS]:
                del stored[old]
        return day > newest - _KEPT_DAYS


class UserMeasure(Measure):
    """Daily active users, daily value and value per user of one sidecar."""

    families = ("mlcanary_daily_active_users", "mlcanary_daily_value", "mlcanary_daily_value_per_user")

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.sketches = {"days": DailyUsers(salt_fingerprint(plan.user_salt))}

    @property
    def days(self) -> DailyUsers:
        """What is kept by day."""
        days: DailyUsers = self.sketches["days"]
        return days

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan; under another salt everybody would count again, so users start anew."""
        if plan.user_salt != self.plan.user_salt:
            values = self.days.values
            self.sketches = {"days": DailyUsers(salt_fingerprint(plan.user_salt))}
            self.days.values = values
        super().replan(plan)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Take in the users of requests."""
        by_day: dict[int, list[int]] = {}
        for p in batch:
            if p.user is not None:
                by_day.setdefault(day_of(p.ts), []).append(p.user)
        for day, hashes in by_day.items():
            self.days.add_users(day, hashes)

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Take in the users of requests."""
        if not batch.has_user.any():
            return
        users = batch.user[batch.has_user]
        days = np.floor_divide(batch.ts[batch.has_user], DAY_SECONDS).astype(np.int64)
        found, first = np.unique(days, return_index=True)
        for day in found[np.argsort(first)].tolist():
            self.days.add_users(day, users[days == day])

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Take in the money of conversions, on the day of their prediction; a loss counts against a gain."""
        for outcome in batch:
            if outcome.event == self.plan.conversions and outcome.value is not None:
                self.days.add_value(day_of(outcome.ts), outcome.value)

    def facts(self, now: float) -> Iterator[Sample]:
        """Figures of today and yesterday; nothing for a day without users and money."""
        for name, day in days_at(now).items():
            users, value = self.days.users.get(day), self.days.values.get(day)
            if users is not None:
                active = users.estimate()
                yield sample("daily_active_users", (name,), active)
                yield sample("daily_value_per_user", (name,), (value or 0.0) / active)
            if users is not None or value is not None:
                yield sample("daily_value", (name,), value or 0.0)


def days_at(now: float) -> Mapping[str, int]:
    """The days that are shown, by their value of the label `day`."""
    return {"today": day_of(now), "yesterday": day_of(now) - 1}


def crossover(arms: Iterable[tuple[Role, HyperLogLog]]) -> OverlapEstimate | None:
    """The share of the canary's users whom the baseline served too; None without users of both."""
    canary, baseline = HyperLogLog.empty(), HyperLogLog.empty()
    for role, users in arms:
        if role is Role.CANARY:
            canary = canary.merge(users)
        elif role is Role.BASELINE:
            baseline = baseline.merge(users)
    return overlap(canary, baseline) if baseline.registers.any() else None
