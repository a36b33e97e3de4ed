"""Records of a canary release for tests of the monitor, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mlcanary.catalog import Role
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import Reference
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record, Sample

START = 1_800_000_000.0
STABLE, CANARY = ModelKey("churn", "v1"), ModelKey("churn", "v2")


def reference(seed: int = 1, rows: int = 2000, sample: int = 0) -> Reference:
    """A profile of two numbers, one name and the score; rows of it where `sample` is above 0."""
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.normal(40, 12, rows).tolist(),
        "balance": np.where(rng.random(rows) < 0.4, 0.0, rng.exponential(100, rows)).tolist(),
        "plan": rng.choice(["free", "pro", "team"], rows).tolist(),
        "score": rng.beta(2, 5, rows).tolist(),
    }
    return profile_columns(columns, ProfileOptions(bins=10, score_bins=50, model="churn", sample_rows=sample))


def plan(
    *, with_reference: bool = True, maturity: float = 0.0, limits: Limits | None = None, sample: int = 0
) -> MonitorPlan:
    """One model with roles; every other one learnt."""
    limits = limits or Limits()
    model = ModelPlan(
        reference=reference(sample=sample) if with_reference else None,
        roles={"v1": Role.BASELINE, "v2": Role.CANARY},
        join=JoinPolicy(maturity, 86400.0),
        limits=limits,
    )
    return MonitorPlan(models={"churn": model}, default=ModelPlan(limits=limits), limits=limits)


def traffic(n: int, *, seed: int = 3, seconds: float = 600.0, label_delay: float = 2.0) -> list[Record]:
    """Predictions of two versions and their labels, in the order of their event times.

    Every twentieth lacks an age, every fiftieth failed, every thirtieth has no label, every tenth sells something.
    """
    rng = np.random.default_rng(seed)
    records: list[Record] = []
    for i in range(n):
        ts = START + seconds * (i + 1) / n
        key = CANARY if i % 4 == 0 else STABLE
        positive = rng.random() < 0.3
        score = float(rng.beta(4, 4) if positive else rng.beta(2, 6))
        features = {
            "age": None if i % 20 == 0 else float(rng.normal(45, 12)),
            "balance": float(rng.exponential(80)) if i % 3 else 0,
            "plan": str(rng.choice(["free", "pro", "new"])),
        }
        error = "503" if i % 50 == 7 else None
        answered = error is None
        records.append(
            Prediction(
                key,
                ts,
                f"r{i}",
                features,
                ("1" if score >= 0.4 else "0") if answered else None,
                score if answered else None,
                float(rng.lognormal(-4, 1)),
                error,
            )
        )
        if i % 30:
            value = 9.5 if i % 20 == 10 else -2.25
            event = "purchase" if i % 10 == 0 else None
            label = str(int(positive))
            records.append(Label(f"r{i}", ts + label_delay, "churn", label, event, value if event else None))
    return sorted(records, key=lambda record: record.ts)


def fed(records: Sequence[Record], monitor_plan: MonitorPlan, *, batch: int = 100, now: float | None = None) -> Monitor:
    """A monitor that saw the records in batches and then let every wait end that ends before `now`."""
    monitor = Monitor(monitor_plan, START, stored=True)
    for i in range(0, len(records), batch):
        monitor.feed(records[i : i + batch], START)
    if now is not None:
        monitor.advance(now, now)
    return monitor


def value(samples: Iterable[Sample], name: str, *labels: str, suffix: str = "") -> float | None:
    """The value of one sample, None if it is absent."""
    found = [s.value for s in samples if s.name == f"mlcanary_{name}" and s.labels == labels and s.suffix == suffix]
    assert len(found) <= 1
    return found[0] if found else None
