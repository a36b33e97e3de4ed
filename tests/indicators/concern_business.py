"""Business figures against ratios of raw sums, numpy's and scipy's standard errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from business_requests import Request, column, independent_stderr, requests, standard_error, take
from indicators.oracles import Concern, Oracle, Values, per_label, plain
from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.plan import ModelPlan

Rows = Sequence[Request]


def _seen(rows: Rows, what: str) -> bool:
    return bool(column(rows, what).any())


def _ratio(rows: Rows, above: str, below: str, known: Rows, scale: float = 1.0) -> float | None:
    """Undefined while nothing below the line has come, or no event of the kind in `known`."""
    needed = {"converted" if name == "value" else name for name in (above, below)} & {"clicked", "converted"}
    if not all(_seen(known, name) for name in needed) or not rows or not column(rows, below).any():
        return None
    return scale * float(column(rows, above).sum() / column(rows, below).sum())


def _mature(rows: Rows) -> Rows:
    return [r for r in rows if r.matured]


def _of(above: str, below: str, scale: float = 1.0) -> Oracle:
    return Oracle(lambda rows: plain(_ratio(rows, above, below, rows, scale)))


def _of_mature(above: str, below: str) -> Oracle:
    return Oracle(lambda rows: plain(_ratio(_mature(rows), above, below, rows)))


def _gmv(rows: Rows) -> Values:
    return plain(float(column(rows, "value").sum()) if _seen(rows, "converted") else None)


def _followed(rows: Rows) -> float:
    """Standard error of conversions per click as if each conversion had a click as long as there are clicks."""
    conversions, clicks = int(column(rows, "converted").sum()), int(column(rows, "clicked").sum())
    place = np.arange(max(conversions, clicks))
    return independent_stderr((place < conversions).astype(float), (place < clicks).astype(float))


def _stderrs(rows: Rows) -> Values:
    mature = _mature(rows)
    clicked, converted = _seen(rows, "clicked"), _seen(rows, "converted")
    answered = [r for r in rows if not r.failed]
    found: dict[str, float | None] = {}
    if clicked:
        found["ctr"] = independent_stderr(column(answered, "clicked"), np.ones(len(answered)))
        if mature:
            found["mature_ctr"] = independent_stderr(column(mature, "clicked"), np.ones(len(mature)))
    if clicked and converted:
        found["cvr"] = _followed(rows)
    if converted:
        found["conversion_per_prediction"] = independent_stderr(column(rows, "converted"), column(rows, "all"))
        error = standard_error(column(rows, "value"))
        found["value_per_prediction"] = error
        found["revenue_per_mille"] = None if error is None else 1000 * error
        found["gmv"] = None if error is None else len(rows) * error
    if converted and mature:
        found["mature_conversion_per_prediction"] = independent_stderr(
            column(mature, "converted"), column(mature, "all")
        )
        found["mature_value_per_prediction"] = standard_error(column(mature, "value"))
        if _seen(mature, "clicked"):
            found["mature_cvr"] = independent_stderr(column(mature, "converted"), column(mature, "clicked"))
    return per_label(found)


CONCERN = Concern(
    make=lambda: BusinessMeasure(ModelPlan()),
    rows=requests,
    take=take,
    oracles={
        "CTR": _of("clicked", "answered"),
        "CVR": _of("converted", "clicked"),
        "conversions per request": _of("converted", "all"),
        "GMV": Oracle(_gmv),
        "GMV per request": _of("value", "all"),
        "revenue per mille": _of("value", "all", 1000.0),
        "mature CTR": _of_mature("clicked", "all"),
        "mature CVR": _of_mature("converted", "clicked"),
        "mature conversions per prediction": _of_mature("converted", "all"),
        "mature value per prediction": _of_mature("value", "all"),
        "standard error of business figures, event level": Oracle(_stderrs),
    },
)
