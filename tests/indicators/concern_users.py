"""Users and money by day against plain sets and sums: every row is a request of a user, some with an order."""

from __future__ import annotations

from collections.abc import Sequence

from indicators.oracles import Concern, Oracle, Values
from mlcanary.measures.contract import Measure, Outcome
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.users import UserMeasure
from mlcanary.records import ModelKey, Prediction
from mlcanary.stats.distinct import relative_error
from nasty_streams import users

Row = tuple[float, int | None, float | None]
"""Event time on either side of midnight, user, value of the order or None."""

KEY = ModelKey("m", "v")
FOUR_STANDARD_ERRORS = 4 * relative_error()


def rows(stream: str) -> list[Row]:
    """Every third row lies on the day before; every fourth sells something, every eighth gives money back."""
    return [
        (1000.0 + i if i % 3 else -1000.0 - i, user, None if i % 4 else float(i % 8 * 10) - 7.5)
        for i, user in enumerate(users(stream))
    ]


def take(measure: Measure, batch: Sequence[Row]) -> None:
    """Feed requests, and orders as the join brings them."""
    measure.on_predictions([Prediction(KEY, ts, user=user) for ts, user, _ in batch])
    measure.on_events([Outcome("purchase", value, ts) for ts, _, value in batch if value is not None])
    measure.on_events([Outcome("click", None, ts) for ts, _, _ in batch])


def by_day(batch: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of today and yesterday, seen from the first second of 1970."""
    return {"today": [r for r in batch if r[0] >= 0], "yesterday": [r for r in batch if r[0] < 0]}


def active(batch: Sequence[Row]) -> Values:
    """Distinct users by day."""
    found = {(day,): len({user for _, user, _ in rs if user is not None}) for day, rs in by_day(batch).items()}
    return {day: float(n) for day, n in found.items() if n}


def value(batch: Sequence[Row]) -> Values:
    """Net value by day, where there were users or orders."""
    return {
        (day,): sum(v for _, _, v in rs if v is not None)
        for day, rs in by_day(batch).items()
        if any(user is not None or v is not None for _, user, v in rs)
    }


def per_user(batch: Sequence[Row]) -> Values:
    """Net value over distinct users."""
    return {day: value(batch)[day] / n for day, n in active(batch).items()}


CONCERN = Concern(
    make=lambda: UserMeasure(ModelPlan()),
    rows=rows,
    take=take,
    oracles={
        "daily active users of a sidecar": Oracle(active, within=FOUR_STANDARD_ERRORS),
        "daily value of conversions (GMV)": Oracle(value),
        "value per user and day": Oracle(per_user, within=FOUR_STANDARD_ERRORS),
    },
)
