"""Alerts that fire in Prometheus, in case their webhook is lost."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK
from mlcanary.handler.evidence.prometheus import Prometheus, Sample, selector
from mlcanary.handler.intake.payload import SAFE, Alert, Measure, Window
from mlcanary.handler.settings import TargetPlan

GROUP_KEY = "prometheus"
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires now. `since`: when it began, Unix seconds, 0 if Prometheus does not tell."""

    alert: Alert
    since: float


async def firing(prometheus: Prometheus, plan: TargetPlan) -> list[Firing]:
    """Every alert that asks for a rollback of a version of the target. Raises EvidenceError."""
    asked = ((ACTION_LABEL, ACTION_ROLLBACK), ("model", plan.model), *plan.labels)
    answers = await prometheus.query_all(
        {
            "alerts": selector("ALERTS", (("alertstate", "firing"), *asked)),
            "began": selector("ALERTS_FOR_STATE", asked),
        }
    )
    began = {_labels(sample): sample.value for sample in answers["began"] if math.isfinite(sample.value)}
    found = [_firing(sample, began.get(_labels(sample), 0.0)) for sample in answers["alerts"]]
    return [one for one in found if one is not None and one.alert.version in plan.versions]


def _labels(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in sample.labels if name not in ("__name__", "alertstate"))


def _firing(sample: Sample, since: float) -> Firing | None:
    """The alert of a series, None if the webhook would ignore it too."""
    name, model, version = (sample.label(label) for label in ("alertname", "model", "version"))
    try:
        measure, window = Measure(sample.label("measure")), Window(sample.label("window"))
    except ValueError:
        return None
    safe = all(SAFE.fullmatch(text) for text in (name, model, version))
    if not safe or (measure is Measure.VERDICT) is not (window is Window.JUDGE):
        return None
    text = "/".join((name, version, measure, window))
    alert = Alert(
        group_key=GROUP_KEY,
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:_SHOWN],
        starts_at=f"{since:g}" if since == 0 else f"{since:.3f}",
        firing=True,
        name=name,
        model=model,
        version=version,
        measure=measure,
        window=window,
        labels=tuple((k, v) for k, v in _labels(sample) if SAFE.fullmatch(k) and SAFE.fullmatch(v)),
    )
    return Firing(alert, since)
