"""Panels about the rollback handler: incidents, their proofs, releases, and what waits for a person."""

from __future__ import annotations

from panels import (
    MODEL,
    PLACE,
    VERSION,
    Json,
    grown,
    lines,
    query,
    section,
)


def rollbacks() -> list[Json]:
    """The handler."""

    return section(
        "Rollback handler",
        "No handler in reach has said anything of the kind.",
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
            "Evidence and target readable, action frozen",
            "1 while Prometheus answers the handler, while it can read its target, while automatic action is frozen.",
            "none",
            query(f"min by (instance) (mlcanary_evidence_up{{{PLACE}}})", "{{instance}} gets answers"),
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
    )


def steps_up() -> list[Json]:
    """Releases that go up in steps, and orders of people."""

    return section(
        "Releases and people",
        "No release goes up in steps, and nobody gave an order, in this time range.",
        lines(
            "Where releases stand",
            "1 for the state of the open release of each target.",
            "none",
            query(f"max by (target, state) (mlcanary_release_state{{{PLACE}}}) > 0", "{{target}} {{state}}"),
            min=0,
            max=1,
            lineInterpolation="stepAfter",
        ),
        lines(
            "Share of the step",
            "Share of traffic that the step of the release gives the candidate.",
            "percentunit",
            query(f"max by (target) (mlcanary_release_share_ratio{{{PLACE}}})", "{{target}}"),
            min=0,
            max=1,
            lineInterpolation="stepAfter",
        ),
        lines(
            "Time in the state",
            "How long the release has been where it stands. Dashed: from here on a hold is told to a person.",
            "s",
            query(f"time() - max by (target) (mlcanary_release_state_timestamp_seconds{{{PLACE}}})", "{{target}}"),
            query(f"max by (target) (mlcanary_release_hold_deadline_seconds{{{PLACE}}})", "limit {{target}}"),
            min=0,
        ),
        lines(
            "Releases and orders",
            "Releases that ended, by outcome; orders of people, by kind and result.",
            "short",
            query(grown("mlcanary_releases_total", "target, outcome"), "{{target}} release: {{outcome}}"),
            query(grown("mlcanary_orders_total", "target, order, result"), "{{target}} {{order}}: {{result}}"),
            min=0,
        ),
        lines(
            "Missing capacity",
            "Part of the wanted shift that the destination has no capacity for.",
            "percentunit",
            query(f"max by (target) (mlcanary_capacity_missing_ratio{{{PLACE}}})", "{{target}}"),
            min=0,
            max=1,
        ),
        lines(
            "Messages and lost webhooks",
            "Messages to people that wait; alerts in Prometheus that had not come in by webhook.",
            "short",
            query(f"max by (instance) (mlcanary_notices_waiting{{{PLACE}}})", "{{instance}} waiting"),
            query(grown("mlcanary_missed_webhooks_total", "target"), "{{target}} webhook lost"),
            min=0,
        ),
    )
