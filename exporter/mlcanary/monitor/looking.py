"""Which rows have their features looked at: what the plans say, and what load shedding leaves of it.

Guarantee: the same id is chosen whether it comes as a record or in columns (`stats.row_choice`). Columns whose decoder
has chosen already stay as they are. Rows without an id are chosen by their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from mlcanary.catalog import FEATURES, JOINT_DRIFT
from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.panel import Panel
from mlcanary.records import Prediction, Sample
from mlcanary.stats.row_choice import chosen_rows


class Looking:
    """`share`: of rows, beside that of a plan; `joint`: whether joint drift takes rows."""

    def __init__(self) -> None:
        self.share, self.joint = 1.0, True

    @property
    def resting(self) -> frozenset[str]:
        """Stages that take no rows now."""
        return frozenset() if self.joint else frozenset({JOINT_DRIFT})

    def share_of(self, plan: ModelPlan) -> float:
        """Share of the rows of a model whose features are looked at now."""
        return self.share * plan.feature_share

    def samples(self, model: str, plan: ModelPlan) -> Iterator[Sample]:
        """Share of the rows of a model that each stage takes now."""
        share = self.share_of(plan)
        yield sample("sampling_ratio", (model, FEATURES), share)
        yield sample("sampling_ratio", (model, JOINT_DRIFT), share if self.joint else 0.0)

    def records(self, batch: Sequence[Prediction], panel: Panel) -> Sequence[Prediction]:
        """Mark those requests of a version that are not looked at."""
        share = self.share_of(panel.plan)
        if share >= 1.0:
            return batch
        chosen = chosen_rows([p.id for p in batch], np.full(len(batch), share), panel.unnamed).tolist()
        return [p if yes else msgspec.structs.replace(p, sampled=False) for p, yes in zip(batch, chosen, strict=True)]

    def columns(self, batch: PredictionColumns, panel: Panel) -> PredictionColumns:
        """Mark those requests of a version that are not looked at, unless their decoder has."""
        share = self.share_of(panel.plan)
        if share >= 1.0 or batch.sampled is not None:
            return batch
        return replace(batch, sampled=chosen_rows(batch.ids, np.full(len(batch), share), panel.unnamed))
