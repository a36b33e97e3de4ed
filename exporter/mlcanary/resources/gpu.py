"""Utilisation and memory of NVIDIA GPUs, by NVML (`pip install mlcanary[gpu]`).

Guarantee: `attribution` says whose figure it is: "process" for what NVML books on the model server's processes,
"device" for everybody on the GPU together. Nothing is divided or guessed: where NVML cannot tell processes apart (MIG,
another PID namespace) the process figure is absent. An error is counted and costs the figure, nothing else.
Source: NVML API reference; calls as in the package nvidia-ml-py.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection, Iterator
from typing import Any

from mlcanary.measures.contract import sample
from mlcanary.records import Sample

log = logging.getLogger(__name__)

DEVICE, PROCESS = "device", "process"


def load_nvml() -> Any | None:
    """The module `pynvml`, initialised; None without the package or without a driver."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.warning("no GPU figures: %s", error)
        return None
    return nvml


class Gpus:
    """Reads every device. `nvml` has the calls of `pynvml` and is initialised; None: there are no GPUs."""

    def __init__(self, nvml: Any | None) -> None:
        self._nvml = nvml
        self._errors = 0

    def samples(self, pids: Collection[int]) -> Iterator[Sample]:
        """Figures of each device; `pids` are those of the model server."""
        if self._nvml is None:
            return
        for index in range(self._try(self._nvml.nvmlDeviceGetCount) or 0):
            handle = self._try(self._nvml.nvmlDeviceGetHandleByIndex, index)
            if handle is not None:
                yield from self._of_device(handle, index, pids)
        yield sample("model_server_gpu_errors_total", (), float(self._errors))

    def _of_device(self, handle: Any, index: int, pids: Collection[int]) -> Iterator[Sample]:
        nvml: Any = self._nvml
        uuid = self._try(nvml.nvmlDeviceGetUUID, handle)
        gpu = uuid.decode() if isinstance(uuid, bytes) else uuid or str(index)
        rates = self._try(nvml.nvmlDeviceGetUtilizationRates, handle)
        if rates is not None:
            yield sample("model_server_gpu_utilization_ratio", (gpu, DEVICE), rates.gpu / 100)
        memory = self._try(nvml.nvmlDeviceGetMemoryInfo, handle)
        if memory is not None:
            yield sample("model_server_gpu_memory_used_bytes", (gpu, DEVICE), float(memory.used))
            yield sample("model_server_gpu_memory_total_bytes", (gpu,), float(memory.total))
        running = self._try(nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
        used = [process.usedGpuMemory for process in running if process.pid in pids]
        if used and None not in used:
            yield sample("model_server_gpu_memory_used_bytes", (gpu, PROCESS), float(sum(used)))

    def _try(self, call: Callable[..., Any], *arguments: Any) -> Any | None:
        nvml: Any = self._nvml
        try:
            return call(*arguments)
        except nvml.NVMLError as error:
            if not self._errors:
                log.warning("a GPU figure is missing: %s", error)
            self._errors += 1
            return None
