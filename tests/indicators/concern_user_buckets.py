"""Standard errors over buckets of users against the variance of raw groups."""

from __future__ import annotations

from collections.abc import Sequence

from business_requests import Request, column, requests, take, user_stderr
from indicators.oracles import Concern, Oracle, Values, per_label
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.user_buckets import UserBucketMeasure


def _stderrs(rows: Sequence[Request]) -> Values:
    known = [r for r in rows if r.user is not None]
    clicked, converted = (bool(column(known, what).any()) for what in ("clicked", "converted"))
    found: dict[str, float | None] = {}
    if clicked:
        found["ctr"] = user_stderr(rows, "clicked", "answered")
    if clicked and converted:
        found["cvr"] = user_stderr(rows, "converted", "clicked")
    if converted:
        value = user_stderr(rows, "value", "all")
        found["conversion_per_prediction"] = user_stderr(rows, "converted", "all")
        found["value_per_prediction"] = value
        found["revenue_per_mille"] = None if value is None else 1000 * value
    return per_label(found)


CONCERN = Concern(
    make=lambda: UserBucketMeasure(ModelPlan()),
    rows=requests,
    take=take,
    oracles={"standard error of business figures, user level": Oracle(_stderrs)},
)
