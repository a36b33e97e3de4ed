"""Every measure, and which of them a task has, in the order of their families on the page."""

from __future__ import annotations

from mlcanary.catalog import Task
from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.contract import Measure
from mlcanary.measures.estimated import EstimatedMeasure
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.joint_drift import JointDriftMeasure
from mlcanary.measures.label_age import LabelAgeMeasure
from mlcanary.measures.losses import LossMeasure
from mlcanary.measures.mature import MatureMeasure
from mlcanary.measures.mature_users import MatureUserMeasure
from mlcanary.measures.multiclass import MulticlassMeasure
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.provisional import ProvisionalMeasure
from mlcanary.measures.quality import QualityMeasure
from mlcanary.measures.ranking import RankingMeasure
from mlcanary.measures.regression import RegressionMeasure
from mlcanary.measures.sampling import SamplingMeasure
from mlcanary.measures.score import ScoreMeasure
from mlcanary.measures.segments import SegmentMeasure
from mlcanary.measures.traffic import LatencyMeasure, QueueMeasure, TrafficMeasure
from mlcanary.measures.user_buckets import UserBucketMeasure
from mlcanary.measures.users import UserMeasure

_BEFORE: tuple[type[Measure], ...] = (TrafficMeasure, LatencyMeasure, QueueMeasure)
_AFTER: tuple[type[Measure], ...] = (
    SamplingMeasure,
    FeatureMeasure,
    JointDriftMeasure,
    OutcomeMeasure,
    LabelAgeMeasure,
    BusinessMeasure,
    UserBucketMeasure,
    MatureUserMeasure,
    UserMeasure,
    SegmentMeasure,
)
_QUALITY: dict[Task, tuple[type[Measure], ...]] = {
    Task.BINARY: (QualityMeasure, ScoreMeasure, LossMeasure, EstimatedMeasure, MatureMeasure, ProvisionalMeasure),
    Task.MULTICLASS: (QualityMeasure, MulticlassMeasure, LossMeasure, ProvisionalMeasure),
    Task.REGRESSION: (RegressionMeasure,),
    Task.RANKING: (RankingMeasure,),
}

MEASURES: tuple[type[Measure], ...] = tuple(
    dict.fromkeys((*_BEFORE, *(kind for kinds in _QUALITY.values() for kind in kinds), *_AFTER))
)


def measures_of(plan: ModelPlan) -> tuple[Measure, ...]:
    """Fresh measures of a model, as its task demands."""
    return tuple(kind(plan) for kind in (*_BEFORE, *_QUALITY[plan.task], *_AFTER))
