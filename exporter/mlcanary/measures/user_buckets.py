"""The same business figures by bucket of users, for standard errors that know that one user's requests are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import Measure, Outcome, crossed, run, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample, Shown, one_by_one
from mlcanary.stats.accumulator import Floats, Tally
from mlcanary.stats.user_buckets import BUCKETS, UserBuckets, clustered

_PREDICTIONS, _FAILED, _CLICKS, _CONVERSIONS, _GAINED, _LOST = range(6)
_NAMES = tuple(str(bucket) for bucket in range(BUCKETS))


class UserBucketMeasure(Measure):
    """Takes in what names a user; the rest is left out. Without users there are no series at all."""

    budget = "user_buckets"
    families = (
        "mlcanary_user_bucket_predictions_total",
        "mlcanary_user_bucket_errors_total",
        "mlcanary_user_bucket_events_total",
        "mlcanary_user_bucket_value_total",
        "mlcanary_window_business_user_stderr",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"buckets": UserBuckets.empty(6), "seen": Tally()}

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count requests and failures of users."""
        buckets: UserBuckets = self.parts["buckets"]
        if users := [p.user for p in batch if p.user is not None]:
            buckets.update_many(_PREDICTIONS, users)
            buckets.update_many(_FAILED, [p.user for p in batch if p.user is not None and p.error is not None])

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count requests of users: nothing in columns has failed."""
        if batch.has_user.any():
            self.parts["buckets"].update_many(_PREDICTIONS, batch.user[batch.has_user])

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Count clicks, conversions and the money of conversions."""
        buckets: UserBuckets = self.parts["buckets"]
        for event, row in ((self.plan.clicks, _CLICKS), (self.plan.conversions, _CONVERSIONS)):
            if users := [x.user for x in batch if x.event == event and x.user is not None]:
                self.parts["seen"].add((event,))
                buckets.update_many(row, users)
        paid = [
            (x.user, x.value)
            for x in batch
            if x.event == self.plan.conversions and x.user is not None and x.value is not None
        ]
        users = [user for user, _ in paid]
        buckets.update_many(_GAINED, users, [max(0.0, value) for _, value in paid])
        buckets.update_many(_LOST, users, [max(0.0, -value) for _, value in paid])

    def counters(self) -> Iterator[Sample]:
        """All buckets, born at zero together."""
        return one_by_one(self.counter_runs())

    def counter_runs(self) -> Iterator[Shown]:
        """The same, a run for each family."""
        values = self.parts["buckets"].values
        if not values.any():
            return
        families: dict[str, dict[str | None, int]] = {
            "predictions": {None: _PREDICTIONS},
            "errors": {None: _FAILED},
            "events": {self.plan.clicks: _CLICKS, self.plan.conversions: _CONVERSIONS},
            "value": {POSITIVE: _GAINED, NEGATIVE: _LOST},
        }
        for family, rows in families.items():
            labels = [
                own for label in rows for own in (crossed(_NAMES) if label is None else crossed(_NAMES, (label,)))
            ]
            yield from run(f"user_bucket_{family}_total", labels, values[list(rows.values())].ravel())

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Standard errors over buckets, or why they are absent."""
        if not self.parts["buckets"].values[_PREDICTIONS].any():
            yield undefined("business_user_stderr", "no_users")
            return
        for figure, above, below, factor in self._ratios():
            found = clustered(above, below)
            if found is None:
                yield undefined(f"{figure}_user_stderr", "no_clicks" if figure == "cvr" else "no_predictions")
            elif found.stderr is None:
                yield undefined(f"{figure}_user_stderr", "few_users")
            else:
                yield sample("window_business_user_stderr", (figure,), factor * found.stderr)

    def _ratios(self) -> Iterator[tuple[str, Floats, Floats, float]]:
        """Figure, its sums above and below the line by bucket, and its scale."""
        rows = self.parts["buckets"].values
        requests, clicks, conversions = rows[_PREDICTIONS], rows[_CLICKS], rows[_CONVERSIONS]
        seen = self.parts["seen"].counts
        if (self.plan.clicks,) in seen:
            yield "ctr", clicks, requests - rows[_FAILED], 1.0
        if (self.plan.conversions,) in seen:
            if (self.plan.clicks,) in seen:
                yield "cvr", conversions, clicks, 1.0
            value = rows[_GAINED] - rows[_LOST]
            yield "conversion_per_prediction", conversions, requests, 1.0
            yield "value_per_prediction", value, requests, 1.0
            yield "revenue_per_mille", value, requests, 1000.0
