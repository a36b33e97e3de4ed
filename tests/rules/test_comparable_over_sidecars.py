"""When business figures may be compared: enough events on both sides, of one place and model, and of equal age.

Each model lies just within or just outside one condition; what is expected follows from the conditions as
docs/statistics.md states them, not from the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from promtool_cases import Values, case, check, expression, near, series_name

EVENTS = 30
"""At least so many of the baseline and of the canary at the baseline's pace, in an hour."""
MIN_LABELS = 200
MINUTES, WEEK_HOURS = 130, 24 * 7
PLACES = (("east", "shop"), ("west", "shop"), ("east", "till"))
Series = dict[str, Values]


@dataclass(frozen=True)
class Side:
    """What a version has in an hour, and how many minutes ago it got its first request; None: before all began."""

    version: str
    role: str
    predictions: int
    clicks: int
    sales: int
    age: int | None = None

    def units(self, figure: str) -> int:
        """What a figure is a share of."""
        return self.clicks if figure == "conversions:cvr" else self.predictions

    def events(self, figure: str) -> int:
        """What is counted of these."""
        return self.clicks if figure == "clicks:ctr" else self.sales

    def worth(self, figure: str) -> float:
        """The figure itself; a sale is worth two."""
        return self.events(figure) / self.units(figure) * (2.0 if figure == "conversion_value:per_prediction" else 1.0)


def models(scale: float = 1.0) -> dict[str, list[Side]]:
    """By name; a smaller `scale` leaves too little of everything."""

    def side(version: str, role: str, predictions: int, clicks: int, sales: int, age: int | None = None) -> Side:
        return Side(version, role, round(scale * predictions), round(scale * clicks), round(scale * sales), age)

    def enough(role: str = "baseline", version: str = "v1") -> Side:
        return side(version, role, 600, 300, 180)

    return {
        "enough": [enough(), side("v2", "canary", 300, 120, 45)],
        "equal": [enough(), side("v2", "canary", 600, 300, 180)],
        "hardly_any_requests": [enough(), side("v2", "canary", 198, 150, 90)],
        "hardly_any_of_baseline": [side("v1", "baseline", 198, 150, 90), side("v2", "canary", 600, 300, 180)],
        "few_sales_of_baseline": [side("v1", "baseline", 240, 120, 29), side("v2", "canary", 600, 300, 180)],
        "few_clicks_of_baseline": [side("v1", "baseline", 240, 29, 29), side("v2", "canary", 600, 300, 180)],
        "few_to_come": [side("v1", "baseline", 1200, 110, 40), side("v2", "canary", 300, 60, 30)],
        "young": [enough(), side("v2", "canary", 600, 300, 180, age=58)],
        "two_baselines": [
            side("v0", "baseline", 3000, 300, 60),
            side("v1", "baseline", 600, 120, 60),
            side("v2", "canary", 360, 240, 60),
        ],
        "shadowed": [enough(), side("v2", "canary", 300, 120, 45), enough("shadow", "v3")],
        "alone": [side("v2", "canary", 600, 300, 180)],
    }


def series_of(place: tuple[str, str], model: str, side: Side, minutes: int) -> Series:
    """What a version's sidecar shows each minute."""
    of = {"cluster": place[0], "namespace": place[1], "model": model, "version": side.version}
    first = 0 if side.age is None else minutes - side.age

    def grown(name: str, per_hour: float, **labels: str) -> tuple[str, Values]:
        values = [None if minute < first else (minute - first) * per_hour / 60 for minute in range(minutes + 1)]
        return series_name(f"mlcanary_{name}", {**of, **labels}), values

    return {
        **dict(
            (
                grown("predictions_total", side.predictions),
                grown("prediction_errors_total", 0.0, reason="none"),
                grown("business_events_total", side.clicks, event="click"),
                grown("business_events_total", side.sales, event="purchase"),
                grown("business_value_total", 2.0 * side.sales, event="purchase", sign="positive"),
                grown("business_value_total", 0.0, event="purchase", sign="negative"),
                grown("business_value_squares_total", 4.0 * side.sales, event="purchase"),
            )
        ),
        series_name("mlcanary_model_info", {**of, "role": side.role, "task": "binary"}): [1.0] * (minutes + 1),
    }


def shared(place: tuple[str, str], model: str, samples: int) -> Series:
    """What a model's sidecars agree on."""
    of = {"cluster": place[0], "namespace": place[1], "model": model}
    always = [1.0] * samples
    return {
        series_name("mlcanary_objective_threshold", {**of, "objective": "min_labels"}): [float(MIN_LABELS)] * samples,
        series_name("mlcanary_business_event_info", {**of, "event": "click", "meaning": "click"}): always,
        series_name("mlcanary_business_event_info", {**of, "event": "purchase", "meaning": "conversion"}): always,
    }


def expected(figure: str, scale: float) -> Iterator[tuple[str, str, float]]:
    """Model, version, and the events that a comparable canary would have at its baseline's pace."""
    for model, sides in models(scale).items():
        measured = [side for side in sides if side.role == "baseline"]
        pace = max((side.events(figure) / side.units(figure) for side in measured), default=0.0)
        seen = any(side.predictions >= MIN_LABELS for side in measured)
        counted = any(side.events(figure) >= EVENTS for side in measured)
        for side in sides:
            due = side.units(figure) * pace
            enough = side.predictions >= MIN_LABELS and due >= EVENTS
            old_enough = side.age is None or side.age > 60
            if side.role == "canary" and enough and old_enough and seen and counted:
                yield model, side.version, due


@pytest.mark.parametrize("figure", ["clicks:ctr", "conversions:cvr", "conversion_value:per_prediction"])
def test_a_canary_is_compared_where_both_sides_have_enough(tmp_path: Path, figure: str) -> None:
    record, end = f"model_version:mlcanary_{figure}_comparable1h", f"{MINUTES}m"
    scales = dict(zip(PLACES, (1.0, 0.1, 0.5), strict=True))
    series: Series = {}
    found, checks = [], []
    for place, scale in scales.items():
        labels = dict(zip(("cluster", "namespace"), place, strict=True))
        for model, sides in models(scale).items():
            series |= shared(place, model, MINUTES + 1)
            for side in sides:
                series |= series_of(place, model, side, MINUTES)
        for model, version, due in expected(figure, scale):
            of = {**labels, "model": model, "version": version}
            found.append((of, 1.0))
            checks.append(expression(near(series_name(record, of), due, 1e-6), end, (of, 1.0)))
            checks += differences(figure, of, {side.version: side for side in models(scale)[model]}, end)
    assert len({of["model"] for of, _ in found}) >= 4
    by = "group by (cluster, namespace, model, version)"
    checks.append(expression(f"{by} ({record})", end, *found))
    records = [record, *(f"model_version:mlcanary_{figure}_{kind}1h" for kind in ("delta", "drop"))]
    check(tmp_path, "5m", [case("1m", series, checks)], records=records)


def differences(figure: str, of: dict[str, str], sides: dict[str, Side], at: str) -> Iterator[dict[str, object]]:
    """The canary's figure beside the best baseline's, and the part of it that is gone."""
    best = max(side.worth(figure) for side in sides.values() if side.role == "baseline")
    delta = sides[of["version"]].worth(figure) - best
    for kind, value in (("delta", delta), ("drop", -delta / best)):
        yield expression(near(series_name(f"model_version:mlcanary_{figure}_{kind}1h", of), value, 1e-6), at, (of, 1.0))


@pytest.mark.parametrize("figure", ["clicks:ctr", "conversions:cvr", "conversion_value:per_prediction"])
def test_a_week_is_compared_with_the_last_where_both_have_enough(tmp_path: Path, figure: str) -> None:
    """Events an hour then, units then, units now: just enough, and just too few in one respect or the other."""
    record = f"model:mlcanary_{figure}_week_comparable1h"
    worlds = {"enough": (33, 66, 63), "few_then": (28, 56, 600), "few_now": (300, 600, 56), "many": (90, 300, 300)}
    hours = WEEK_HOURS + 2
    series: Series = {}
    found = []
    for place, scale in zip(PLACES, (1.0, 0.1, 0.5), strict=True):
        of = dict(zip(("cluster", "namespace"), place, strict=True))
        for model, (events, then, now) in worlds.items():
            series |= shared(place, model, hours * 6 + 1)
            for version, part in (("v1", 0.75), ("v2", 0.25)):
                of_version = {**of, "model": model, "version": version}
                series |= week(of_version, figure, *(part * scale * n for n in (events, then, now)))
            due = scale * now * events / then
            if due >= EVENTS and scale * events >= EVENTS:
                found.append(({**of, "model": model}, due))
    assert {of["model"] for of, _ in found} == {"enough", "many"}
    at = f"{hours}h"
    checks = [expression(near(series_name(record, of), due, 1e-6), at, (of, 1.0)) for of, due in found]
    checks.append(expression(f"group by (cluster, namespace, model) ({record})", at, *((of, 1.0) for of, _ in found)))
    check(tmp_path, "60m", [case("10m", series, checks)], records=[record])


def week(of: dict[str, str], figure: str, events: float, then: float, now: float) -> Series:
    """Counters every ten minutes that grow at the paces of then for half a week, and at those of now behind it."""
    samples = range((WEEK_HOURS + 2) * 6 + 1)
    middle = len(samples) // 2

    def grown(before: float, after: float) -> Values:
        return [min(k, middle) * before / 6 + max(k - middle, 0) * after / 6 for k in samples]

    units = grown(then, now)
    gone = grown(events, events / 2)
    requests = grown(4 * then, 4 * now) if figure == "conversions:cvr" else units
    clicks = units if figure == "conversions:cvr" else gone
    purchase = {"event": "purchase"}
    named: list[tuple[str, dict[str, str], Values]] = [
        ("predictions_total", {}, requests),
        ("prediction_errors_total", {}, [0.0] * len(samples)),
        ("business_events_total", {"event": "click"}, clicks),
        ("business_events_total", purchase, gone),
    ]
    return {series_name(f"mlcanary_{name}", {**of, **labels}): values for name, labels, values in named}
