"""The exporter itself: sources, page, checkpoint, configuration."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, Kind, MetricSpec, own

CLIENT_DROP_REASONS = ("queue_full", "unserialisable", "too_large", "invalid", "empty", "refused", "closed")
"""Why `mlcanary.client` drops a record. It knows them by itself, as it imports nothing; a test compares."""

ROWS: tuple[MetricSpec, ...] = (
    own("exporter_build_info", ("version", "revision", "pythonversion"), "Build of the exporter."),
    own("up", ("source",), "1 while the source can be read."),
    own("log_lines_total", ("source",), "Lines read, broken and blank ones included.", Kind.COUNTER),
    own("log_read_bytes_total", ("source",), "Bytes of the lines read.", Kind.COUNTER),
    own(
        "log_parse_errors_total",
        ("source", "reason"),
        "Lines rejected, by reason; the landing page shows the last ones.",
        Kind.COUNTER,
    ),
    own(
        "client_dropped_total",
        ("reason",),
        "Records that mlcanary.client dropped in the servers, as its lines in the log tell.",
        Kind.COUNTER,
    ),
    own("log_lag_bytes", ("source",), "Bytes written to the log and not read yet; of a broker an estimate."),
    own(
        "log_rotations_total",
        ("source", "kind"),
        "Rotations followed: rename or truncate; of Kafka: rebalance.",
        Kind.COUNTER,
    ),
    own("label_join_capacity", (), "Predictions that the join table can hold before the oldest is evicted."),
    own(
        "log_lost_total",
        ("source", "reason"),
        "Ends of rotated logs that could not be read: vanished, truncated, compressed; messages: expired, trimmed.",
        Kind.COUNTER,
    ),
    own(
        "push_requests_total",
        ("code",),
        "Pushes by the HTTP status that answered them: 202 is stored, 503 and 429 are to be tried again.",
        Kind.COUNTER,
    ),
    own(
        "series_dropped",
        ("reason",),
        "Series left out since the start or the last reload to keep limits.series.",
    ),
    own("resolution_seconds", ("window",), "Seconds by which the gauges of a window may be late."),
    own("series", (), "Series of the last page."),
    own(
        "series_limited_total",
        ("reason",),
        "Distinct names that were folded into other or dropped by a cap.",
        Kind.COUNTER,
    ),
    own("render_duration_seconds", (), "Time to evaluate the windows and write the last page."),
    own("checkpoint_timestamp_seconds", (), "When the last checkpoint was made durable; absent without one."),
    own("checkpoint_duration_seconds", (), "Time that the last checkpoint took."),
    own("checkpoint_errors_total", (), "Checkpoints that could not be written.", Kind.COUNTER),
    own("config_last_reload_successful", (), "1 if the last load of the configuration succeeded."),
    own("config_last_reload_success_timestamp_seconds", (), "When a configuration was last loaded."),
)

INDICATORS: tuple[Indicator, ...] = ()
