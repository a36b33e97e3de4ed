"""Quality estimated without labels, by confidence."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, MetricSpec

ROWS: tuple[MetricSpec, ...] = ()

INDICATORS: tuple[Indicator, ...] = ()
