"""Every measure, and which of them a task has, in the order of their families on the page."""

from __future__ import annotations

from mlcanary.catalog import Task
from mlcanary.measures.contract import Measure
from mlcanary.measures.estimated import EstimatedMeasure
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.label_age import LabelAgeMeasure
from mlcanary.measures.mature import MatureMeasure
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.provisional import ProvisionalMeasure
from mlcanary.measures.quality import QualityMeasure
from mlcanary.measures.score import ScoreMeasure
from mlcanary.measures.traffic import LatencyMeasure, TrafficMeasure

_BEFORE: tuple[type[Measure], ...] = (TrafficMeasure, LatencyMeasure)
_AFTER: tuple[type[Measure], ...] = (FeatureMeasure, OutcomeMeasure, LabelAgeMeasure)
_QUALITY: dict[Task, tuple[type[Measure], ...]] = {
    Task.BINARY: (QualityMeasure, ScoreMeasure, EstimatedMeasure, MatureMeasure, ProvisionalMeasure),
    Task.MULTICLASS: (QualityMeasure, ProvisionalMeasure),
    Task.REGRESSION: (),
    Task.RANKING: (),
}

MEASURES: tuple[type[Measure], ...] = tuple(
    dict.fromkeys((*_BEFORE, *(kind for kinds in _QUALITY.values() for kind in kinds), *_AFTER))
)


def measures_of(plan: ModelPlan) -> tuple[Measure, ...]:
    """Fresh measures of a model, as its task demands."""
    return tuple(kind(plan) for kind in (*_BEFORE, *_QUALITY[plan.task], *_AFTER))
