"""Users over the versions of a model: what leaves the monitor as sketches, and who was served by both arms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from mlcanary.catalog import Role
from mlcanary.measures.contract import sample
from mlcanary.measures.users import UserMeasure, crossover, day_of
from mlcanary.monitor.panel import Panel
from mlcanary.records import Sample
from mlcanary.stats.distinct import HyperLogLog

Sketches = Mapping[tuple[str, str, int], HyperLogLog]
"""Users by model, version and day."""


def sketches_of(panels: Iterable[Panel]) -> dict[tuple[str, str, int], HyperLogLog]:
    """The live sketches of every panel: to be copied before another thread reads them."""
    return {
        (*panel.key, day): users
        for panel in panels
        for measure in panel.counters.measures
        if isinstance(measure, UserMeasure)
        for day, users in measure.days.users.items()
    }


def crossover_samples(
    sketches: Sketches, role: Callable[[str, str], Role], now: float, prefix: str = ""
) -> Iterator[Sample]:
    """Per model, the share of the canary's users of today whom the baseline served too. `role` of (model, version)."""
    today = day_of(now)
    for model in sorted({model for model, _, _ in sketches}):
        arms = ((role(m, v), users) for (m, v, day), users in sketches.items() if m == model and day == today)
        found = crossover(arms)
        if found is not None:
            yield sample(f"{prefix}crossover_users_ratio", (model,), found.ratio)
            yield sample(f"{prefix}crossover_users_error_ratio", (model,), found.error)
