"""Signals to the process of a pid file, and to no other."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mlcanary.errors import ActionError

_START_TIME_FIELD = 19  # field 22 of proc(5), counted after the command name


def find_process(pid_file: Path) -> int:
    """The process that wrote a pid file.

    Raises ActionError if there is none, or if it is younger than the file: then the id was given to another one.
    """
    try:
        pid = int(pid_file.read_text(encoding="ascii").strip())
        if pid <= 0:  # kill(2) takes these for groups
            raise ActionError(f"{pid_file}: {pid} is no process")
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        age = uptime - int(fields[_START_TIME_FIELD]) / os.sysconf("SC_CLK_TCK")
        file_age = time.time() - pid_file.stat().st_mtime
    except (OSError, ValueError) as error:
        raise ActionError(f"{pid_file}: cannot signal: {error}", hint="is the server running?") from error
    if file_age > age + 1.0:
        raise ActionError(f"{pid_file}: process {pid} started after the file was written")
    return pid


def send_signal(pid_file: Path, number: signal.Signals) -> None:
    """Signal the process of a pid file. Raises ActionError as `find_process` does, or if it is not allowed."""
    pid = find_process(pid_file)
    try:
        os.kill(pid, number)
    except OSError as error:
        raise ActionError(f"{pid_file}: cannot signal: {error}", hint="is the server running?") from error
