"""Business outcomes: clicks, orders, money."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, Indicator, MetricSpec, counter

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "business_events_total", (*MODEL_VERSION, "event"), "Outcomes such as click or purchase joined to a prediction."
    ),
    counter("business_value_total", (*MODEL_VERSION, "event", "sign"), "Money of joined outcomes, by sign."),
    counter("business_value_squares_total", (*MODEL_VERSION, "event"), "Sum of squared values of joined outcomes."),
)

INDICATORS: tuple[Indicator, ...] = ()
