"""Business outcomes of mature predictions by bucket of users: what the judge compares where users come back.

Requests of one user are alike, and an outcome may come late: these counters know both. A prediction enters them once
its wait is over, with what happened until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.columns import OutcomeColumns
from mlcanary.measures.contract import Matured, Measure, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Sample
from mlcanary.stats.user_buckets import BUCKETS, UserBuckets

_PREDICTIONS, _CLICKS, _CONVERSIONS, _GAINED, _LOST, _SQUARES = range(6)
_NAMES = tuple(str(bucket) for bucket in range(BUCKETS))


class MatureUserMeasure(Measure):
    """Takes in mature predictions that name a user. Without users or any outcome there are no series at all."""

    budget = "user_buckets"
    families = (
        "mlcanary_mature_user_bucket_predictions_total",
        "mlcanary_mature_user_bucket_events_total",
        "mlcanary_mature_user_bucket_value_total",
        "mlcanary_mature_user_bucket_value_squares_total",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"buckets": UserBuckets.empty(6)}

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Count predictions of users, their clicks, their conversions and the money of those."""
        known = [(x.user, x.events) for x in batch if x.user is not None]
        if not known:
            return
        buckets: UserBuckets = self.parts["buckets"]
        buckets.update_many(_PREDICTIONS, [user for user, _ in known])
        buckets.update_many(_CLICKS, [user for user, events in known if self.plan.clicks in events])
        conversions = [
            (user, events[self.plan.conversions]) for user, events in known if self.plan.conversions in events
        ]
        buckets.update_many(_CONVERSIONS, [user for user, _ in conversions])
        paid = [(user, value) for user, value in conversions if value is not None]
        users = [user for user, _ in paid]
        buckets.update_many(_GAINED, users, [max(0.0, value) for _, value in paid])
        buckets.update_many(_LOST, users, [max(0.0, -value) for _, value in paid])
        buckets.update_many(_SQUARES, users, [value * value for _, value in paid])

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """Count predictions of users: those in columns have had no event."""
        if batch.has_user.any():
            self.parts["buckets"].update_many(_PREDICTIONS, batch.user[batch.has_user])

    def counters(self) -> Iterator[Sample]:
        """All buckets, once any outcome has been seen."""
        values = self.parts["buckets"].values
        if not values[_CLICKS:].any():
            return
        rows: tuple[tuple[str, tuple[str, ...], int], ...] = (
            ("predictions", (), _PREDICTIONS),
            ("events", (self.plan.clicks,), _CLICKS),
            ("events", (self.plan.conversions,), _CONVERSIONS),
            ("value", (POSITIVE,), _GAINED),
            ("value", (NEGATIVE,), _LOST),
            ("value_squares", (), _SQUARES),
        )
        for family, own, row in rows:
            for name, total in zip(_NAMES, values[row].tolist(), strict=True):
                yield sample(f"mature_user_bucket_{family}_total", (name, *own), total)
