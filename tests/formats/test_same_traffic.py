"""The same traffic gives the same counters, whatever format tells it."""

from __future__ import annotations

from formats.same_traffic import assert_same_counters, native_predictions, traffic
from mlcanary.formats.contract import FormatOptions


def test_native_gives_the_counters_of_native() -> None:
    assert_same_counters(traffic(), native_predictions(traffic()), FormatOptions())
