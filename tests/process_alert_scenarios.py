"""Scenarios of the alerts about mlcanary itself."""

from __future__ import annotations

from alert_worlds import (
    CRITICAL,
    EXPORTER,
    HANDLER,
    HEALTHY,
    INFO,
    MINUTES,
    MODEL,
    SOURCE,
    WARNING,
    Course,
    Scenario,
    counter,
    exporter,
    fires,
    gauge,
    handler,
    silent,
)
from promtool_cases import series_name


def of_exporters() -> list[Scenario]:
    """Alerts about exporters and their sources."""
    measured = {**EXPORTER, "model": MODEL}
    idle = {"job": "mlcanary-exporter", "instance": "idle:10877"}
    outage: Course = ((0, 1.0), (30, 0.0), (60, 1.0))
    lines: Course = ((0, 1.0), (30, 200.0), (60, 1.0))
    left_out = {**EXPORTER, "reason": "segments"}
    limited, lost = {**EXPORTER, "reason": "versions"}, {**SOURCE, "reason": "compressed"}
    hole: Course = ((0, 0.0), (30, 1e8), (34, 0.0))
    return [
        fires(
            "MLCanaryExporterDown",
            "the exporter of a model does not answer",
            HEALTHY | gauge("up", EXPORTER, *outage),
            (40, ({**measured, **CRITICAL},)),
            resolved=61,
        ),
        fires(
            "MLCanaryExporterDown",
            "an exporter that has measured no model yet does not answer",
            HEALTHY | exporter(idle) | gauge("up", idle, *outage),
            (40, ({**idle, **CRITICAL},)),
            resolved=61,
        ),
        Scenario("MLCanaryExporterDown", "there is no exporter at all", handler(), ((10, (CRITICAL,)),), (1,)),
        silent(
            "MLCanaryExporterDown",
            "somebody else's target is down",
            HEALTHY | gauge("up", {"job": "node", "instance": "node:9100"}, (0, 0.0)),
        ),
        fires(
            "MLCanarySourceUnreadable",
            "the log of a measured model cannot be read",
            HEALTHY | gauge("mlcanary_up", SOURCE, *outage),
            (45, ({**measured, **CRITICAL},)),
            resolved=61,
        ),
        fires(
            "MLCanarySourceUnreadable",
            "the log could never be read, so no model is known",
            HEALTHY | exporter(idle) | gauge("mlcanary_up", {**idle, "source": "/nowhere"}, (0, 0.0), (30, 1.0)),
            (20, ({**idle, **CRITICAL},)),
            resolved=31,
        ),
        silent(
            "MLCanarySourceUnreadable",
            "the log was away for two minutes, as in a rotation",
            HEALTHY | gauge("mlcanary_up", SOURCE, (0, 1.0), (30, 0.0), (32, 1.0)),
        ),
        fires(
            "MLCanarySourceLagging",
            "the exporter stays 100 MB behind",
            HEALTHY | gauge("mlcanary_log_lag_bytes", SOURCE, (0, 0.0), (30, 1e8), (70, 0.0)),
            (55, ({**measured, **WARNING},)),
            resolved=71,
        ),
        silent(
            "MLCanarySourceLagging",
            "a burst that is worked off",
            HEALTHY | gauge("mlcanary_log_lag_bytes", SOURCE, *hole),
        ),
        fires(
            "MLCanaryParseErrors",
            "a fifth of the lines cannot be used",
            HEALTHY | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "json"}, *lines),
            (50, ({**SOURCE, **WARNING},)),
            resolved=85,
        ),
        silent("MLCanaryParseErrors", "one line in a thousand is broken", HEALTHY),
        fires(
            "MLCanaryLogLost",
            "one rotated log was compressed before its end was read",
            HEALTHY | counter("mlcanary_log_lost_total", lost, (0, 0.0), (30, 1.0), (31, 0.0)),
            (35, ({**lost, **WARNING},)),
            resolved=50,
        ),
        fires(
            "MLCanaryLogLost",
            "the same before the first scrape of its counter",
            HEALTHY | gauge("mlcanary_log_lost_total", lost, (30, 1.0)),
            (35, ({**lost, **WARNING},)),
            resolved=50,
        ),
        silent("MLCanaryLogLost", "every rotated log was read to its end", HEALTHY),
        fires(
            "MLCanarySeriesLimited",
            "names are folded for a minute",
            HEALTHY | counter("mlcanary_series_limited_total", limited, (0, 0.0), (30, 5.0), (31, 0.0)),
            (35, ({**limited, **WARNING},)),
            resolved=50,
        ),
        fires(
            "MLCanarySeriesLimited",
            "names are folded before the first scrape of a new exporter",
            HEALTHY | gauge("mlcanary_series_limited_total", limited, (30, 5.0)),
            (35, ({**limited, **WARNING},)),
            resolved=50,
        ),
        silent("MLCanarySeriesLimited", "nothing is folded", HEALTHY),
        fires(
            "MLCanaryPageOverBudget",
            "segments do not fit on the page until the limit is raised",
            HEALTHY | gauge("mlcanary_series_dropped", left_out, (0, 0.0), (20, 4818.0), (60, 0.0)),
            (35, ({**left_out, **INFO},)),
            resolved=61,
        ),
        silent("MLCanaryPageOverBudget", "all fits", HEALTHY | gauge("mlcanary_series_dropped", left_out, (0, 0.0))),
        fires(
            "MLCanaryConfigReloadFailed",
            "a wrong configuration is loaded and mended later",
            HEALTHY | gauge("mlcanary_config_last_reload_successful", EXPORTER, *outage),
            (50, ({**EXPORTER, **WARNING},)),
            resolved=61,
        ),
        silent("MLCanaryConfigReloadFailed", "the configuration is good", HEALTHY),
        fires(
            "MLCanaryCheckpointFailing",
            "the disk is full for ten minutes",
            HEALTHY | counter("mlcanary_checkpoint_errors_total", EXPORTER, (0, 0.0), (30, 6.0), (40, 0.0)),
            (40, ({**EXPORTER, **WARNING},)),
            resolved=60,
        ),
        silent("MLCanaryCheckpointFailing", "checkpoints succeed", HEALTHY),
    ]


def of_the_handler() -> list[Scenario]:
    """Alerts about the handler, its targets and the way of an alert."""
    target = {**HANDLER, "target": "router"}
    outage: Course = ((0, 1.0), (30, 0.0), (60, 1.0))
    ended = {**target, "model": MODEL}
    open_incident = {**target, "state": "verifying"}
    return [
        fires(
            "MLCanaryHandlerDown",
            "the handler does not answer",
            HEALTHY | gauge("up", HANDLER, *outage),
            (40, ({**HANDLER, **CRITICAL},)),
            resolved=61,
        ),
        silent("MLCanaryHandlerDown", "an exporter is down, not the handler", HEALTHY | gauge("up", EXPORTER, *outage)),
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
            "MLCanaryTargetDown",
            "the router's socket is away",
            HEALTHY | gauge("mlcanary_target_up", target, *outage),
            (45, ({**target, **CRITICAL},)),
            resolved=61,
        ),
        silent(
            "MLCanaryTargetDown",
            "one observation failed",
            HEALTHY | gauge("mlcanary_target_up", target, (0, 1.0), (30, 0.0), (31, 1.0)),
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
        Scenario(
            "MLCanaryWatchdog",
            "always, even without any data",
            {},
            tuple((m, ({"severity": "none"},)) for m in (1, 60)),
        ),
    ]
