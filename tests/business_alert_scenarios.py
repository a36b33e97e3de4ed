"""Scenarios of the alerts about clicks, conversions and money."""

from __future__ import annotations

from alert_worlds import (
    CANARY,
    CRITICAL,
    EXPORTER,
    MODEL,
    WARNING,
    Course,
    Scenario,
    Series,
    baseline,
    canary,
    fires,
    gauge,
    silent,
    steady,
    world,
)
from mlcanary.catalog import NEGATIVE, OBJECTIVES, POSITIVE
from promtool_cases import series_name

BASELINE_ALERTS = (
    #  alert                      figure       good  bad   a little worse
    ("MLCanaryCTRBelowBaseline", "clicked", 0.2, 0.12, 0.19),
    ("MLCanaryCVRBelowBaseline", "converted", 0.25, 0.12, 0.24),
    ("MLCanaryGMVBelowBaseline", "price", 20.0, 9.0, 19.0),
)


def of_the_business() -> list[Scenario]:
    """Against the baseline, and against last week."""
    return [*against_the_baseline(), *against_last_week()]


def against_the_baseline() -> list[Scenario]:
    """What must be there for each alert, and what keeps it silent."""
    scenarios = []
    for alert, figure, good, bad, little in BASELINE_ALERTS:
        worse: dict[str, Course] = {figure: ((0, good), (60, bad), (110, good))}
        many = {"per_minute": steady(20_000.0)}
        shadow = world(baseline(), canary(role="shadow", **worse))
        scenarios += [
            fires(
                alert,
                "the canary loses half for most of an hour",
                world(baseline(), canary(**worse)),
                (112, ({**CANARY, **CRITICAL},)),
                resolved=190,
            ),
            silent(alert, "both lose half: a holiday", world(baseline(**worse), canary(**worse)), until=125),
            silent(
                alert,
                "certain, but less than a tenth",
                world(baseline(**many), canary(**many, **{figure: steady(little)})),
            ),
            silent(
                alert,
                "half, but on so few requests that chance explains it",
                world(baseline(), canary(per_minute=steady(4.0), **worse)),
            ),
            silent(
                alert,
                "the baseline has had hardly any events to compare with",
                world(baseline(per_minute=steady(4.0), clicked=steady(0.05)), canary(clicked=steady(0.0))),
            ),
            silent(
                alert,
                "a canary that is younger than an hour: its events are still to come",
                world(baseline(), canary(per_minute=((0, 0.0), (70, 100.0)), **{figure: steady(bad)})),
                until=128,
            ),
            silent(alert, "a shadow is shown to nobody", shadow),
            silent(alert, "two sidecars disagree on the canary's role", shadow | world(baseline(), canary(**worse))),
            silent(alert, "no baseline", world(canary(**worse))),
            silent(alert, "no data at all", {}, until=20),
        ]
    return scenarios


def against_last_week() -> list[Scenario]:
    """All versions together, the same hour a week apart."""
    scenarios = []
    for alert, figure, certain, chance in (
        ("MLCanaryCTRBelowLastWeek", "clicked", 8.0, 3.0),
        ("MLCanaryCVRBelowLastWeek", "converted", 60.0, 25.0),
        ("MLCanaryGMVBelowLastWeek", "price", 60.0, 25.0),
    ):
        model = {"model": MODEL, **WARNING}
        now = WEEK + 300
        scenarios += [
            Scenario(
                alert,
                "the model loses half of it, which no baseline shows, and finds it again",
                weeks(**{figure: 0.5}),
                ((now, (model,)),),
                (WEEK + 60, WEEK + 610),
                STEP,
            ),
            Scenario(
                alert,
                "half of it, on few requests, but more than chance takes",
                weeks(per_minute=certain, **{figure: 0.5}),
                ((now, (model,)),),
                (WEEK + 60, WEEK + 610),
                STEP,
            ),
            quiet(alert, "half of it, but chance may have taken it", weeks(per_minute=chance, **{figure: 0.5})),
            quiet(alert, "a tenth less is a week like others", weeks(**{figure: 0.9})),
            quiet(alert, "half of it, of a model that hardly anybody asks", weeks(per_minute=0.5, **{figure: 0.5})),
            quiet(alert, "hardly anybody asked it a week ago", weeks(per_minute_then=0.5, **{figure: 0.5})),
            quiet(alert, "nobody asks it now", weeks(per_minute_now=0.0, **{figure: 0.5})),
            quiet(alert, "it did not exist a week ago", weeks(per_minute_then=0.0, **{figure: 0.5})),
        ]
    return scenarios


WEEK, STEP = 7 * 24 * 60, 4
LOST, FOUND, END = WEEK + 110, WEEK + 350, WEEK + 700


def quiet(alert: str, because: str, series: Series) -> Scenario:
    """It never fires while something is lost, nor after."""
    return Scenario(alert, because, series, quiet=tuple(range(WEEK + 60, END, 60)), minutes=STEP)


def weeks(
    *,
    per_minute: float = 1000.0,
    per_minute_then: float | None = None,
    per_minute_now: float | None = None,
    clicked: float = 1.0,
    converted: float = 1.0,
    price: float = 1.0,
) -> Series:
    """Two versions for some hours and again a week later, when a part of the figures is left between LOST and FOUND."""
    series: Series = {}
    minutes = range(0, END, STEP)
    then = per_minute if per_minute_then is None else per_minute_then
    now = per_minute if per_minute_now is None else per_minute_now
    for version, share in (("v1", 0.9), ("v2", 0.1)):
        names = [
            _of("predictions_total", version, predicted="1"),
            _of("business_events_total", version, event="click"),
            _of("business_events_total", version, event="purchase"),
            _of("business_value_total", version, event="purchase", sign=POSITIVE),
            _of("business_value_total", version, event="purchase", sign=NEGATIVE),
            _of("business_value_squares_total", version, event="purchase"),
        ]
        columns: list[list[float | None]] = [[] for _ in names]
        totals = [0.0] * len(names)
        for minute in minutes:
            asked = share * (then if minute <= 720 else now if minute >= WEEK - 120 else 0.0)
            lost = LOST <= minute < FOUND
            clicks = asked * 0.2 * (clicked if lost else 1.0)
            bought = clicks * 0.25 * (converted if lost else 1.0)
            paid = 20.0 * (price if lost else 1.0)
            scraped = minute <= 720 or minute >= WEEK - 120
            for i, grown in enumerate((asked, clicks, bought, bought * paid, 0.0, bought * paid**2 * 1.25)):
                columns[i].append(totals[i] if scraped else None)
                totals[i] += STEP * grown
        series |= dict(zip(names, columns, strict=True))
    facts: Series = {}
    of = {**EXPORTER, "model": MODEL}
    for event, meaning in (("click", "click"), ("purchase", "conversion")):
        facts |= gauge("mlcanary_business_event_info", {**of, "event": event, "meaning": meaning}, (0, 1.0))
    for row in OBJECTIVES:
        facts |= gauge("mlcanary_objective_threshold", {**of, "objective": row.name}, (0, row.default))
    return series | {name: [values[0]] * len(minutes) for name, values in facts.items()}


def _of(name: str, version: str, **labels: str) -> str:
    return series_name(f"mlcanary_{name}", {**EXPORTER, "model": MODEL, "version": version, **labels})
