"""Estimates without labels of seven restarting sidecars, from the raw scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from expected_figures import promises
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record
from replicated_release import END, START, WARM_UP, WINDOWS, Expected, hold, scraped

PLAN = MonitorPlan(models={"churn": ModelPlan()}, windows=())
E = "model_version:mlcanary_estimated:"
NAMES = {"f1": "f1_"}
KEY, COUNT = ModelKey("churn", "v2"), 2500
Floats = NDArray[np.float64]


def lines(time: Floats, score: Floats, label: Floats, answered: Floats) -> Iterator[Record]:
    """Requests, each eighth failed; labels for two in three, at the same second."""
    for i, at in enumerate((START + time).tolist()):
        if not answered[i]:
            yield Prediction(KEY, at, f"r{i}", error="503")
            continue
        yield Prediction(KEY, at, f"r{i}", predicted=str(int(score[i] >= 0.4)), score=float(score[i]))
        if i % 3:
            yield Label(f"r{i}", at, "churn", str(int(label[i])))


def test_recorded_estimates_equal_the_raw_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(31)
    time = np.sort(rng.uniform(-WARM_UP, END, COUNT))
    # Few bins, so that counts are large enough to show every restart; several scores in each of them.
    centre = rng.choice(np.linspace(-2.24, 1.28, 8), COUNT, p=np.arange(9, 1, -1) / 44)
    score = 1 / (1 + np.exp(-centre - rng.uniform(-0.07, 0.07, COUNT)))
    label = (rng.random(COUNT) < score**1.3).astype(float)
    answered = (rng.random(COUNT) < 0.875).astype(float)
    expected: list[Expected] = []
    labels = {"model": "churn", "version": "v2"}
    for window, seconds in WINDOWS.items():
        used = (time > END - seconds) & (answered > 0)
        p, chosen = score[used], score[used] >= 0.4
        bins = np.searchsorted(PLAN.models["churn"].score_edges, p, side="left")
        for name, (value, error) in promises(p, chosen, bins).items():
            expected.append(Expected(f"{E}{NAMES.get(name, name)}{window}", value, labels))
            expected.append(Expected(f"{E}{name}_error{window}", error, labels))
        checked = used & (np.arange(COUNT) % 3 > 0)
        p, chosen = score[checked], score[checked] >= 0.4
        gap = np.where(chosen, p, 1 - p).mean() - accuracy_score(label[checked], chosen)
        noise = np.sqrt((p * (1 - p)).sum()) / p.size
        expected.append(Expected(f"{E}minus_actual{window}", gap, labels))
        expected.append(Expected(f"{E}minus_actual_stderr{window}", noise, labels))
        expected.append(Expected(f"{E}minus_actual_zscore{window}", gap / noise, labels))
    # Bins without scores, and what the estimates do not read, are left out: promtool is slow.
    series = scraped(PLAN, list(lines(time, score, label, answered)), seed=2)
    read = {n: v for n, v in series.items() if (any(v) or "score_below" in n) and "labeled_score" not in n}
    hold(tmp_path, read, expected)
    assert len(expected) == 2 * (12 + 3)
