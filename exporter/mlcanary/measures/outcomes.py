"""Label joins, duplicates and business events: what happened after the prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlcanary.catalog import JOIN_RESULTS, NEGATIVE, POSITIVE
from mlcanary.measures.contract import Measure, Outcome, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Tally


class OutcomeMeasure(Measure):
    """Counts what the join machine reports; the monitor calls the `count_*` methods."""

    families = (
        "mlcanary_label_joins_total",
        "mlcanary_duplicate_predictions_total",
        "mlcanary_business_events_total",
        "mlcanary_business_value_total",
        "mlcanary_business_value_squares_total",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "joins": Tally({(result,): 0.0 for result in JOIN_RESULTS}),
            "duplicates": Tally({("predictions",): 0.0}),
            "events": Tally(),
            "value": Tally(),
            "squares": Tally(),
        }

    def count_join(self, result: str) -> None:
        """One outcome of catalog.JOIN_RESULTS."""
        self.parts["joins"].add((result,))

    def count_duplicate(self) -> None:
        """One prediction line whose id was seen before."""
        self.parts["duplicates"].add(("predictions",))

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Count business events; gains and losses are two counters, both rising."""
        for outcome in batch:
            key = self.capped("events", outcome.event, "events")
            self.parts["events"].add(key)
            value = outcome.value
            if value is not None:
                for sign in (POSITIVE, NEGATIVE):
                    self.parts["value"].add((*key, sign), max(0.0, value if sign == POSITIVE else -value))
                self.parts["squares"].add(key, value * value)

    def counters(self) -> Iterator[Sample]:
        """All of it, as counters."""
        yield sample("duplicate_predictions_total", (), self.parts["duplicates"].total())
        for part, family in (
            ("joins", "label_joins_total"),
            ("events", "business_events_total"),
            ("value", "business_value_total"),
            ("squares", "business_value_squares_total"),
        ):
            for name, count in self.parts[part].items():
                yield sample(family, name, count)
