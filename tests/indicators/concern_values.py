"""Values of features against NumPy: one numeric and one categorical feature, over a reference of other values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from indicators.oracles import Concern, Oracle, Values
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.records import ModelKey, Prediction
from nasty_streams import categories, numbers

Floats = NDArray[np.float64]
Rows = Sequence[Prediction]

KEY = ModelKey("m", "v")
BINNED, RARE = ("DE", "FR"), ("PL", "IT")
PERCENTILES = (5, 25, 50, 75, 95)


def _columns() -> dict[str, list[object]]:
    rng = np.random.default_rng(1)
    x = np.where(rng.random(1000) < 0.2, 0.0, np.round(rng.normal(3.0, 2.0, 1000), 2))
    return {"x": x.tolist(), "c": rng.choice([*BINNED, *RARE], 1000, p=[0.5, 0.4, 0.05, 0.05]).tolist()}


COLUMNS = _columns()
PLAN = ModelPlan(reference=profile_columns(COLUMNS, ProfileOptions(categories=len(BINNED))))


def requests(stream: str) -> list[Prediction]:
    """Both features of every row, and now and then one that the reference does not have."""
    pairs = zip(numbers(stream), categories(stream), strict=True)
    return [
        Prediction(KEY, float(i), None, {"x": x, "c": c} | ({"brand new": 1} if i % 50 == 40 else {}), "1")
        for i, (x, c) in enumerate(pairs)
    ]


def finite(rows: Rows) -> Floats:
    """Every finite number of the numeric feature."""
    values = [row.features["x"] for row in rows]
    return np.array([v for v in values if isinstance(v, int | float) and math.isfinite(v)], dtype=np.float64)


def names(rows: Rows) -> list[object]:
    """Every category."""
    return [row.features["c"] for row in rows if row.features["c"] is not None]


def of_numbers(figure: Callable[[Floats], float]) -> Callable[[Rows], Values]:
    """A figure of the finite numbers, undefined without any."""
    return lambda rows: {("x",): float(figure(x))} if (x := finite(rows)).size else {}


def quantiles(rows: Rows) -> Values:
    """The exact quantiles of the raw numbers."""
    x = finite(rows)
    found: dict[tuple[str, ...], float] = {}
    for percentile in PERCENTILES if x.size else ():
        found["x", str(percentile)] = float(np.quantile(x, percentile / 100, method="inverted_cdf"))
    return found


def missing(rows: Rows) -> Values:
    """Share of rows without a finite number, or a name."""
    return {("x",): 1 - finite(rows).size / len(rows), ("c",): 1 - len(names(rows)) / len(rows)}


def category_shares(rows: Rows) -> Values:
    """Share of each category that has a bin, and of all others."""
    found = names(rows)
    if not found:
        return {}
    shares = {name: found.count(name) / len(found) for name in BINNED}
    shares["other"] = 1 - sum(shares.values())
    return {("c", name): share for name, share in shares.items()}


def unseen(rows: Rows) -> Values:
    """Share of names that the reference never had."""
    found = names(rows)
    return {("c",): float(np.mean([name not in {*BINNED, *RARE} for name in found]))} if found else {}


def schema(rows: Rows) -> Values:
    """Features that are new, missing everywhere, or mistyped in most of their values."""
    present = [v for row in rows if (v := row.features["x"]) is not None]
    wrong = len(present) - finite(rows).size
    absent = [all(row.features[name] is None for row in rows) for name in ("x", "c")]
    new = any("brand new" in row.features for row in rows)
    return {("new",): float(new), ("missing",): float(sum(absent)), ("mistyped",): float(2 * wrong > len(present))}


def mistyped(rows: Rows) -> Values:
    """Share of values that are no finite number, or no name."""
    found: dict[tuple[str, ...], float] = {}
    for name, right in (("x", finite(rows).size), ("c", len(names(rows)))):
        present = sum(row.features[name] is not None for row in rows)
        if present:
            found[name,] = 1 - right / present
    return found


def out_of_range(x: Floats) -> float:
    """Share of numbers under the least or over the greatest of the reference."""
    known = np.array(COLUMNS["x"], dtype=np.float64)
    return float(np.mean((x < known.min()) | (x > known.max())))


def take(measure: FeatureMeasure, rows: Rows) -> None:
    """One batch."""
    measure.on_predictions(rows)


CONCERN = Concern(
    make=lambda: FeatureMeasure(PLAN),
    rows=requests,
    take=take,  # type: ignore[arg-type]
    oracles={
        "Feature mean": Oracle(of_numbers(np.mean)),
        "Feature variance": Oracle(of_numbers(np.var)),
        "Feature standard deviation": Oracle(of_numbers(np.std)),
        "Feature minimum": Oracle(of_numbers(np.min)),
        "Feature maximum": Oracle(of_numbers(np.max)),
        "Feature median and other quantiles": Oracle(
            quantiles, lower="window_feature_quantile_lower", upper="window_feature_quantile_upper"
        ),
        "Feature missing rate": Oracle(missing),
        "Feature out-of-range rate": Oracle(of_numbers(out_of_range)),
        "Category shares": Oracle(category_shares),
        "Unseen categories": Oracle(unseen),
        "Mistyped values": Oracle(mistyped),
        "Schema changes": Oracle(schema),
    },
)
