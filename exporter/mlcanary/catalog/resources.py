"""CPU, memory, I/O and accelerators of the model server."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, MetricSpec

ROWS: tuple[MetricSpec, ...] = ()

INDICATORS: tuple[Indicator, ...] = ()
