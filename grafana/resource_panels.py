"""Panels about what the model servers take: time, CPU, memory, GPUs."""

from __future__ import annotations

from panels import (
    ERRORS,
    LATENCY,
    PLACE,
    PREDICTIONS,
    VERSION,
    Json,
    lines,
    of_version,
    per_second,
    quantile_of,
    query,
    section,
)

_PROCESS, _CGROUP = "mlcanary_model_server_process_", "mlcanary_model_server_cgroup_"
_GPU = "mlcanary_model_server_gpu_"
_SERVES = f"and on (instance) mlcanary_last_prediction_timestamp_seconds{{{VERSION}}}"
"""Only exporters that read predictions of the chosen versions: their servers, and not those of 300 models."""
_QUEUE = "model_version:mlcanary_prediction_queue_seconds:"


def requests() -> list[Json]:
    """How many, how fast, how many fail."""
    errors = "model_version_reason:mlcanary_prediction_errors:ratio"
    return section(
        "Requests",
        "No requests of the chosen versions, or their log tells no latency.",
        lines(
            "Requests",
            "Requests per second, failed ones included.",
            "reqps",
            query(of_version(f"{PREDICTIONS}rate")),
            min=0,
        ),
        lines(
            "Failed requests by reason",
            "Share of requests that failed, by status.",
            "percentunit",
            query(of_version(errors), "{{version}} {{reason}}"),
            min=0,
        ),
        lines(
            "Failed requests",
            "Share of failed requests.",
            "percentunit",
            query(of_version(f"{ERRORS}ratio")),
            min=0,
        ),
        *(
            lines(
                f"Latency p{p}",
                f"{p}th percentile of the latency that the model server logged, interpolated in its bucket.",
                "s",
                query(of_version(f"{LATENCY}p{p}_")),
                min=0,
            )
            for p in (50, 95, 99)
        ),
        lines(
            "Queue",
            "Time that requests waited before the model, median and 95th percentile, where the log tells it.",
            "s",
            query(of_version(f"{_QUEUE}p50_"), "{{version}} p50"),
            query(of_version(f"{_QUEUE}p95_"), "{{version}} p95"),
            width=12,
            min=0,
        ),
        lines(
            "Latency p99 without the recording",
            "The same percentile from the raw histogram, for the interval of the picture.",
            "s",
            query(quantile_of("mlcanary_prediction_latency_seconds", 0.99)),
            width=12,
            min=0,
        ),
    )


def servers() -> list[Json]:
    """The processes of the model servers."""

    def rate(metric: str) -> str:
        return f"{per_second(metric, 'instance')} {_SERVES}"

    def most(metric: str) -> str:
        return f"max by (instance) ({metric}{{{PLACE}}}) {_SERVES}"

    here, periods = "{{instance}}", per_second(f"{_CGROUP}cpu_periods_total", "instance")
    return section(
        "Model servers",
        "No exporter of the chosen versions watches a model server: start it with --process.pid.",
        lines(
            "CPU",
            "Cores in use by the model server and all it started.",
            "none",
            query(rate(f"{_PROCESS}cpu_seconds_total"), here),
            min=0,
        ),
        lines(
            "Memory",
            "Resident memory; shared pages count once for each process.",
            "bytes",
            query(most(f"{_PROCESS}resident_memory_bytes"), here),
            query(most(f"{_CGROUP}memory_limit_bytes"), "limit {{instance}}"),
            min=0,
        ),
        lines(
            "CPU throttled",
            "Share of the scheduler's periods in which the control group was held back.",
            "percentunit",
            query(
                f"{per_second(f'{_CGROUP}cpu_throttled_periods_total', 'instance')} / ({periods} > 0) {_SERVES}", here
            ),
            min=0,
            max=1,
        ),
        lines(
            "Threads and open files",
            "Of the model server and all it started.",
            "short",
            query(most(f"{_PROCESS}threads"), "{{instance}} threads"),
            query(most(f"{_PROCESS}open_fds"), "{{instance}} files"),
            min=0,
        ),
        lines(
            "Storage",
            "Bytes per second read from storage and written to it.",
            "bytes",
            query(rate(f"{_PROCESS}read_bytes_total"), "{{instance}} read"),
            query(rate(f"{_PROCESS}written_bytes_total"), "{{instance}} written"),
            min=0,
        ),
        lines(
            "Processes",
            "The model server and all it started.",
            "short",
            query(most(f"{_PROCESS}processes"), here),
            min=0,
        ),
    )


def gpus() -> list[Json]:
    """The GPUs of the model servers."""
    by = "max by (instance, gpu, attribution)"
    one = "{{instance}} GPU {{gpu}} {{attribution}}"
    return section(
        "GPUs",
        "No GPU: none is there, or no exporter of the chosen versions has NVML (pip install mlcanary[gpu]).",
        lines(
            "Utilization",
            "Share of time in which a kernel ran; device: of whoever uses it.",
            "percentunit",
            query(f"{by} ({_GPU}utilization_ratio{{{PLACE}}}) {_SERVES}", one),
            width=12,
            min=0,
            max=1,
        ),
        lines(
            "Memory",
            "GPU memory in use. Dashed: what the GPU has.",
            "bytes",
            query(f"{by} ({_GPU}memory_used_bytes{{{PLACE}}}) {_SERVES}", one),
            query(
                f"max by (instance, gpu) ({_GPU}memory_total_bytes{{{PLACE}}}) {_SERVES}",
                "limit {{instance}} GPU {{gpu}}",
            ),
            width=12,
            min=0,
        ),
    )
