"""A flood of webhooks on a real process: nothing that was answered is lost, and the handler still answers."""

from __future__ import annotations

from pathlib import Path

from handler_flood import flood


async def test_a_flood_from_one_sender_loses_nothing_and_leaves_metrics_readable(tmp_path: Path) -> None:
    figures = await flood(tmp_path, rate=1000.0, seconds=1.5)
    assert sum(figures.statuses.values()) == 1500
    assert set(figures.statuses) <= {202, 503}
    assert figures.statuses[202] > 0
    assert figures.lost == set()
    assert len(figures.scrapes) >= 3
    assert max(figures.scrapes) < 5.0  # seconds; Prometheus waits for 10
    assert max(figures.memory) < figures.memory[0] + 64 * 2**20
