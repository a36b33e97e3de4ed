"""Recorded series of joint drift against scikit-learn on the raw events: seven sidecars that restart and forget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from joint_oracle import blocks, placements
from mlcanary.catalog import INDICATORS, Role
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import Reference
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import ModelKey, Prediction
from mlcanary.stats.accumulator import Floats
from replicated_release import (
    END,
    REPLICAS,
    RESTARTS_PER_SIDECAR,
    START,
    STEP,
    WARM_UP,
    WINDOWS,
    Expected,
    hold,
    replica_of,
    scraped,
)

SEED, SAMPLE = 3, 400
BASELINE, CANARY = ModelKey("fraud", "v1"), ModelKey("fraud", "v2")
SERIES = "model_version:mlcanary_c2st:"


class Placed(NamedTuple):
    """When a scored row came, and its placement."""

    times: Floats
    values: Floats


def columns(n: int, rng: np.random.Generator) -> dict[str, list[object]]:
    """Income goes with age; some countries are missing."""
    age = rng.normal(40, 10, n)
    country = [None if i % 17 == 0 else str(c) for i, c in enumerate(rng.choice(["DE", "FR", "PL"], n))]
    return {
        "age": age.tolist(),
        "income": (100 * age + rng.normal(0, 1000, n)).round(2).tolist(),
        "country": list(country),
    }


def release(key: ModelKey, n: int, rng: np.random.Generator, *, shuffled: bool) -> list[Prediction]:
    """Requests at random times; the ages of a shuffled release belong to other rows."""
    of = columns(n, rng)
    if shuffled:
        of["age"] = [of["age"][i] for i in rng.permutation(n)]
    times = np.sort(rng.uniform(START - WARM_UP, START + END, n))
    return [
        Prediction(
            key,
            float(t),
            f"{key.version}-{i}",
            {name: column[i] for name, column in of.items()},
            "1",
            error="503" if i % 29 == 0 else None,
        )
        for i, t in enumerate(times)
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The profile of healthy rows."""
    return profile_columns(columns(2000, np.random.default_rng(1)), ProfileOptions(bins=8, sample_rows=SAMPLE))


@pytest.fixture(scope="module")
def records() -> list[Prediction]:
    """A healthy baseline and a canary that gets its rows mixed up."""
    rng = np.random.default_rng(2)
    return release(BASELINE, 11_000, rng, shuffled=False) + release(CANARY, 8000, rng, shuffled=True)


def placed(reference: Reference, records: Sequence[Prediction], key: ModelKey) -> Placed:
    """Every scored row of a version, each life of each sidecar for itself."""
    random = np.random.default_rng(SEED)
    times: list[float] = []
    values: list[float] = []
    for replica in range(REPLICAS):
        restarts = random.choice(np.arange(20, END // STEP - 2), RESTARTS_PER_SIDECAR, replace=False)
        own = [p for p in records if p.key == key and p.error is None and replica_of(p) == replica]
        lives: dict[int, list[Prediction]] = {}
        for p in own:
            tick = max(0, int(np.ceil((p.ts - START) / STEP)))
            lives.setdefault(int((tick > restarts).sum()), []).append(p)
        for life in lives.values():
            found = [value for block in blocks(reference, [p.features for p in life]) for value in placements(block)]
            values += found
            times += [p.ts for p in life[len(life) - len(found) :]]
    return Placed(np.array(times), np.array(values))


def expected(of: dict[ModelKey, Placed]) -> Iterator[Expected]:
    """Every recorded series, for every window."""
    for window, seconds in WINDOWS.items():
        auc, variance = {}, {}
        for key, (times, values) in of.items():
            v = values[(times > START + END - seconds) & (times <= START + END)]
            labels, n, m = {"model": key.model, "version": key.version}, v.size, SAMPLE // 2
            null = np.sqrt((1 / n + 1 / m) / 12)
            auc[key], variance[key] = v.mean(), v.var() / n + 1 / (12 * m)
            yield Expected(f"{SERIES}rows{window}", n, labels)
            yield Expected(f"{SERIES}auc{window}", auc[key], labels)
            yield Expected(f"{SERIES}null_stderr{window}", null, labels)
            yield Expected(f"{SERIES}zscore{window}", (auc[key] - 0.5) / null, labels)
            # 4.2649 stands for the quantile 4.264891.
            yield Expected(f"{SERIES}auc_critical{window}", stats.norm.isf(1e-5, 0.5, null), labels, within=1e-6)
            yield Expected(f"{SERIES}auc_stderr{window}", np.sqrt(variance[key]), labels)
        delta, labels = auc[CANARY] - auc[BASELINE], {"model": CANARY.model, "version": CANARY.version}
        yield Expected(f"{SERIES}auc_delta{window}", delta, labels)
        yield Expected(f"{SERIES}auc_zscore{window}", delta / np.sqrt(sum(variance.values())), labels)


def test_recorded_series_equal_the_raw_events(tmp_path: Path, reference: Reference, records: list[Prediction]) -> None:
    plan = ModelPlan(reference=reference, roles={"v1": Role.BASELINE, "v2": Role.CANARY})
    of = {key: placed(reference, records, key) for key in (BASELINE, CANARY)}
    wanted = list(expected(of))
    hold(tmp_path, scraped(MonitorPlan(models={"fraud": plan}), records, seed=SEED), wanted)
    # What users ask for under "joint drift: canary against baseline" and the rest of this concern is all in it.
    promised = {name for row in INDICATORS if row.name.startswith("joint drift") for name in row.recorded}
    assert {name.replace("<W>", window) for name in promised for window in WINDOWS} <= {e.name for e in wanted}


def test_the_mixed_up_rows_are_seen_and_the_healthy_ones_are_not(
    reference: Reference, records: list[Prediction]
) -> None:
    found = {
        e.name + e.labels["version"]: e.value
        for e in expected({k: placed(reference, records, k) for k in (BASELINE, CANARY)})
    }
    assert found[f"{SERIES}zscore1hv2"] > 4.2649
    assert found[f"{SERIES}auc_zscore1hv2"] > 4.2649
    assert abs(found[f"{SERIES}zscore1hv1"]) < 3
