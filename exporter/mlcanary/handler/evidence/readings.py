"""Raw counters from Prometheus for the verification."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlcanary.handler.core.verification import Reading, SeriesKey
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus, Sample, any_of, only_value, selector
from mlcanary.handler.evidence.sources import sources_up
from mlcanary.handler.settings import TargetPlan

_LOSS_PARTS = {
    "mlcanary_log_loss_sum": "sum",
    "mlcanary_log_loss_count": "count",
    "mlcanary_log_loss_squares_total": "squares",
}


async def read(prometheus: Prometheus, plan: TargetPlan, bad: str, now: float) -> Reading:
    """The counters of a model, now. Raises EvidenceError."""
    of_model = (("model", plan.model), *plan.labels)
    predictions = selector("mlcanary_predictions_total", of_model)
    info = selector("mlcanary_model_info", of_model)
    newest = selector("mlcanary_last_prediction_timestamp_seconds", (*of_model, ("version", bad)))
    answers = await prometheus.query_all(
        {
            "predictions": predictions,
            "age": f"max(time() - timestamp({predictions}))",
            "up": sources_up(info),
            "newest": f"max({newest})",
            "failures": selector("mlcanary_prediction_errors_total", of_model),
            "labeled": selector("mlcanary_labeled_predictions_total", of_model),
            "losses": any_of(tuple(_LOSS_PARTS), of_model),
        }
    )
    if any(math.isnan(sample.value) for sample in answers["predictions"]):
        raise EvidenceError("Prometheus: a count of predictions is NaN")
    age = only_value(answers["age"], "age")
    return Reading(
        at=now,
        sampled=now - age if age is not None else 0.0,
        up=only_value(answers["up"], "mlcanary_up") == 1.0,
        fresh=age is not None and age <= plan.evidence.max_age,
        predictions=_keyed(answers["predictions"]),
        failures=_keyed(_complete(answers["failures"])),
        labeled=_keyed(_complete(answers["labeled"])),
        losses=_keyed(_complete(answers["losses"])),
        last_bad=only_value(answers["newest"], "newest prediction"),
    )


def _complete(samples: Sequence[Sample]) -> list[Sample]:
    """Without versions that have a NaN: the rest of their figures would pass for all of them."""
    broken = {sample.label("version") for sample in samples if math.isnan(sample.value)}
    return [sample for sample in samples if sample.label("version") not in broken]


def _keyed(samples: Sequence[Sample]) -> dict[SeriesKey, float]:
    keyed: dict[SeriesKey, float] = {}
    for sample in samples:
        labels = dict(sample.labels)
        part = _LOSS_PARTS.get(labels.get("__name__", ""))
        if part is not None:
            labels["part"] = part
        keyed[labels.get("version", ""), tuple(sorted(labels.items()))] = sample.value
    return keyed
