"""Sums of fractions are counters too: not one may fall by a rounding error, which Prometheus would read as a reset."""

from __future__ import annotations

import numpy as np

from mlcanary.measures.estimated import EstimatedMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, Prediction


def test_no_counter_of_expected_values_ever_falls() -> None:
    rng = np.random.default_rng(1)
    scores = np.where(rng.random(3000) < 0.3, 1.0, rng.beta(0.5, 0.5, 3000)).tolist()
    measure = EstimatedMeasure(ModelPlan())
    before: dict[tuple[str, ...], float] = {}
    for i, score in enumerate(scores):
        measure.on_predictions([Prediction(ModelKey("m", "v"), 0.0, predicted=str(int(i % 7 < 4)), score=score)])
        now = {(s.name, s.suffix, *s.labels): s.value for s in measure.counters()}
        assert [key for key, value in now.items() if value < before.get(key, 0.0)] == []
        before = now
