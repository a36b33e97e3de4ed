"""The model server as its operating system sees it: processes, control group, GPUs, as samples for the page.

Guarantee: everything is absent while the process cannot be seen: absent is honest, zero is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mlcanary.records import Sample
from mlcanary.resources.cgroup import ControlGroup
from mlcanary.resources.gpu import Gpus, load_nvml
from mlcanary.resources.processes import ProcessTree


class ModelServer:
    """Reads the resources of the process that `pid` names; one thread calls it."""

    def __init__(self, pid: Callable[[], int], *, group: ControlGroup | None = None, gpus: Gpus | None = None) -> None:
        """`pid` may raise OSError or ValueError while there is none. `group`, `gpus`: other readers than the real."""
        self._tree = ProcessTree(pid)
        self._group = group or ControlGroup()
        self._gpus = gpus or Gpus(load_nvml())

    def samples(self) -> Iterator[Sample]:
        """Everything that can be seen right now."""
        processes = self._tree.processes()
        if not processes:
            return
        yield from self._tree.samples(processes)
        yield from self._group.samples(processes[0].pid)
        yield from self._gpus.samples({process.pid for process in processes})


def read_pid(text: str) -> int:
    """A PID, or the PID in a file of this name. Raises OSError, ValueError or IndexError."""
    return int(text) if text.isdigit() else int(Path(text).read_text().split()[0])
