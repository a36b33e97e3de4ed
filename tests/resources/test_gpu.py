"""GPU figures, against an object with the call shapes of pynvml that records what is asked: no GPU is needed.

This holds the contract of the calls: names, arguments, fields of nvidia-ml-py 13. No real driver has answered here.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mlcanary.catalog import BY_NAME, INDICATORS
from mlcanary.resources.gpu import Gpus

METRICS = {row.name: f"mlcanary_{row.metric}" for row in INDICATORS}
UTILISATION, MEMORY = METRICS["GPU utilisation"], METRICS["GPU memory"]
TOTAL, ERRORS = "mlcanary_model_server_gpu_memory_total_bytes", "mlcanary_model_server_gpu_errors_total"
GIB = 2**30


class NVMLError(Exception):
    """What every failed call raises."""


class Recording:
    """Two GPUs. The server's process 7 and a stranger are on the first, whose memory use NVML tells."""

    NVMLError = NVMLError

    def __init__(self, *broken: str, memory: int | None = 3 * GIB) -> None:
        self.broken = broken
        self.memory = memory
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.asked.append((name, arguments))
            if name in self.broken:
                raise NVMLError(name)
            return getattr(self, f"_{name}")(*arguments)

        if not name.startswith("nvml"):
            raise AttributeError(name)
        return call

    def _nvmlDeviceGetCount(self) -> int:
        return 2

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"handle {index}"

    def _nvmlDeviceGetUUID(self, handle: str) -> str:
        return f"GPU-{handle[-1]}"

    def _nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(gpu=25 if handle == "handle 0" else 0, memory=3)

    def _nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(total=80 * GIB, used=10 * GIB if handle == "handle 0" else 0, free=70 * GIB)

    def _nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        running = [SimpleNamespace(pid=7, usedGpuMemory=self.memory), SimpleNamespace(pid=99, usedGpuMemory=5 * GIB)]
        return running if handle == "handle 0" else []


def shown(gpus: Gpus, *pids: int) -> dict[tuple[str, ...], float]:
    """Values by family and labels."""
    found = list(gpus.samples(set(pids)))
    assert all(len(BY_NAME[sample.name].labels) == len(sample.labels) for sample in found)
    return {(sample.name, *sample.labels): sample.value for sample in found}


WHOLE = {
    (UTILISATION, "GPU-0", "device"): 0.25,
    (UTILISATION, "GPU-1", "device"): 0.0,
    (MEMORY, "GPU-0", "device"): 10.0 * GIB,
    (MEMORY, "GPU-1", "device"): 0.0,
    (TOTAL, "GPU-0"): 80.0 * GIB,
    (TOTAL, "GPU-1"): 80.0 * GIB,
    (ERRORS,): 0.0,
}
OF_SERVER = (MEMORY, "GPU-0", "process")


def test_devices_and_what_the_server_has_of_them() -> None:
    nvml = Recording()
    assert shown(Gpus(nvml), 7, 8) == WHOLE | {OF_SERVER: 3.0 * GIB}
    assert nvml.asked[:3] == [
        ("nvmlDeviceGetCount", ()),
        ("nvmlDeviceGetHandleByIndex", (0,)),
        ("nvmlDeviceGetUUID", ("handle 0",)),
    ]


def test_memory_that_nvml_cannot_tell_or_that_is_of_others_is_no_memory_of_the_server() -> None:
    assert shown(Gpus(Recording()), 1) == WHOLE
    assert shown(Gpus(Recording(memory=None)), 7) == WHOLE


def test_an_error_costs_its_figure_and_is_counted() -> None:
    costs: dict[str, set[tuple[str, ...]]] = {
        "nvmlDeviceGetUtilizationRates": {(UTILISATION, gpu, "device") for gpu in ("GPU-0", "GPU-1")},
        "nvmlDeviceGetMemoryInfo": {key for key in WHOLE if key[0] in {MEMORY, TOTAL}},
        "nvmlDeviceGetComputeRunningProcesses": {OF_SERVER},
    }
    everything = WHOLE | {OF_SERVER: 3.0 * GIB}
    for call, lost in costs.items():
        gpus = Gpus(Recording(call))
        for failed in (2.0, 4.0):
            left = {key: value for key, value in everything.items() if key not in lost}
            assert shown(gpus, 7) == left | {(ERRORS,): failed}
    assert shown(Gpus(Recording("nvmlDeviceGetCount")), 7) == {(ERRORS,): 1.0}
    assert shown(Gpus(Recording("nvmlDeviceGetHandleByIndex")), 7) == {(ERRORS,): 2.0}


def test_a_device_without_a_uuid_is_named_by_its_index() -> None:
    found = shown(Gpus(Recording("nvmlDeviceGetUUID")), 7)
    assert found[UTILISATION, "0", "device"] == 0.25


def test_without_nvml_there_is_nothing() -> None:
    assert shown(Gpus(None), 7) == {}
