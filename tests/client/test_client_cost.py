"""What recording adds to a request, as the bench measures it; the bound is the one that is promised."""

from __future__ import annotations

import pytest
from client_overhead import measured


@pytest.mark.parametrize("way", ["prediction(...)", "with predicting(...)", "@watch"])
def test_at_the_median_a_request_takes_at_most_20_us_longer(way: str) -> None:
    found = measured(way, 2000, 0.0)
    assert found["p50"] <= 20.0
    assert found["dropped"] == 0
