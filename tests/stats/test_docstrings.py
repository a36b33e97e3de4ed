"""A statistic says what goes in, what it costs, how wrong it can be and where it comes from."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import mlcanary.stats

STATISTICS = sorted(m.name for m in pkgutil.iter_modules(mlcanary.stats.__path__) if m.name != "accumulator")


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistics_page_states_input_cost_error_and_source(name: str) -> None:
    page = importlib.import_module(f"mlcanary.stats.{name}").__doc__ or ""
    missing = [word for word in ("Input:", "Cost:", "Error", "Source:") if word not in page]
    assert not missing, f"mlcanary/stats/{name}.py says nothing about {', '.join(missing)}"
