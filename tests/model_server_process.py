"""A child process with a worker of its own, which works when it is told to: a model server as the system sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVER = """
import subprocess, sys, threading, time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

if sys.argv[1:] == ["short"]:
    burn(0.3)
    sys.exit()

stop = threading.Event()
threads = [threading.Thread(target=stop.wait, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
files = [open(__file__) for _ in range(5)]
worker = None
if sys.argv[1:] == ["server"]:
    command, pipe = [sys.executable, __file__, "worker"], subprocess.PIPE
    worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    worker.stdout.readline()
print(worker.pid if worker else 0, flush=True)
for line in sys.stdin:
    if line.strip() == "short":
        subprocess.run([sys.executable, __file__, "short"])
    if line.strip() == "write":
        with open(__file__ + ".data", "wb", buffering=0) as out:
            out.write(b"x" * 4_000_000)
            import os
            os.fsync(out.fileno())
    print("done", flush=True)
if worker:
    worker.stdin.close()
    worker.wait()
"""


class ModelServerProcess:
    """A process and its worker, three more threads and five open files in each."""

    def __init__(self, folder: Path) -> None:
        script = folder / "server.py"
        script.write_text(_SERVER)
        command = [sys.executable, str(script), "server"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._child.pid
        self.worker = int(self._answer())

    def do(self, what: str) -> None:
        """`short`: run a child that burns 0.3 s of CPU and ends. `write`: write 4 MB to storage."""
        assert self._child.stdin is not None
        self._child.stdin.write(what + "\n")
        self._child.stdin.flush()
        assert self._answer() == "done"

    def end(self) -> None:
        """Have both processes end, and reap the server."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait(timeout=20)
        self._child.stdout.close()

    def _answer(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._child.poll() is None:
            self.end()
