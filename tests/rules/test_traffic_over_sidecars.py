"""Rates, failures, latency and queue time that the rules record over seven restarting sidecars, from the raw events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from indicators.concern_traffic import interpolated
from mlcanary.catalog import LATENCY_BUCKETS, Role
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.traffic import KNOWN_REASONS
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import ModelKey, Prediction, Record
from replicated_release import END, START, WARM_UP, WINDOWS, Expected, hold, scraped, windows_of

STABLE, CANARY = ModelKey("churn", "v1"), ModelKey("churn", "v2")
PLAN = MonitorPlan(models={"churn": ModelPlan(roles={"v1": Role.BASELINE, "v2": Role.CANARY})})
V = "model_version:mlcanary_"
REASONS = ("500", "503", "timeout")


def requests(seed: int) -> list[Record]:
    """Requests of two versions: 4 % fail, 1 of 10 has no latency, 3 of 10 no queue time, and some take 20 s."""
    rng = np.random.default_rng(seed)
    n = 9000
    times = np.sort(rng.uniform(START - WARM_UP, START + END, n))
    latency = np.where(rng.random(n) < 0.003, 20.0, rng.lognormal(-3.0, 1.2, n))
    waited = latency * rng.beta(1, 3, n)
    made: list[Record] = []
    for i in range(n):
        key = CANARY if rng.random() < 0.2 else STABLE
        error = str(rng.choice(REASONS)) if rng.random() < 0.04 else None
        seconds = None if rng.random() < 0.1 else float(latency[i])
        queue = None if seconds is None or rng.random() < 0.3 else float(waited[i])
        predicted = None if error is not None else "1"
        made.append(
            Prediction(key, float(times[i]), f"r{i}", predicted=predicted, latency=seconds, error=error, queue=queue)
        )
    return made


def expected(found: Sequence[Prediction], key: ModelKey, w: str) -> Iterator[Expected]:
    """What the records of a window say of a version."""
    of, seconds = {"model": key.model, "version": key.version}, WINDOWS[w]
    own = [p for p in found if p.key == key]
    failed = [p.error for p in own if p.error is not None]
    yield Expected(f"{V}predictions:rate{w}", len(own) / seconds, of)
    yield Expected(f"{V}predictions:share{w}", len(own) / len(found), of)
    yield Expected(f"{V}prediction_errors:rate{w}", len(failed) / seconds, of)
    yield Expected(f"{V}prediction_errors:ratio{w}", len(failed) / len(own), of)
    for reason in {*KNOWN_REASONS, *failed}:
        name = f"model_version_reason:mlcanary_prediction_errors:ratio{w}"
        yield Expected(name, failed.count(reason) / len(own), {**of, "reason": reason})
    for family, percents, values in (
        ("latency", (50, 95, 99), [p.latency for p in own if p.latency is not None]),
        ("queue", (50, 95), [p.queue for p in own if p.queue is not None]),
    ):
        metric = f"mlcanary_prediction_{family}_seconds"
        for percent in percents:
            read_off = interpolated(values, percent / 100)
            exact = np.quantile(values, percent / 100, method="inverted_cdf")
            width = np.diff([0.0, *LATENCY_BUCKETS])[int(np.searchsorted(LATENCY_BUCKETS, exact))]
            assert abs(read_off - exact) <= width
            yield Expected(f"model_version:{metric}:p{percent}_{w}", read_off, of)
        for upper in LATENCY_BUCKETS:
            rate = sum(value <= upper for value in values) / seconds
            yield Expected(f"model_version_le:{metric}_bucket:rate{w}", rate, {**of, "le": repr(upper)})


def test_traffic_equals_the_raw_events(tmp_path: Path) -> None:
    records = requests(4)
    wanted = [
        row
        for w, found in windows_of(records).items()
        for key in (STABLE, CANARY)
        for row in expected([r for r in found if isinstance(r, Prediction)], key, w)
    ]
    hold(tmp_path, scraped(PLAN, records, seed=3), wanted)
    assert len(wanted) > 150
