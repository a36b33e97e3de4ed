"""Quality of regression models: residuals and their sums."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, MetricSpec

ROWS: tuple[MetricSpec, ...] = ()

INDICATORS: tuple[Indicator, ...] = ()
