"""How much traffic there is, and how many servers of each version are up to take it."""

from __future__ import annotations

import math

from mlcanary.handler.core.staging import Room
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus, selector
from mlcanary.handler.settings import TargetPlan


def load(plan: TargetPlan) -> str:
    """Query template: requests per second by version, over the window in which a version counts as serving."""
    window = f"{max(1, int(plan.evidence.serving_window * 1000))}ms"
    predictions = selector("mlcanary_predictions_total", (("model", plan.model), *plan.labels))
    return f"sum by (version) (rate({predictions}[{window}]))"


def servers(plan: TargetPlan) -> str:
    """Query template: sidecars that are up, by version. Each stands beside one server."""
    info = selector("mlcanary_model_info", (("model", plan.model), *plan.labels))
    beside = f"group by (version, job, instance) ({info})"
    return f"sum by (version) ({beside} * on (job, instance) group_left () min by (job, instance) (mlcanary_up))"


async def read(prometheus: Prometheus, plan: TargetPlan) -> Room | None:
    """What the versions carry and can take, None if the target says nothing of capacity. Raises EvidenceError."""
    limit = plan.capacity.requests_per_second
    if limit is None:
        return None
    answers = await prometheus.query_all({"load": load(plan), "servers": servers(plan)})
    if not answers["load"] or any(math.isnan(sample.value) for sample in answers["load"]):
        raise EvidenceError("capacity: Prometheus tells of no traffic", hint="check labels of the target")
    return Room(
        load=sum(sample.value for sample in answers["load"]),
        servers=tuple(sorted((s.label("version"), int(s.value)) for s in answers["servers"])),
        requests_per_second=limit,
        headroom=plan.capacity.headroom,
    )
