"""Quality of rankings and recommendations: one figure per request, summed."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, MetricSpec

ROWS: tuple[MetricSpec, ...] = ()

INDICATORS: tuple[Indicator, ...] = ()
