"""CPU, memory and descriptors of this process under the names that every exporter gives them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

_EOF = b"# EOF\n"


class ProcessMetrics:
    """`process_*` of the exporter."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def render(self) -> tuple[bytes, bytes]:
        """Both formats, without the OpenMetrics end mark."""
        openmetrics: bytes = as_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return as_text(self._registry), openmetrics.removesuffix(_EOF)
