"""Every measure of a binary classifier, in the order of their families on the page."""

from __future__ import annotations

from mlcanary.measures.contract import Measure
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.quality import QualityMeasure
from mlcanary.measures.score import ScoreMeasure
from mlcanary.measures.traffic import LatencyMeasure, TrafficMeasure

MEASURES: tuple[type[Measure], ...] = (
    TrafficMeasure,
    LatencyMeasure,
    QualityMeasure,
    ScoreMeasure,
    FeatureMeasure,
    OutcomeMeasure,
)
