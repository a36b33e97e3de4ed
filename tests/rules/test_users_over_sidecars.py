"""Users and money of a day that the rules record over seven sidecars, from sets of users and sums of orders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import numpy as np

from daily_users import CANARY, NOW, STABLE, TODAY, fleet, plan
from mlcanary.catalog import BY_NAME
from mlcanary.exposition.sketches import PeerView, merged_samples, union
from mlcanary.measures.users import DAY_SECONDS
from mlcanary.monitor.monitor import Monitor
from mlcanary.monitor.users import Sketches
from mlcanary.records import Label, ModelKey, Prediction, Record, Sample
from mlcanary.stats.distinct import relative_error
from promtool_cases import Values, series_name
from replicated_release import END, REPLICAS, STEP, Expected, hold

KEYS = (STABLE, CANARY)
FOUR_STANDARD_ERRORS = 4 * relative_error()


def series(sidecar: int, samples: list[Sample]) -> Mapping[str, Values]:
    """What Prometheus holds of a sidecar that says the same for an hour."""
    target = {"job": "exporter", "instance": f"sidecar-{sidecar}:10877"}
    return {
        series_name(s.name, {**target, **dict(zip(BY_NAME[s.name].labels, s.labels, strict=True))}): [s.value]
        * (END // STEP + 1)
        for s in samples
        if "daily" in s.name or "crossover" in s.name
    }


def test_users_and_money_equal_the_raw_events(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    made = fleet(6, REPLICAS, 1500, canary=0.3, crossing=0.2)
    monitors, orders = [], dict.fromkeys(KEYS, 0.0)
    for i, sidecar in enumerate(made.sidecars):
        records: list[Record] = []
        for key in KEYS:
            for user in sidecar[key].tolist():
                row_id, amount = f"{i}-{key.version}-{user}", float(rng.normal(20, 30)) if rng.random() < 0.3 else None
                ts = TODAY * DAY_SECONDS + float(rng.uniform(0, DAY_SECONDS / 2))
                records.append(Prediction(key, ts, row_id, predicted="1", user=user))
                if amount is not None:
                    records.append(Label(row_id, ts + 60, key.model, event="purchase", value=amount))
                    orders[key] += amount
        monitors.append(Monitor(plan(), NOW))
        monitors[-1].feed(records, NOW)
        monitors[-1].advance(NOW, NOW)
    nobody: Sketches = {}
    together = PeerView(sketches=reduce(union, (monitor.sketches() for monitor in monitors), nobody))
    held: dict[str, Values] = {}
    for i, monitor in enumerate(monitors):
        merged = merged_samples(together, monitor.sketches(), plan().role, NOW) if i < 2 else ()
        held |= series(i, [*monitor.samples(NOW), *merged])
    hold(tmp_path, held, [row for key in KEYS for row in expected(key, made.users(key), orders[key])])
    both = len(made.users(STABLE) & made.users(CANARY)) / len(made.users(CANARY))
    error = next(s.value for s in merged_samples(together, {}, plan().role, NOW) if "crossover_users_error" in s.name)
    assert error < 0.1
    ratio = "model:mlcanary_merged_crossover_users_ratio:max"
    hold(tmp_path, held, [Expected(ratio, both, {"model": "churn"}, within=error)])


def expected(key: ModelKey, users: set[int], value: float) -> list[Expected]:
    """What a day of a version comes to. Two of the seven have peers, and both say the same."""
    of = {"model": key.model, "version": key.version, "day": "today"}
    day = "model_version_day:mlcanary_"
    return [
        Expected(f"{day}merged_daily_active_users:max", len(users), of, within=FOUR_STANDARD_ERRORS),
        Expected(f"{day}daily_value:sum", value, of),
        Expected(f"{day}daily_value:per_user", value / len(users), of, within=FOUR_STANDARD_ERRORS),
    ]
