"""Raw counters from Prometheus for the verification."""

from __future__ import annotations

from collections.abc import Sequence

from mlcanary.handler.prometheus import Prometheus, Sample, any_of, selector
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.verification import Reading, SeriesKey

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
            "up": f"min(mlcanary_up and on (job, instance) group by (job, instance) ({info}))",
            "newest": f"max({newest})",
            "failures": selector("mlcanary_prediction_errors_total", of_model),
            "labeled": selector("mlcanary_labeled_predictions_total", of_model),
            "losses": any_of(tuple(_LOSS_PARTS), of_model),
        }
    )
    ages = [sample.value for sample in answers["age"]]
    newest_bad = [sample.value for sample in answers["newest"]]
    return Reading(
        at=now,
        usable=[s.value for s in answers["up"]] == [1.0] and bool(ages) and ages[0] <= plan.verification.window,
        predictions=_keyed(answers["predictions"]),
        failures=_keyed(answers["failures"]),
        labeled=_keyed(answers["labeled"]),
        losses=_keyed(answers["losses"]),
        last_bad=newest_bad[0] if newest_bad else None,
    )


def _keyed(samples: Sequence[Sample]) -> dict[SeriesKey, float]:
    keyed: dict[SeriesKey, float] = {}
    for sample in samples:
        labels = dict(sample.labels)
        part = _LOSS_PARTS.get(labels.get("__name__", ""))
        if part is not None:
            labels["part"] = part
        keyed[labels.get("version", ""), tuple(sorted(labels.items()))] = sample.value
    return keyed
