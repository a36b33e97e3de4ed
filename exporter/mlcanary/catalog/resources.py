"""CPU, memory, I/O and accelerators of the model server."""

from __future__ import annotations

from mlcanary.catalog.spec import Indicator, Kind, MetricSpec, own

_TREE = "Model server and all it started: "
_GROUP = "Control group of the model server, and whatever else runs in it: "
_GPU = ("gpu", "attribution")
_WHOSE = 'attribution="process" is of the model server, "device" of everybody on the GPU.'


def _process(name: str, text: str, kind: Kind = Kind.GAUGE) -> MetricSpec:
    return own(f"model_server_process_{name}", (), f"{_TREE}{text}", kind)


def _group(name: str, text: str, kind: Kind = Kind.COUNTER) -> MetricSpec:
    return own(f"model_server_cgroup_{name}", (), f"{_GROUP}{text}", kind)


ROWS: tuple[MetricSpec, ...] = (
    own("model_server_process_start_time_seconds", (), "When the model server started, Unix seconds."),
    _process("processes", "number of processes."),
    _process("cpu_seconds_total", "CPU time, user and system, of workers that ended too.", Kind.COUNTER),
    _process("resident_memory_bytes", "resident memory; a page that two of them share counts twice."),
    _process("virtual_memory_bytes", "virtual memory."),
    _process("threads", "threads."),
    _process("open_fds", "open file descriptors."),
    _process("max_fds", "sum of the limits on open file descriptors."),
    _process("read_bytes_total", "bytes read from storage.", Kind.COUNTER),
    _process("written_bytes_total", "bytes written to storage.", Kind.COUNTER),
    _group("cpu_seconds_total", "CPU time."),
    _group("cpu_throttled_seconds_total", "time that its CPU limit kept it waiting."),
    _group("cpu_periods_total", "periods of its CPU limit."),
    _group("cpu_throttled_periods_total", "periods in which it was kept waiting."),
    _group("memory_bytes", "memory, page cache included.", Kind.GAUGE),
    _group("memory_limit_bytes", "limit on memory; absent without one.", Kind.GAUGE),
    _group("read_bytes_total", "bytes read from block devices."),
    _group("written_bytes_total", "bytes written to block devices."),
    own("model_server_gpu_utilization_ratio", _GPU, f"Share of time in which a kernel ran. {_WHOSE}"),
    own("model_server_gpu_memory_used_bytes", _GPU, f"GPU memory in use. {_WHOSE}"),
    own("model_server_gpu_memory_total_bytes", ("gpu",), "Memory of the GPU."),
    own("model_server_gpu_errors_total", (), "Calls of NVML that failed; each costs one figure.", Kind.COUNTER),
)

_PSUTIL = "psutil, summed over the process tree"
_NVML = "NVML API reference"
_SEEN = "exact at the moment of the page"

INDICATORS: tuple[Indicator, ...] = (
    Indicator("CPU of the model server", "model_server_process_cpu_seconds_total", (), _SEEN, _PSUTIL),
    Indicator("memory of the model server", "model_server_process_resident_memory_bytes", (), _SEEN, _PSUTIL),
    Indicator("threads of the model server", "model_server_process_threads", (), _SEEN, _PSUTIL),
    Indicator("open files of the model server", "model_server_process_open_fds", (), _SEEN, _PSUTIL),
    Indicator("bytes read by the model server", "model_server_process_read_bytes_total", (), _SEEN, _PSUTIL),
    Indicator("bytes written by the model server", "model_server_process_written_bytes_total", (), _SEEN, _PSUTIL),
    Indicator(
        "CPU throttling of the model server",
        "model_server_cgroup_cpu_throttled_seconds_total",
        (),
        _SEEN,
        "Linux cgroup-v2: cpu.stat",
    ),
    Indicator("GPU utilisation", "model_server_gpu_utilization_ratio", (), "exact, of the device", _NVML),
    Indicator("GPU memory", "model_server_gpu_memory_used_bytes", (), _SEEN, _NVML),
)
