"""Joint drift: can a discriminator tell live rows from rows of the reference? Sees what no single feature shows.

Needs a sample of the reference (`mlcanary profile --sample.rows`); without one nothing is measured and nothing costs.
The model's score takes no part: its own drift is feature `prediction`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from mlcanary.catalog import JOINT_DRIFT
from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import Measure, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import SAMPLE_FEATURES, FeatureReference, NumericReference, Reference
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Floats, Tally
from mlcanary.stats.category_order import leading_order
from mlcanary.stats.discriminator import Halves
from mlcanary.stats.placements import Placements
from mlcanary.stats.prequential import Prequential
from mlcanary.stats.rank_scores import Bins, score_table, scores_of
from mlcanary.stats.thinning import Thinning

TOP = 10
"""Features whose shift is shown, the greatest first."""

_LEAST_ROWS = 4


@dataclass(frozen=True, eq=False)
class Frame:
    """What every version of a model shares: features, their score tables, and the halves of the sample."""

    reference: Reference
    names: tuple[str, ...]
    features: tuple[FeatureReference, ...]
    tables: tuple[Floats, ...]
    halves: Halves
    identity: str


class JointDriftMeasure(Measure):
    """Counters of placements; the discriminator is a sketch: it learns from all rows, not from those of a window."""

    budget = "joint_drift"
    stage = JOINT_DRIFT
    families = (
        "mlcanary_c2st_rows_total",
        "mlcanary_c2st_placement_total",
        "mlcanary_c2st_placement_squares_total",
        "mlcanary_c2st_reference_rows",
        "mlcanary_window_c2st_rows",
        "mlcanary_window_c2st_auc_ratio",
        "mlcanary_window_c2st_auc_critical_ratio",
        "mlcanary_window_c2st_shift_stddevs",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self._frame: Frame | None = None
        self._begin()

    def replan(self, plan: ModelPlan) -> None:
        """Counters go on; the discriminator begins anew where the sample is another one."""
        super().replan(plan)
        self._begin()

    def _begin(self) -> None:
        before, self._frame = self._frame, frame_of(self.plan.reference)
        if self._frame is None:
            self.sketches = {}
            return
        left_out = list(self._frame.reference.sample or ())[SAMPLE_FEATURES:]
        self._folded |= {("joint_features", name) for name in left_out}
        self.parts.setdefault("placements", Placements.empty())
        shifts = self.parts.setdefault("shifts", Tally())
        for name in self._frame.names:
            shifts.add((name,), 0.0)
        if before is None or before.identity != self._frame.identity:
            past = Prequential(self._frame.halves, self._frame.identity)
            self.sketches = {"past": past, "thinning": Thinning()}

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Score answered requests, then learn from them."""
        frame = self._frame
        if frame is None:
            return
        answered = [p for p in batch if p.error is None]
        rows = [answered[i].features for i in self.sketches["thinning"].choose([p.ts for p in answered])]
        if rows:
            self._take(frame, {name: [row.get(name) for row in rows] for name in frame.names})

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Score answered requests, then learn from them."""
        frame = self._frame
        if frame is None:
            return
        rows = np.array(self.sketches["thinning"].choose(batch.ts.tolist()), dtype=np.intp)
        if len(rows):
            self._take(frame, {name: batch.features.column(name, rows) for name in frame.names})

    def _take(self, frame: Frame, columns: Mapping[str, Sequence[object]]) -> None:
        features = zip(frame.names, frame.features, strict=True)
        bins = np.column_stack([feature.bin_numbers(columns[name]) for name, feature in features])
        tested = self.sketches["past"].take(*scores_of(bins.astype(np.int32), frame.tables))
        self.parts["placements"].update_many(tested.placements)
        for name, shift in zip(frame.names, tested.shifts.tolist(), strict=True):
            self.parts["shifts"].add((name,), shift)

    def facts(self, now: float) -> Iterator[Sample]:
        """Rows of the half that scores are compared with: they bound what the AUC can resolve."""
        if self._frame is not None:
            yield sample("c2st_reference_rows", (), float(self._frame.halves.rows))

    def counters(self) -> Iterator[Sample]:
        """Rows scored, and the sums of their placements."""
        placements: Placements | None = self.parts.get("placements")
        if placements is not None:
            yield sample("c2st_rows_total", (), placements.rows)
            yield sample("c2st_placement_total", (), placements.sum)
            yield sample("c2st_placement_squares_total", (), placements.squares)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """The AUC of the window with its critical value, and the features that shift the score most."""
        if self._frame is None:
            yield undefined("c2st_auc", "no_reference_sample")
            return
        placements: Placements = self.parts["placements"]
        auc, critical = placements.auc(), placements.critical(self._frame.halves.rows)
        if auc is None or critical is None:
            yield undefined("c2st_auc", "too_few_rows")
            return
        yield sample("window_c2st_rows", (), placements.rows)
        yield sample("window_c2st_auc_ratio", (), auc)
        yield sample("window_c2st_auc_critical_ratio", (), critical)
        shifts = sorted(self.parts["shifts"].items(), key=lambda item: (-abs(item[1]), item[0]))
        for name, shift in shifts[:TOP]:
            yield sample("window_c2st_shift_stddevs", name, shift / placements.rows)


_frames: WeakValueDictionary[int, Frame] = WeakValueDictionary()


def frame_of(reference: Reference | None) -> Frame | None:
    """The frame of a reference, made once for all versions; None without a sample of at least four rows."""
    if reference is None or reference.sample is None:
        return None
    # A frame keeps its reference, so an id cannot pass to another reference while the entry lives.
    frame = _frames.get(id(reference))
    if frame is None and (frame := _made(reference)) is not None:
        _frames[id(reference)] = frame
    return frame


def _made(reference: Reference) -> Frame | None:
    kept = dict(list((reference.sample or {}).items())[:SAMPLE_FEATURES])
    if not kept or len(next(iter(kept.values()))) < _LEAST_ROWS:
        return None
    features = [reference.features[name] for name in kept]
    bins = np.column_stack(list(kept.values())).astype(np.int32)
    tables = _tables(features, bins[::2])
    digest = hashlib.blake2b(bins.tobytes(), digest_size=8)
    for name, table in zip(kept, tables, strict=True):
        digest.update(name.encode() + b"\0" + table.tobytes())
    halves = Halves(*scores_of(bins, tables))
    return Frame(reference, tuple(kept), tuple(features), tables, halves, digest.hexdigest())


def _tables(features: Sequence[FeatureReference], half_a: Bins) -> tuple[Floats, ...]:
    """Score tables; categories in the order that half A gives them: half B must not take part in what scores it."""
    tables = [score_table(feature.counts) for feature in features]
    scores, _ = scores_of(half_a, tables)
    for i, feature in enumerate(features):
        if not isinstance(feature, NumericReference):
            order = leading_order(half_a[:, i], np.delete(scores, i, axis=1), len(feature.counts))
            tables[i] = score_table(feature.counts, order)
    return tuple(tables)
