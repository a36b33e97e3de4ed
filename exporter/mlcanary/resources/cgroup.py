"""CPU, memory and I/O of the control group of a process, version 2.

Guarantee: only files of the group that the kernel names for the process are read; a process in the root group shows
nothing, for that is the whole machine. What a file does not hold is absent.
Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlcanary.measures.contract import sample
from mlcanary.records import Sample

_MICROSECONDS = 1e-6
_CPU = (
    ("usage_usec", "cpu_seconds_total", _MICROSECONDS),
    ("throttled_usec", "cpu_throttled_seconds_total", _MICROSECONDS),
    ("nr_periods", "cpu_periods_total", 1.0),
    ("nr_throttled", "cpu_throttled_periods_total", 1.0),
)
_IO = (("rbytes", "read_bytes_total"), ("wbytes", "written_bytes_total"))
_MEMORY = (("memory.current", "memory_bytes"), ("memory.max", "memory_limit_bytes"))


class ControlGroup:
    """Reads the group of a PID. `proc` and `root`: where the kernel shows processes and groups."""

    def __init__(self, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._root = root

    def samples(self, pid: int) -> Iterator[Sample]:
        """What the group of `pid` has used; nothing without such a group."""
        folder = self.folder(pid)
        if folder is None:
            return
        cpu = dict(line.split() for line in _lines(folder / "cpu.stat") if len(line.split()) == len(("key", "value")))
        for key, name, unit in _CPU:
            if cpu.get(key, "").isdigit():
                yield _of_group(name, int(cpu[key]) * unit)
        for file, name in _MEMORY:
            text = "".join(_lines(folder / file))
            if text.isdigit():  # a group without a limit says `max`
                yield _of_group(name, float(text))
        fields = [field.partition("=") for line in _lines(folder / "io.stat") for field in line.split()[1:]]
        for key, name in _IO:
            values = [int(value) for found, _, value in fields if found == key and value.isdigit()]
            if values:
                yield _of_group(name, float(sum(values)))

    def folder(self, pid: int) -> Path | None:
        """The folder of the group of `pid`; None in the root group, under version 1, and where it cannot be seen."""
        for line in _lines(self._proc / str(pid) / "cgroup"):
            if line.startswith("0::/"):
                path = line.removeprefix("0::/")
                # A process outside our namespace is shown with `..`: its group is not below our root.
                if ".." in path.split("/"):
                    return None
                for root in (self._root, self._root / "unified"):
                    if (root / path / "cgroup.type").is_file():  # the root group of the machine has none
                        return root / path
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _of_group(name: str, value: float) -> Sample:
    return sample(f"model_server_cgroup_{name}", (), value)
