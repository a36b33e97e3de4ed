"""CPU, memory and descriptors of this process under the names that every exporter gives them.

Guarantee: names, types, help and values of prometheus-client's `ProcessCollector`, both formats. They are read here
because that library is 30 modules and a megabyte for six numbers. What cannot be read is left out.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _STARTED, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21
"""Places in /proc/PID/stat after the name of the command, as in proc(5) from `state` on."""


class _Figure(NamedTuple):
    name: str
    kind: str
    help: str
    value: float


class ProcessMetrics:
    """`process_*` of the exporter."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._booted = self._boot_time()

    def render(self) -> tuple[bytes, bytes]:
        """Both formats, without the OpenMetrics end mark."""
        text, openmetrics = "", ""
        for name, kind, words, value in self._figures() if self._booted is not None else ():
            line = f"{name} {float(value)!r}\n"
            text += f"# HELP {name} {words}\n# TYPE {name} {kind}\n{line}"
            family = name.removesuffix("_total")
            openmetrics += f"# HELP {family} {words}\n# TYPE {family} {kind}\n{line}"
        return text.encode(), openmetrics.encode()

    def _boot_time(self) -> float | None:
        try:
            lines = (self._proc / "stat").read_bytes().splitlines()
        except OSError:
            return None
        return next((float(line.split()[1]) for line in lines if line.startswith(b"btime ")), None)

    def _figures(self) -> Iterator[_Figure]:
        own = self._proc / "self"
        try:
            of = [float(x) for x in (own / "stat").read_bytes().rpartition(b")")[2].split()[1:]]
        except OSError:
            return
        of.insert(0, 0.0)  # the state, a letter
        memory, cpu = of[_RESIDENT] * resource.getpagesize(), (of[_UTIME] + of[_STIME]) / _TICKS
        started = (self._booted or 0.0) + of[_STARTED] / _TICKS
        yield _Figure("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", of[_VIRTUAL])
        yield _Figure("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", memory)
        about = "Start time of the process since unix epoch in seconds."
        yield _Figure("process_start_time_seconds", "gauge", about, started)
        yield _Figure("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", cpu)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError):
            opened = len(os.listdir(own / "fd"))
            yield _Figure("process_open_fds", "gauge", "Number of open file descriptors.", float(opened))
        yield _Figure("process_max_fds", "gauge", "Maximum number of open file descriptors.", float(most))
