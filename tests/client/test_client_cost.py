"""The bench of what recording adds to a request: it measures every way; its figures are read, not asserted."""

from __future__ import annotations

import pytest
from client_overhead import measured


@pytest.mark.parametrize("way", ["prediction(...)", "with predicting(...)", "@watch"])
def test_every_way_is_measured_and_nothing_is_dropped(way: str) -> None:
    found = measured(way, 500, 0.0)
    assert found["request"] > 0
    assert found["dropped"] == 0
