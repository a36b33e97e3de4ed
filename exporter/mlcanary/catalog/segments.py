"""Figures per segment of the traffic."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, MetricSpec

ROWS: tuple[MetricSpec, ...] = ()

INDICATORS: tuple[Indicator, ...] = ()
