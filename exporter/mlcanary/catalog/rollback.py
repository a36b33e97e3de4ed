"""The rollback handler: what it heard, decided, did and proved."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, Kind, MetricSpec, handler

ROWS: tuple[MetricSpec, ...] = (
    handler("handler_build_info", ("version", "revision", "pythonversion"), "Build of the handler.", Kind.GAUGE),
    handler("webhook_requests_total", ("code",), "Webhook calls by HTTP status."),
    handler("webhook_last_received_timestamp_seconds", (), "When a webhook call was last accepted.", Kind.GAUGE),
    handler("watchdog_last_received_timestamp_seconds", (), "When MLCanaryWatchdog last came in.", Kind.GAUGE),
    handler(
        "decisions_total",
        ("target", "decision", "reason"),
        "Decisions on incidents: act, suppress or attach, with the reason.",
    ),
    handler("effects_total", ("target", "result"), "Changes dispatched to a target, by result."),
    handler(
        "rollbacks_total",
        ("target", "model", "outcome"),
        "Incidents that ended: resolved (proven by traffic), ineffective, stuck, failed, dry_run.",
    ),
    handler("rollback_last_timestamp_seconds", ("target",), "When the last effect was applied.", Kind.GAUGE),
    handler(
        "rollback_duration_seconds",
        ("target", "stage"),
        "Last incident: seconds from webhook to decision, effect and verified.",
        Kind.GAUGE,
    ),
    handler("incident_open", ("target", "state"), "Open incidents by state.", Kind.GAUGE),
    handler("frozen", ("target",), "1 while automatic action is frozen.", Kind.GAUGE),
    handler("target_up", ("target",), "1 if the last observation of the target succeeded.", Kind.GAUGE),
    handler(
        "target_share_ratio", ("target", "model", "version"), "Configured share of traffic as observed.", Kind.GAUGE
    ),
)

INDICATORS: tuple[Indicator, ...] = ()
