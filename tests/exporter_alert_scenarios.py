"""Scenarios of the alerts about exporters and their sources."""

from __future__ import annotations

from alert_worlds import (
    CRITICAL,
    EXPORTER,
    HEALTHY,
    INFO,
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

SEVEN: Course = ((0, 0.0), (30, 7.0), (60, 0.0))


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
            handler() | exporter() | gauge("up", EXPORTER, *outage),
            (40, ({**EXPORTER, **CRITICAL},)),
            resolved=61,
        ),
        Scenario("MLCanaryExporterDown", "there is no exporter at all", handler(), ((10, (CRITICAL,)),), (1,)),
        silent(
            "MLCanaryExporterDown",
            "somebody else's target is down",
            HEALTHY | gauge("up", {"job": "node", "instance": "node:9100"}, (0, 0.0)),
        ),
        silent(
            "MLCanaryExporterDown",
            "a target that has never said that it is an exporter",
            handler() | exporter(idle) | gauge("up", EXPORTER, (0, 0.0)),
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
            handler() | exporter() | gauge("mlcanary_up", SOURCE, (0, 0.0), (30, 1.0)),
            (20, ({**EXPORTER, **CRITICAL},)),
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
            HEALTHY
            | gauge("mlcanary_log_lag_bytes", SOURCE, (0, 0.0), (30, 1e8), (70, 0.0))
            | gauge("mlcanary_log_lag_bytes", {**idle, "source": "/var/log/idle.jsonl"}, (0, 0.0))
            | gauge("mlcanary_model_info", {**idle, "model": MODEL, "version": "v1", "role": "baseline"}, (0, 1.0)),
            (55, ({**measured, **WARNING},)),
            resolved=71,
        ),
        silent(
            "MLCanarySourceLagging",
            "it stays 60 MB behind, less than a minute of a busy log",
            HEALTHY | gauge("mlcanary_log_lag_bytes", SOURCE, (0, 0.0), (30, 6e7)),
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
        fires(
            "MLCanaryParseErrors",
            "two kinds of faults, each in less than one line of a hundred, together in more",
            HEALTHY
            | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "json"}, *SEVEN)
            | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "record"}, *SEVEN),
            (50, ({**SOURCE, **WARNING},)),
            resolved=85,
        ),
        fires(
            "MLCanaryParseErrors",
            "a busy log becomes a slow one, of which a fifth cannot be used",
            HEALTHY
            | counter("mlcanary_log_lines_total", SOURCE, (0, 1000.0), (30, 30.0))
            | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "json"}, (0, 1.0), (30, 6.0), (70, 0.0)),
            (55, ({**SOURCE, **WARNING},)),
            resolved=95,
        ),
        silent(
            "MLCanaryParseErrors",
            "one line in two hundred is broken",
            HEALTHY | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "json"}, (0, 5.0)),
        ),
        silent(
            "MLCanaryParseErrors",
            "a fifth of the calls fail and have no response",
            HEALTHY | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "unpaired"}, *lines),
        ),
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
            "one name is folded",
            HEALTHY | counter("mlcanary_series_limited_total", limited, (0, 0.0), (30, 1.0), (31, 0.0)),
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
        fires(
            "MLCanaryPageOverBudget",
            "one series does not fit",
            HEALTHY | gauge("mlcanary_series_dropped", left_out, (0, 0.0), (20, 1.0), (60, 0.0)),
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
        fires(
            "MLCanaryCheckpointFailing",
            "one checkpoint fails",
            HEALTHY | counter("mlcanary_checkpoint_errors_total", EXPORTER, (0, 0.0), (30, 1.0), (31, 0.0)),
            (40, ({**EXPORTER, **WARNING},)),
            resolved=60,
        ),
        silent("MLCanaryCheckpointFailing", "checkpoints succeed", HEALTHY),
    ]
