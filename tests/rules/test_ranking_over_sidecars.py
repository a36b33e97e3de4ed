"""Recorded series of ranking models against scikit-learn and scipy on raw events of seven restarting sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import ndcg_score

from mlcanary.catalog import Role, Task
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import ModelKey, Prediction, Record, canonical_relevance
from promtool_cases import shipped_groups
from replicated_release import END, START, WARM_UP, WINDOWS, Expected, hold, scraped, windows_of

MODEL, RANKS = "feed", (1, 5)
PLAN = MonitorPlan(
    models={MODEL: ModelPlan(task=Task.RANKING, roles={"v1": Role.BASELINE, "v2": Role.CANARY}, ranks=RANKS)}
)
CATALOGUE, SHOWN = 12, 8
F = "model_version_figure_k:mlcanary_ranking_figure:"
Floats = NDArray[np.float64]


def release() -> tuple[list[Record], dict[float, Floats], dict[float, str]]:
    """Requests of two versions; by time, the reason why one says nothing, or its grades: as shown, then hidden ones."""
    rng = np.random.default_rng(7)
    records: list[Record] = []
    usable: dict[float, Floats] = {}
    unusable: dict[float, str] = {}
    for version, per_second, skill in (("v1", 0.9, 1.0), ("v2", 0.6, 0.4)):
        for i, at in enumerate(rng.uniform(START - WARM_UP, START + END, int(per_second * (WARM_UP + END)))):
            ts = float(at)
            grades = np.where(rng.random(CATALOGUE) < 0.2, rng.integers(1, 4, CATALOGUE), 0).astype(np.float64)
            order = np.argsort(-(skill * grades + rng.normal(0, 1, CATALOGUE)))
            items: tuple[str, ...] | None = tuple(f"i{j}" for j in order[:SHOWN])
            label = canonical_relevance({f"i{j}": grade for j, grade in enumerate(grades.tolist())})
            if i % 6 == 0:
                reason = ("broken_label", "no_prediction", "no_relevant_item")[i // 6 % 3]
                label = {"broken_label": "1", "no_relevant_item": "{}"}.get(reason, label)
                items = None if reason == "no_prediction" else items
                unusable[ts] = reason
            elif not grades.any():
                unusable[ts] = "no_relevant_item"
            else:
                usable[ts] = grades[order]
            records.append(Prediction(ModelKey(MODEL, version), ts, label=label, items=items))
    return records, usable, unusable


@cache
def ndcg(grades: bytes, k: int) -> float:
    """NDCG of one request."""
    truth = np.frombuffer(grades)[None, :]
    return float(ndcg_score(truth, np.arange(CATALOGUE, 0, -1.0)[None, :], k=k, ignore_ties=True))


def figures(grades: Floats) -> Iterator[tuple[str, str, Floats]]:
    """Figure, k, and its value for each request."""
    shown = grades[:, :SHOWN]
    relevant: Floats = (shown > 0).astype(np.float64)
    reciprocal: Floats = np.max(relevant / np.arange(1, SHOWN + 1), axis=1)
    yield "reciprocal_rank", "all", reciprocal
    for k in RANKS:
        yield "ndcg", str(k), np.array([ndcg(row.tobytes(), k) for row in grades])
        found: Floats = relevant[:, :k].sum(axis=1)
        yield "recall", str(k), found / (grades > 0).sum(axis=1)
        yield "hit", str(k), (found > 0).astype(np.float64)
        yield "precision", str(k), found / k


def of_version(grades: Floats, version: str, w: str) -> Iterator[Expected]:
    """Means and standard errors of one version."""
    of = {"model": MODEL, "version": version}
    for figure, k, values in figures(grades):
        labels = {**of, "figure": figure, "k": k}
        yield Expected(f"{F}mean{w}", float(values.mean()), labels)
        yield Expected(f"{F}mean_stderr{w}", float(stats.sem(values)), labels)
    for k in ("all", *map(str, RANKS)):
        requests = f"model_version_k:mlcanary_ranking_requests:rate{w}"
        yield Expected(requests, len(grades) / WINDOWS[w], {**of, "k": k})


def of_comparison(canary: Floats, baseline: Floats, w: str) -> Iterator[Expected]:
    """The canary beside its baseline."""
    for (figure, k, ours), (_, _, theirs) in zip(figures(canary), figures(baseline), strict=True):
        labels = {"model": MODEL, "version": "v2", "figure": figure, "k": k}
        welch = stats.ttest_ind(ours, theirs, equal_var=False).statistic
        yield Expected(f"{F}mean_delta{w}", float(ours.mean() - theirs.mean()), labels)
        yield Expected(f"{F}mean_zscore{w}", float(welch), labels)


def of_reasons(reasons: Sequence[str], version: str, w: str) -> Iterator[Expected]:
    """What could not be used."""
    for reason in ("broken_label", "no_prediction", "no_relevant_item"):
        labels = {"model": MODEL, "version": version, "reason": reason}
        rate = reasons.count(reason) / WINDOWS[w]
        yield Expected(f"model_version_reason:mlcanary_ranking_unusable:rate{w}", rate, labels)


def test_recorded_series_equal_the_raw_events(tmp_path: Path) -> None:
    """Also "unusable labels of a ranking model", by reason."""
    records, usable, unusable = release()
    expected: list[Expected] = []
    for w, rows in windows_of(records).items():
        times = {v: [r.ts for r in rows if isinstance(r, Prediction) and r.key.version == v] for v in ("v1", "v2")}
        grades = {v: np.array([usable[ts] for ts in found if ts in usable]) for v, found in times.items()}
        for version, found in times.items():
            expected += of_version(grades[version], version, w)
            expected += of_reasons([unusable[ts] for ts in found if ts in unusable], version, w)
        expected += of_comparison(grades["v2"], grades["v1"], w)
    hold(tmp_path, scraped(PLAN, records, seed=1), expected)
    groups = [group for group in shipped_groups() if "ranking" in group["name"]]
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    assert {e.name for e in expected} == recorded
