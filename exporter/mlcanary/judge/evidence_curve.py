"""Evidence over judged time, in a bounded number of points: for the page, and for the time to a decision."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mlcanary.judge.contract import CurvePoint, FamilyAssessment, MeasureAssessment

CURVE_POINTS = 400
"""Points at most; then every second one is dropped, and only every second step is drawn from then on."""


class EvidenceCurve(msgspec.Struct):
    """`points` in the order of time, one in `stride` steps."""

    points: list[CurvePoint] = msgspec.field(default_factory=list)
    stride: int = 1

    def draw(
        self, step: int, at: float, families: Sequence[FamilyAssessment], measures: Sequence[MeasureAssessment]
    ) -> None:
        """Add what is known after a step, which is counted from 1 and ends `at`."""
        if step % self.stride:
            return
        against = [m.log_e_noninferior for m in measures if m.log_e_noninferior is not None]
        self.points.append(CurvePoint(at, {f.name: f.log_e for f in families}, min(against, default=None)))
        if len(self.points) >= CURVE_POINTS:
            del self.points[::2]
            self.stride *= 2
