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
    handler(
        "promotions_frozen", ("target",), "1 while steps up and promotions are frozen, by either level.", Kind.GAUGE
    ),
    handler("missed_webhooks_total", ("target",), "Alerts that fired in Prometheus and had not come in by webhook."),
    handler(
        "capacity_missing_ratio",
        ("target",),
        "Part of the wanted shift that the destination has no capacity for, 0 if it fits.",
        Kind.GAUGE,
    ),
    handler("orders_total", ("target", "order", "result"), "Orders of people by kind and result: done, refused."),
    handler("release_state", ("target", "model", "state"), "1 for where the open release stands.", Kind.GAUGE),
    handler("release_state_timestamp_seconds", ("target", "model"), "When the release entered that state.", Kind.GAUGE),
    handler(
        "release_share_ratio", ("target", "model"), "Share of traffic that the step gives the candidate.", Kind.GAUGE
    ),
    handler(
        "release_hold_deadline_seconds", ("target",), "How long a hold may last before a person is told.", Kind.GAUGE
    ),
    handler(
        "releases_total",
        ("target", "model", "outcome"),
        "Releases that ended: proven, rolled_back, ineffective, stuck, withdrawn.",
    ),
    handler("quarantined_versions", ("model",), "Artefacts that may get no traffic.", Kind.GAUGE),
    handler("notices_total", ("receiver", "result"), "Messages to people by result: sent, failed, dropped."),
    handler("notices_waiting", (), "Messages that wait to be sent.", Kind.GAUGE),
    handler("evidence_up", (), "1 if Prometheus answered the handler's last question, else 0.", Kind.GAUGE),
    handler("target_up", ("target",), "1 if the last observation of the target succeeded.", Kind.GAUGE),
    handler(
        "target_share_ratio", ("target", "model", "version"), "Configured share of traffic as observed.", Kind.GAUGE
    ),
)

INDICATORS: tuple[Indicator, ...] = ()
