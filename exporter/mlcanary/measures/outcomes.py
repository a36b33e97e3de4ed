"""Label joins and duplicates: what happened after the prediction."""

from __future__ import annotations

from collections.abc import Iterator

from mlcanary.catalog import JOIN_RESULTS
from mlcanary.measures.contract import Measure, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Tally


class OutcomeMeasure(Measure):
    """Counts what the join machine reports; the monitor calls the `count_*` methods."""

    families = (
        "mlcanary_label_joins_total",
        "mlcanary_duplicate_predictions_total",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "joins": Tally({(result,): 0.0 for result in JOIN_RESULTS}),
            "duplicates": Tally({("predictions",): 0.0}),
        }

    def count_join(self, result: str, count: int = 1) -> None:
        """Outcomes of catalog.JOIN_RESULTS."""
        self.parts["joins"].add((result,), float(count))

    def count_duplicate(self, count: int = 1) -> None:
        """Prediction lines whose id was seen before."""
        self.parts["duplicates"].add(("predictions",), float(count))

    def counters(self) -> Iterator[Sample]:
        """All of it, as counters."""
        yield sample("duplicate_predictions_total", (), self.parts["duplicates"].total())
        for name, count in self.parts["joins"].items():
            yield sample("label_joins_total", name, count)
