"""Scenarios of the alerts about the handler, its targets and the way of an alert."""

from __future__ import annotations

from alert_worlds import (
    CRITICAL,
    EXPORTER,
    HANDLER,
    HEALTHY,
    MINUTES,
    MODEL,
    WARNING,
    Course,
    Scenario,
    Series,
    counter,
    fires,
    gauge,
    silent,
)
from promtool_cases import Labels, series_name


def of_the_handler() -> list[Scenario]:
    """Alerts about the handler, its targets and the way of an alert."""
    target = {**HANDLER, "target": "router"}
    outage: Course = ((0, 1.0), (30, 0.0), (60, 1.0))
    ended = {**target, "model": MODEL}
    second = {**HANDLER, "instance": "second:10879"}
    open_incident = {**target, "state": "verifying"}
    return [
        fires(
            "MLCanaryHandlerDown",
            "the handler does not answer, so none of its series are there: told once, by its name",
            HEALTHY
            | gauge("up", HANDLER, *outage)
            | gauge("mlcanary_handler_build_info", {**HANDLER, "version": "1"}, (0, 1.0), (30, None), (60, 1.0)),
            (40, ({**HANDLER, **CRITICAL},)),
            resolved=61,
        ),
        *_of_a_handler_that_is_gone(),
        fires(
            "MLCanaryAlertsNotDelivered",
            "the watchdog does not come for half an hour",
            HEALTHY
            | {
                series_name("mlcanary_watchdog_last_received_timestamp_seconds", HANDLER): [
                    60.0 * (30 if 30 < m < 60 else m) for m in range(MINUTES)
                ]
            },
            (55, ({**HANDLER, **CRITICAL},)),
            resolved=62,
        ),
        Scenario(
            "MLCanaryAlertsNotDelivered",
            "the watchdog has never come",
            gauge("mlcanary_handler_build_info", HANDLER, (0, 1.0)),
            ((20, ({**HANDLER, **CRITICAL},)),),
            (1,),
        ),
        silent("MLCanaryAlertsNotDelivered", "the watchdog comes every minute", HEALTHY),
        fires(
            "MLCanaryAlertsNotDelivered",
            "a handler restarts while the watchdog no longer comes to it, but to a second one",
            HEALTHY
            | gauge("mlcanary_handler_build_info", {**HANDLER, "instance": "second:10879", "version": "1"}, (0, 1.0))
            | {
                series_name("mlcanary_watchdog_last_received_timestamp_seconds", HANDLER): [
                    60.0 * m if m < 30 or m > 60 else None for m in range(MINUTES)
                ],
                series_name("mlcanary_watchdog_last_received_timestamp_seconds", second): [
                    60.0 * m for m in range(MINUTES)
                ],
            },
            (42, ({**HANDLER, **CRITICAL},)),
            resolved=63,
        ),
        *_of_a_gauge_that_fails(
            "MLCanaryHandlerBlind",
            ("mlcanary_evidence_up", HANDLER),
            "its Prometheus is out of reach",
            "one question got no answer",
        ),
        *_of_a_gauge_that_fails(
            "MLCanaryTargetDown",
            ("mlcanary_target_up", target),
            "the router's socket is away",
            "one observation failed",
        ),
        fires(
            "MLCanaryRollbackFailed",
            "a rollback fails",
            HEALTHY
            | counter("mlcanary_rollbacks_total", {**ended, "outcome": "failed"}, (0, 0.0), (30, 1.0), (31, 0.0)),
            (35, ({**ended, "outcome": "failed", **CRITICAL},)),
            resolved=55,
        ),
        fires(
            "MLCanaryRollbackFailed",
            "the first rollback of a handler does not move the traffic",
            HEALTHY | gauge("mlcanary_rollbacks_total", {**ended, "outcome": "ineffective"}, (30, 1.0)),
            (35, ({**ended, "outcome": "ineffective", **CRITICAL},)),
            resolved=55,
        ),
        silent(
            "MLCanaryRollbackFailed",
            "a rollback succeeds",
            HEALTHY | counter("mlcanary_rollbacks_total", {**ended, "outcome": "resolved"}, (30, 1.0), (31, 0.0)),
        ),
        fires(
            "MLCanaryRolledBack",
            "a rollback is proven",
            HEALTHY
            | counter("mlcanary_rollbacks_total", {**ended, "outcome": "resolved"}, (0, 0.0), (30, 1.0), (31, 0.0)),
            (35, ({**ended, "outcome": "resolved", "severity": "info"},)),
            resolved=95,
        ),
        fires(
            "MLCanaryRolledBack",
            "the first rollback of a handler is proven",
            HEALTHY | gauge("mlcanary_rollbacks_total", {**ended, "outcome": "resolved"}, (30, 1.0)),
            (35, ({**ended, "outcome": "resolved", "severity": "info"},)),
            resolved=95,
        ),
        silent(
            "MLCanaryRolledBack",
            "a rollback fails",
            HEALTHY | counter("mlcanary_rollbacks_total", {**ended, "outcome": "failed"}, (30, 1.0), (31, 0.0)),
        ),
        fires(
            "MLCanaryRollbackStuck",
            "an incident stays open for fifty minutes",
            HEALTHY | gauge("mlcanary_incident_open", open_incident, (0, 0.0), (30, 1.0), (80, 0.0)),
            (65, ({**target, **CRITICAL},)),
            resolved=81,
        ),
        silent(
            "MLCanaryRollbackStuck",
            "an incident is proven within ten minutes",
            HEALTHY | gauge("mlcanary_incident_open", open_incident, (0, 0.0), (30, 1.0), (40, 0.0)),
        ),
        silent(
            "MLCanaryRollbackStuck",
            "an incident waits for approval, which another alert tells",
            HEALTHY | gauge("mlcanary_incident_open", {**target, "state": "awaiting_approval"}, (30, 1.0)),
        ),
        *_of_people(target),
        *_of_releases(target, ended),
        Scenario(
            "MLCanaryWatchdog",
            "always, even without any data",
            {},
            tuple((m, ({"severity": "none"},)) for m in (1, 60)),
        ),
    ]


def _of_a_gauge_that_fails(alert: str, series: tuple[str, Labels], out: str, once: str) -> list[Scenario]:
    """A gauge that is 0 for half an hour fires; one that is for one scrape does not."""
    name, labels = series
    return [
        fires(
            alert,
            out,
            HEALTHY | gauge(name, labels, (0, 1.0), (30, 0.0), (60, 1.0)),
            (45, ({**labels, **CRITICAL},)),
            resolved=61,
        ),
        silent(alert, once, HEALTHY | gauge(name, labels, (0, 1.0), (30, 0.0), (31, 1.0))),
    ]


def _of_a_handler_that_is_gone() -> list[Scenario]:
    """The handler is no longer in discovery, or another pod has taken its place."""
    alert, job = "MLCanaryHandlerDown", {"job": HANDLER["job"]}
    build, place = "mlcanary_handler_build_info", {"cluster": "c", "namespace": "m"}
    elsewhere = {**HANDLER, **place}
    pod = {**HANDLER, "instance": "10.0.0.7:10879"}
    left: Course = ((0, 1.0), (30, None))

    def with_info(labels: Labels, *course: tuple[int, float | None]) -> Series:
        return gauge("up", labels, *course) | gauge(build, {**labels, "version": "1"}, *course)

    return [
        silent(alert, "an exporter is down, not the handler", HEALTHY | gauge("up", EXPORTER, (0, 1.0), (30, 0.0))),
        silent(
            alert,
            "the handler works; a probe of its port fails, and a pod of its job has not started yet",
            HEALTHY | gauge("up", {**HANDLER, "job": "probe"}, (30, 0.0)) | gauge("up", pod, (30, 0.0)),
        ),
        silent(alert, "a target that has never said that it is a handler", gauge("up", HANDLER, (0, 0.0))),
        fires(
            alert,
            "scaled to 0 and back: no series of its job is left, while the same job of another namespace goes on",
            HEALTHY | with_info(HANDLER, *left, (60, 1.0)) | with_info(elsewhere, (0, 1.0)),
            (42, ({**job, **CRITICAL},)),
            resolved=61,
        ),
        fires(
            alert,
            "gone from a namespace, beside an exporter in the same job",
            HEALTHY | with_info(elsewhere, *left, (60, 1.0)) | gauge("up", {**elsewhere, "instance": "e"}, (0, 1.0)),
            (42, ({**job, **place, **CRITICAL},)),
            resolved=61,
        ),
        fires(
            alert,
            "two jobs: one is gone, of the other one handler is down, one is well",
            HEALTHY
            | with_info({"job": "a", "instance": "a:1"}, *left)
            | gauge("up", {"job": "b", "instance": "b:1"}, (0, 1.0), (30, 0.0))
            | gauge(build, {"job": "b", "instance": "b:1", "version": "1"}, *left)
            | with_info({"job": "b", "instance": "b:2"}, (0, 1.0)),
            (42, ({"job": "a", **CRITICAL}, {"job": "b", "instance": "b:1", **CRITICAL})),
            resolved=20,
        ),
        fires(
            alert,
            "the pod that takes its place never answers",
            HEALTHY | with_info(HANDLER, *left) | gauge("up", pod, (0, None), (30, 0.0)) | with_info(pod, (60, 1.0)),
            (42, ({**job, **CRITICAL},)),
            resolved=61,
        ),
        silent(
            alert,
            "another pod takes its place within four minutes",
            HEALTHY | with_info(HANDLER, *left) | with_info(pod, (34, 1.0)),
        ),
    ]


def _of_people(target: Labels) -> list[Scenario]:
    """Alerts about what waits for a person: approvals, capacity, webhooks that did not come, freezes."""
    waiting = {**target, "state": "awaiting_approval"}
    once: Course = ((0, 0.0), (30, 1.0), (31, 0.0))
    return [
        fires(
            "MLCanaryApprovalWaiting",
            "nobody approves for twenty minutes",
            HEALTHY | gauge("mlcanary_incident_open", waiting, (0, 0.0), (30, 1.0), (50, 0.0)),
            (35, ({**target, **CRITICAL},)),
            resolved=51,
        ),
        silent(
            "MLCanaryApprovalWaiting",
            "an incident that is being verified",
            HEALTHY | gauge("mlcanary_incident_open", {**target, "state": "verifying"}, (30, 1.0)),
        ),
        fires(
            "MLCanaryCapacityMissing",
            "half of the shift does not fit for ten minutes",
            HEALTHY | gauge("mlcanary_capacity_missing_ratio", target, (0, 0.0), (30, 0.5), (40, 0.0)),
            (36, ({**target, **CRITICAL},)),
            resolved=44,
        ),
        silent(
            "MLCanaryCapacityMissing", "all fits", HEALTHY | gauge("mlcanary_capacity_missing_ratio", target, (0, 0.0))
        ),
        fires(
            "MLCanaryWebhooksMissed",
            "an alert was found by asking",
            HEALTHY | counter("mlcanary_missed_webhooks_total", target, *once),
            (35, ({**target, **WARNING},)),
            resolved=65,
        ),
        fires(
            "MLCanaryWebhooksMissed",
            "the same right after the start of a handler",
            HEALTHY | gauge("mlcanary_missed_webhooks_total", target, (30, 1.0)),
            (35, ({**target, **WARNING},)),
            resolved=65,
        ),
        silent(
            "MLCanaryWebhooksMissed",
            "every alert came by webhook",
            HEALTHY | gauge("mlcanary_missed_webhooks_total", target, (0, 0.0)),
        ),
        fires(
            "MLCanaryFrozen",
            "a freeze is forgotten",
            HEALTHY | gauge("mlcanary_frozen", target, (0, 0.0), (10, 1.0), (260, 0.0)),
            (255, ({**target, **WARNING},)),
            resolved=261,
        ),
        silent(
            "MLCanaryFrozen", "a freeze of an hour", HEALTHY | gauge("mlcanary_frozen", target, (30, 1.0), (90, 0.0))
        ),
    ]


def _of_releases(target: Labels, ended: Labels) -> list[Scenario]:
    """Alerts about releases and messages."""
    receiver = {**HANDLER, "receiver": "slack"}
    once: Course = ((0, 0.0), (30, 1.0), (31, 0.0))
    return [
        fires(
            "MLCanaryReleaseHeld",
            "a release is held beyond its deadline of half an hour",
            HEALTHY | _release(ended, "hold", held_since=30, until=90),
            (75, ({**ended, **WARNING},)),
            resolved=96,
        ),
        fires(
            "MLCanaryReleaseHeld",
            "one of four releases: of the others one may be held for two hours, one soaks on, one on another handler",
            HEALTHY
            | _release(ended, "hold", held_since=30, until=90)
            | _release({**ended, "target": "patient"}, "hold", held_since=30, until=90, at_most=7200.0)
            | _release({**ended, "target": "soaking"}, "soak", held_since=30, until=90)
            | _release({**ended, "instance": "second:10879"}, "soak", held_since=30, until=90),
            (75, ({**ended, **WARNING},)),
            resolved=96,
        ),
        silent("MLCanaryReleaseHeld", "a release soaks", HEALTHY | _release(ended, "soak", held_since=30, until=90)),
        fires(
            "MLCanaryReleaseStuck",
            "another writer changes the weights of a release",
            HEALTHY | counter("mlcanary_releases_total", {**ended, "outcome": "stuck"}, *once),
            (35, ({**ended, "outcome": "stuck", **CRITICAL},)),
            resolved=55,
        ),
        fires(
            "MLCanaryReleaseStuck",
            "the first release of a handler does so",
            HEALTHY | gauge("mlcanary_releases_total", {**ended, "outcome": "stuck"}, (30, 1.0)),
            (35, ({**ended, "outcome": "stuck", **CRITICAL},)),
            resolved=55,
        ),
        silent(
            "MLCanaryReleaseStuck",
            "a release is proven",
            HEALTHY | counter("mlcanary_releases_total", {**ended, "outcome": "proven"}, *once),
        ),
        fires(
            "MLCanaryMessagesNotSent",
            "a message was given up",
            HEALTHY | counter("mlcanary_notices_total", {**receiver, "result": "dropped"}, *once),
            (35, ({**receiver, "result": "dropped", **WARNING},)),
            resolved=95,
        ),
        fires(
            "MLCanaryMessagesNotSent",
            "the same right after the start of a handler",
            HEALTHY | gauge("mlcanary_notices_total", {**receiver, "result": "dropped"}, (30, 1.0)),
            (35, ({**receiver, "result": "dropped", **WARNING},)),
            resolved=95,
        ),
        silent(
            "MLCanaryMessagesNotSent",
            "a receiver is away for a minute",
            HEALTHY | counter("mlcanary_notices_total", {**receiver, "result": "failed"}, *once),
        ),
    ]


def _release(ended: Labels, state: str, *, held_since: int, until: int, at_most: float = 1800.0) -> Series:
    """A release in one state for a while, with a deadline for holds."""
    target = {name: value for name, value in ended.items() if name != "model"}
    shown: Course = ((0, None), (held_since, 1.0), (until, None))
    entered: Course = ((0, None), (held_since, 60.0 * held_since), (until, None))
    return (
        gauge("mlcanary_release_state", {**ended, "state": state}, *shown)
        | gauge("mlcanary_release_state_timestamp_seconds", ended, *entered)
        | gauge("mlcanary_release_hold_deadline_seconds", target, (0, at_most))
    )
