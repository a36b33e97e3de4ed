"""What the kernel says of a process. MB are 10**6 bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """MB resident now (VmRSS) and at most (VmHWM)."""

    resident: float
    peak: float


def memory(pid: int) -> Memory:
    """Of a running process; OSError or KeyError if it is gone."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Memory(*(int(rows[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")))


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a running process; OSError if it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
