"""Business events: counts, money, and the rates that people ask for, as they arrive and over mature cohorts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.columns import OutcomeColumns, PredictionColumns
from mlcanary.measures.contract import Matured, Measure, Outcome, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.ratio import Estimate, mean, proportion, ratio

FAMILIES = {
    "ctr": "window_ctr_ratio",
    "cvr": "window_cvr_ratio",
    "conversion_per_prediction": "window_conversion_per_prediction_ratio",
    "gmv": "window_gmv",
    "value_per_prediction": "window_value_per_prediction",
    "revenue_per_mille": "window_revenue_per_mille",
    "mature_ctr": "window_mature_ctr_ratio",
    "mature_cvr": "window_mature_cvr_ratio",
    "mature_conversion_per_prediction": "window_mature_conversion_per_prediction_ratio",
    "mature_value_per_prediction": "window_mature_value_per_prediction",
}
"""Gauge of each figure. A figure is also the label of its standard error."""

_PROVISIONAL = tuple(name for name in FAMILIES if not name.startswith("mature_"))
_MATURE = tuple(name for name in FAMILIES if name.startswith("mature_"))


class _Sums(NamedTuple):
    """What the figures of one kind of counting are made of; None where the event has never been seen."""

    answered: float
    requests: float
    clicks: float | None
    conversions: float | None
    both: float
    value: float
    squares: float


class BusinessMeasure(Measure):
    """Clicks are per answered request; conversions and money per request, failed ones included: they sell nothing too.

    A rate exists once its event has been seen, so that a model without clicks has no click-through rate of 0.
    """

    families = (
        "mlcanary_business_events_total",
        "mlcanary_business_value_total",
        "mlcanary_business_value_squares_total",
        "mlcanary_mature_predictions_total",
        "mlcanary_mature_clicked_conversions_total",
        "mlcanary_mature_events_total",
        "mlcanary_mature_value_total",
        "mlcanary_mature_value_squares_total",
        *(f"mlcanary_{family}" for family in FAMILIES.values()),
        "mlcanary_window_business_stderr",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "requests": Tally({("all",): 0.0, ("failed",): 0.0}),
            "events": Tally(),
            "value": Tally(),
            "squares": Tally(),
            "mature": Tally({("predictions",): 0.0, ("clicked_conversions",): 0.0}),
            "mature_events": Tally(),
            "mature_value": Tally(),
            "mature_squares": Tally(),
        }

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count requests, and the failed ones among them."""
        self.parts["requests"].add(("all",), float(len(batch)))
        self.parts["requests"].add(("failed",), float(sum(p.error is not None for p in batch)))

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count requests: nothing in columns has failed."""
        self.parts["requests"].add(("all",), float(len(batch)))

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Count events as they arrive; gains and losses are two counters, both rising."""
        for outcome in batch:
            self._count("", outcome.event, outcome.value)

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Count predictions whose wait is over, with every event that came until then."""
        mature = self.parts["mature"]
        mature.add(("predictions",), float(len(batch)))
        for x in batch:
            for event, value in x.events.items():
                self._count("mature_", event, value)
            if self.plan.clicks in x.events and self.plan.conversions in x.events:
                mature.add(("clicked_conversions",))

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """Count predictions whose wait is over: those in columns have had no event."""
        self.parts["mature"].add(("predictions",), float(len(batch)))

    def seen(self, event: str) -> bool:
        """Whether this version has ever had the event."""
        return (event,) in self.parts["events"].counts

    def counters(self) -> Iterator[Sample]:
        """Events and money; those of clicks and conversions are born at zero."""
        for prefix, family in (("", "business"), ("mature_", "mature")):
            known = {(self.plan.clicks,): 0.0, (self.plan.conversions,): 0.0}
            money = {(self.plan.conversions, POSITIVE): 0.0, (self.plan.conversions, NEGATIVE): 0.0}
            squares = {(self.plan.conversions,): 0.0}
            for part, born in (("events", known), ("value", money), ("squares", squares)):
                name = f"{family}_value_squares_total" if part == "squares" else f"{family}_{part}_total"
                for labels, count in (born | self.parts[prefix + part].counts).items():
                    yield sample(name, labels, count)
        for (name,), count in self.parts["mature"].items():
            yield sample(f"mature_{name}_total", (), count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Each figure with its standard error, or why it is absent."""
        if not (self.seen(self.plan.clicks) or self.seen(self.plan.conversions)):
            yield undefined("business", "no_events")
            return
        for names, sums in ((_PROVISIONAL, self._arrived()), (_MATURE, self._mature())):
            figures = _figures(sums)
            for name in names:
                found, reason = figures[name.removeprefix("mature_")]
                if found is None:
                    yield undefined(name, reason)
                    continue
                yield sample(FAMILIES[name], (), found.value)
                if found.stderr is not None:
                    yield sample("window_business_stderr", (name,), found.stderr)

    def _count(self, prefix: str, event: str, value: float | None) -> None:
        events = f"{prefix}events"
        configured = event in {self.plan.clicks, self.plan.conversions}
        key = (event,) if configured else self.capped(events, event, "events")
        self.parts[events].add(key)
        if value is not None:
            self.parts[f"{prefix}value"].add((*key, POSITIVE), max(0.0, value))
            self.parts[f"{prefix}value"].add((*key, NEGATIVE), max(0.0, -value))
            self.parts[f"{prefix}squares"].add(key, value * value)

    def _arrived(self) -> _Sums:
        requests = self.parts["requests"].counts
        sums = self._sums("", requests["all",], requests["all",] - requests["failed",])
        # A conversion is taken to follow a click of its request, as far as there are clicks: events come one by one.
        return sums._replace(both=min(sums.clicks or 0.0, sums.conversions or 0.0))

    def _mature(self) -> _Sums:
        mature = self.parts["mature"].counts
        sums = self._sums("mature_", mature["predictions",], mature["predictions",])
        return sums._replace(both=mature["clicked_conversions",])

    def _sums(self, prefix: str, requests: float, answered: float) -> _Sums:
        events, value = self.parts[f"{prefix}events"].counts, self.parts[f"{prefix}value"].counts
        conversions = self.plan.conversions
        return _Sums(
            answered,
            requests,
            events.get((self.plan.clicks,), 0.0) if self.seen(self.plan.clicks) else None,
            events.get((conversions,), 0.0) if self.seen(conversions) else None,
            0.0,
            value.get((conversions, POSITIVE), 0.0) - value.get((conversions, NEGATIVE), 0.0),
            self.parts[f"{prefix}squares"].counts.get((conversions,), 0.0),
        )


def _figures(sums: _Sums) -> dict[str, tuple[Estimate | None, str]]:
    """Each figure, and the reason for its absence."""
    figures: dict[str, tuple[Estimate | None, str]] = dict.fromkeys(_PROVISIONAL, (None, "no_events"))
    if sums.clicks is not None:
        figures["ctr"] = proportion(sums.clicks, sums.answered), "no_predictions"
    if sums.conversions is None:
        return figures
    if sums.clicks is not None:
        figures["cvr"] = ratio(sums.conversions, sums.clicks, sums.both), "no_clicks"
    figures["conversion_per_prediction"] = proportion(sums.conversions, sums.requests), "no_predictions"
    average = mean(sums.value, sums.squares, sums.requests)
    figures["value_per_prediction"] = average, "no_predictions"
    figures["revenue_per_mille"] = _times(average, 1000.0), "no_predictions"
    figures["gmv"] = _times(average, sums.requests), "no_predictions"
    if average is None and sums.conversions > 0:
        figures["gmv"] = Estimate(sums.value, None), ""
    return figures


def _times(found: Estimate | None, factor: float) -> Estimate | None:
    """The same figure on another scale."""
    if found is None:
        return None
    return Estimate(found.value * factor, None if found.stderr is None else found.stderr * factor)
