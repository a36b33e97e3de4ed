"""CPU, memory, threads, files and I/O of a process and all it started, by psutil.

Guarantee: a sum is shown only if every process of the tree told its part, else it is absent; nothing is shown once the
process is gone. The totals never fall while the same process lives: what a worker used passes to its parent when that
reaps it, and stays at its former value for the moment in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psutil

from mlcanary.measures.contract import sample
from mlcanary.records import Sample

_Read = Callable[[Any], float]

_GAUGES: dict[str, _Read] = {
    "resident_memory_bytes": lambda p: p.memory_info().rss,
    "virtual_memory_bytes": lambda p: p.memory_info().vms,
    "threads": lambda p: p.num_threads(),
    "open_fds": lambda p: p.num_fds(),
    "max_fds": lambda p: p.rlimit(psutil.RLIMIT_NOFILE)[0],
}
_TOTALS: dict[str, _Read] = {
    "cpu_seconds_total": lambda p: sum(p.cpu_times()[:4]),  # user, system, and both of the children that were reaped
    "read_bytes_total": lambda p: p.io_counters().read_bytes,  # the kernel adds those of reaped children as well
    "written_bytes_total": lambda p: p.io_counters().write_bytes,
}


class ProcessTree:
    """Reads one process and its descendants; `pid` is asked each time, since a restarted server has another."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self._totals: dict[str, float] = {}
        self._root: psutil.Process | None = None

    def processes(self) -> list[psutil.Process]:
        """The process and all it started, or nothing once it is gone."""
        try:
            root = psutil.Process(self._pid())
            if root.status() == psutil.STATUS_ZOMBIE:
                return []
            if root != self._root:  # psutil compares PID and time of start
                self._root, self._totals = root, {}
            return [root, *root.children(recursive=True)]
        except (psutil.Error, OSError, ValueError, IndexError):
            return []

    def samples(self, processes: list[psutil.Process]) -> Iterator[Sample]:
        """Sums over `processes`, the list that `processes()` just gave."""
        if not processes:
            return
        yield _own("processes", float(len(processes)))
        start = _sum(processes[:1], lambda p: p.create_time())
        if start is not None:
            yield _own("start_time_seconds", start)
        for name, read in _GAUGES.items():
            value = _sum(processes, read)
            if value is not None:
                yield _own(name, value)
        for name, read in _TOTALS.items():
            value = _sum(processes, read)
            if value is not None:
                self._totals[name] = max(value, self._totals.get(name, 0.0))
                yield _own(name, self._totals[name])


def _sum(processes: list[psutil.Process], read: _Read) -> float | None:
    """The sum over those that still live; None if one of them will not tell, or the system does not know the figure."""
    total, seen = 0.0, False
    for process in processes:
        try:
            total += read(process)
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError, AttributeError):
            return None
        seen = True
    return total if seen else None


def _own(name: str, value: float) -> Sample:
    return sample(f"model_server_process_{name}", (), value)
