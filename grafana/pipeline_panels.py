"""Panels about mlcanary itself: is the measurement sound?"""

from __future__ import annotations

from panels import (
    MODEL,
    NOTABLE,
    PLACE,
    Json,
    lines,
    notable,
    per_second,
    query,
    section,
)

HIGHEST = f" Of more exporters the {NOTABLE} lines that were highest."
LOWEST = f" Of more exporters the {NOTABLE} lines that were lowest."


def exporters() -> list[Json]:
    """Is the measurement itself sound?"""

    return section(
        "Exporters",
        "Nothing of the kind happened, or no exporter is in reach.",
        lines(
            "Readable sources",
            f"1 while the exporter can read the log.{LOWEST}",
            "none",
            query(notable("min", "mlcanary_up", "instance, source", least=True), "{{instance}} {{source}}"),
            min=0,
            max=1,
            lineInterpolation="stepAfter",
            width=6,
        ),
        lines(
            "Lines",
            f"Lines read per second.{HIGHEST}",
            "ops",
            query(notable("sum", "mlcanary_log_lines_total", rate=True), "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Rejected, duplicate and lost",
            "Rejected lines, predictions seen twice, ends of rotated logs that were lost, names above a limit.",
            "ops",
            query(per_second("mlcanary_log_parse_errors_total", "reason") + " > 0", "rejected: {{reason}}"),
            query(f"sum(rate(mlcanary_duplicate_predictions_total{{{MODEL}}}[$__rate_interval]))", "duplicate"),
            query(per_second("mlcanary_log_lost_total", "reason") + " > 0", "lost: {{reason}}"),
            query(per_second("mlcanary_series_limited_total", "reason") + " > 0", "limited: {{reason}}"),
            min=0,
            width=6,
        ),
        lines(
            "Unread",
            f"Bytes written to the log and not read yet.{HIGHEST}",
            "bytes",
            query(notable("sum", "mlcanary_log_lag_bytes"), "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Series",
            f"Series of the last page, by exporter.{HIGHEST}",
            "short",
            query(notable("max", "mlcanary_series"), "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Time to make a page",
            f"Time to evaluate the windows and write the last page.{HIGHEST}",
            "s",
            query(notable("max", "mlcanary_render_duration_seconds"), "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Age of the checkpoint",
            f"Time since the exporter last saved where it is; no line where it was given no place to.{HIGHEST}",
            "s",
            query("time() - " + notable("max", "mlcanary_checkpoint_timestamp_seconds", least=True), "{{instance}}"),
            min=0,
            width=6,
        ),
        lines(
            "Configuration in force",
            f"1 if the last load of the configuration succeeded.{LOWEST}",
            "none",
            query(notable("min", "mlcanary_config_last_reload_successful", least=True), "{{instance}}"),
            min=0,
            max=1,
            lineInterpolation="stepAfter",
            width=6,
        ),
    )


def intake() -> list[Json]:
    """What did not get in, and what was given up to keep up."""

    return section(
        "Sampling, pushes and the store",
        "Nothing of the kind happened, or it is not in use.",
        lines(
            "Share of rows looked at",
            f"By stage of the figures. Under 1 load is shed or sampling is configured.{LOWEST}",
            "percentunit",
            query(notable("min", "mlcanary_sampling_ratio", "instance, stage", least=True), "{{instance}} {{stage}}"),
            width=6,
            min=0,
            max=1,
        ),
        lines(
            "Pushes",
            "Requests with records per second by the status that answered them: 202 is stored.",
            "reqps",
            query(per_second("mlcanary_push_requests_total", "code"), "{{code}}"),
            width=6,
            min=0,
        ),
        lines(
            "Dropped by clients",
            "Records per second that mlcanary.client gave up in the servers.",
            "ops",
            query(per_second("mlcanary_client_dropped_total", "reason"), "{{reason}}"),
            width=6,
            min=0,
        ),
        lines(
            "Store",
            f"Bytes of the store of labelled rows.{HIGHEST}",
            "bytes",
            query(notable("sum", "mlcanary_store_bytes"), "{{instance}}"),
            width=6,
            min=0,
        ),
        lines(
            "Series left out",
            "Series that limits.series keeps off the page, by what they are.",
            "short",
            query(f"sum by (reason) (mlcanary_series_dropped{{{PLACE}}})", "{{reason}}"),
            width=6,
            min=0,
        ),
        lines(
            "Rows the store could not keep",
            "Rows per second, by reason.",
            "ops",
            query(per_second("mlcanary_store_rows_dropped_total", "reason"), "{{reason}}"),
            width=6,
            min=0,
        ),
        lines(
            "Rotations",
            "Rotations of logs and rebalances of Kafka that were followed, per second.",
            "ops",
            query(per_second("mlcanary_log_rotations_total", "kind"), "{{kind}}"),
            width=6,
            min=0,
        ),
        lines(
            "Time of a checkpoint",
            f"Time that the last checkpoint took.{HIGHEST}",
            "s",
            query(notable("max", "mlcanary_checkpoint_duration_seconds"), "{{instance}}"),
            width=6,
            min=0,
        ),
    )


def judges() -> list[Json]:
    """Is the judge well?"""

    return section(
        "Judge",
        "No judge in reach: is mlcanary judge running, and does Prometheus scrape it?",
        lines(
            "Readings",
            "Readings of Prometheus per second by result.",
            "ops",
            query(per_second("mlcanary_judge_readings_total", "result"), "{{result}}"),
            width=6,
            min=0,
        ),
        lines(
            "Steps left out",
            "Steps of counters that were not judged, per second, by reason.",
            "ops",
            query(per_second("mlcanary_judge_steps_skipped_total", "reason"), "{{reason}}"),
            noValue="No step was left out in this time range, or no judge is in reach.",
            width=6,
            min=0,
        ),
        lines(
            "Series read",
            "Series of the last reading.",
            "short",
            query(f"max by (instance) (mlcanary_judge_series_read{{{PLACE}}})", "{{instance}}"),
            width=6,
            min=0,
        ),
        lines(
            "Resets and failed saves",
            "Counters seen to fall, and cycles whose state could not be saved, per second.",
            "ops",
            query(per_second("mlcanary_judge_resets_total", "instance"), "{{instance}} resets"),
            query(per_second("mlcanary_judge_state_errors_total", "instance"), "{{instance}} not saved"),
            width=6,
            min=0,
        ),
    )
