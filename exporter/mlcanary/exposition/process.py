"""CPU, memory and descriptors of this process, and of the model server where its PID is visible."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

_EOF = b"# EOF\n"


class ProcessMetrics:
    """`process_*` of the exporter and `mlcanary_model_server_process_*` of the server.

    The server's families vanish while its process cannot be seen: absent is honest, zero is not.
    """

    def __init__(self, server_pid: int | None) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        if server_pid is not None:
            ProcessCollector(namespace="mlcanary_model_server", pid=lambda: server_pid, registry=self._registry)

    def render(self) -> tuple[bytes, bytes]:
        """Both formats, without the OpenMetrics end mark."""
        openmetrics: bytes = as_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return as_text(self._registry), openmetrics.removesuffix(_EOF)


def read_pid(text: str) -> int:
    """A PID, or the PID in a file of this name. Raises OSError or ValueError."""
    return int(text) if text.isdigit() else int(Path(text).read_text().split()[0])
