"""Panels about mlcanary itself: the rollback handler and the exporters."""

from __future__ import annotations

from panels import MODEL, PLACE, VERSION, Json, lines, query, row


def rollbacks() -> list[Json]:
    """The handler."""

    def grown(metric: str, by: str, labels: str = PLACE) -> str:
        return f"sum by ({by}) (increase({metric}{{{labels}}}[$__rate_interval])) > 0"

    return [
        row("Rollback handler"),
        lines(
            "Configured share",
            "Share of traffic that the target is configured for, as the handler reads it back.",
            "percentunit",
            query(f"max by (target, version) (mlcanary_target_share_ratio{{{VERSION}}})", "{{target}} {{version}}"),
            min=0,
            max=1,
        ),
        lines(
            "Incidents",
            "Open incidents by state; rollbacks as they end, by outcome.",
            "short",
            query(f"sum by (target, state) (mlcanary_incident_open{{{PLACE}}})", "{{target}} {{state}}"),
            query(grown("mlcanary_rollbacks_total", "target, outcome", MODEL), "{{target}} ended: {{outcome}}"),
            min=0,
        ),
        lines(
            "Decisions and effects",
            "What the handler decided on incidents and why, what it changed, and the webhook calls it answered.",
            "short",
            query(grown("mlcanary_decisions_total", "decision, reason"), "{{decision}}: {{reason}}"),
            query(grown("mlcanary_effects_total", "target, result"), "{{target}} changed: {{result}}"),
            query(grown("mlcanary_webhook_requests_total", "code"), "webhook {{code}}"),
            min=0,
        ),
        lines(
            "Duration of the last rollback",
            "Seconds from the webhook to decision, effect and proof.",
            "s",
            query(f"max by (target, stage) (mlcanary_rollback_duration_seconds{{{PLACE}}})", "{{target}} {{stage}}"),
            min=0,
        ),
        lines(
            "Target readable, action frozen",
            "1 while the handler can read its target; 1 while automatic action is frozen.",
            "none",
            query(f"min by (target) (mlcanary_target_up{{{PLACE}}})", "{{target}} readable"),
            query(f"max by (target) (mlcanary_frozen{{{PLACE}}})", "{{target}} frozen"),
            min=0,
            max=1,
            drawStyle="line",
            lineInterpolation="stepAfter",
        ),
        lines(
            "Since the last effect",
            "Time since the handler last changed a target.",
            "s",
            query(f"time() - max by (target) (mlcanary_rollback_last_timestamp_seconds{{{PLACE}}})", "{{target}}"),
            min=0,
        ),
    ]


def exporters() -> list[Json]:
    """Is the measurement itself sound?"""

    def rate(metric: str, by: str) -> str:
        return f"sum by ({by}) (rate({metric}{{{PLACE}}}[$__rate_interval]))"

    return [
        row("Exporters"),
        lines(
            "Readable sources",
            "1 while the exporter can read the log.",
            "none",
            query(f"min by (instance, source) (mlcanary_up{{{PLACE}}})", "{{instance}} {{source}}"),
            min=0,
            max=1,
            lineInterpolation="stepAfter",
            width=6,
        ),
        lines(
            "Lines",
            "Lines read per second.",
            "ops",
            query(rate("mlcanary_log_lines_total", "instance"), "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Rejected, duplicate and lost",
            "Rejected lines, predictions seen twice, ends of rotated logs that were lost, names above a limit.",
            "ops",
            query(rate("mlcanary_log_parse_errors_total", "reason") + " > 0", "rejected: {{reason}}"),
            query(f"sum(rate(mlcanary_duplicate_predictions_total{{{MODEL}}}[$__rate_interval]))", "duplicate"),
            query(rate("mlcanary_log_lost_total", "reason") + " > 0", "lost: {{reason}}"),
            query(rate("mlcanary_series_limited_total", "reason") + " > 0", "limited: {{reason}}"),
            min=0,
            width=6,
        ),
        lines(
            "Unread",
            "Bytes written to the log and not read yet.",
            "bytes",
            query(f"sum by (instance) (mlcanary_log_lag_bytes{{{PLACE}}})", "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Series",
            "Series of the last page, by exporter.",
            "short",
            query(f"max by (instance) (mlcanary_series{{{PLACE}}})", "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Time to make a page",
            "Time to evaluate the windows and write the last page.",
            "s",
            query(f"max by (instance) (mlcanary_render_duration_seconds{{{PLACE}}})", "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Age of the checkpoint",
            "Time since the exporter last saved where it is; no line where it was given no place to.",
            "s",
            query(f"time() - max by (instance) (mlcanary_checkpoint_timestamp_seconds{{{PLACE}}})", "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Configuration in force",
            "1 if the last load of the configuration succeeded.",
            "none",
            query(f"min by (instance) (mlcanary_config_last_reload_successful{{{PLACE}}})", "{{instance}}"),
            min=0,
            max=1,
            lineInterpolation="stepAfter",
            width=6,
        ),
    ]
