"""Label joins, label delay and duplicates: what happened after the prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlcanary.catalog import JOIN_RESULTS, LABEL_DELAY_BUCKETS
from mlcanary.measures.contract import Labeled, Measure, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.traffic import histogram_samples
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.bucket_histogram import BucketHistogram


class OutcomeMeasure(Measure):
    """Counts what the join machine reports; the monitor calls the `count_*` methods."""

    families = (
        "mlcanary_label_joins_total",
        "mlcanary_label_delay_seconds",
        "mlcanary_duplicate_predictions_total",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "joins": Tally({(result,): 0.0 for result in JOIN_RESULTS}),
            "delay": BucketHistogram.empty(LABEL_DELAY_BUCKETS),
            "duplicates": Tally({("predictions",): 0.0}),
        }

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Observe the delays; a label cannot come before its prediction, whatever the clocks say."""
        if batch:
            self.parts["delay"].update_many([max(0.0, x.delay) for x in batch])

    def count_join(self, result: str) -> None:
        """One outcome of catalog.JOIN_RESULTS."""
        self.parts["joins"].add((result,))

    def count_duplicate(self) -> None:
        """One prediction line whose id was seen before."""
        self.parts["duplicates"].add(("predictions",))

    def counters(self) -> Iterator[Sample]:
        """All of it, as counters."""
        yield sample("duplicate_predictions_total", (), self.parts["duplicates"].total())
        for name, count in self.parts["joins"].items():
            yield sample("label_joins_total", name, count)
        yield from histogram_samples("label_delay_seconds", self.parts["delay"])
