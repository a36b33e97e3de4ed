"""The real exporter as a child process on a free port of loopback, ended by the id it was started with."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class ExporterProcess:
    """`mlcanary exporter` with the given flags. `address` is known once it listens."""

    def __init__(self, *flags: str, log: Path, entry: Sequence[str] = ("-m", "mlcanary")) -> None:
        """Start and wait until it listens; raises AssertionError with its log if it does not within 20 s.

        `entry`: what Python is to run, the package or a script that stands for it.
        """
        command = [sys.executable, *entry, "exporter", "--web.listen-address", "127.0.0.1:0", *flags]
        self.started = time.monotonic()
        self._log = log.open("ab")
        self._child = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
        self.pid = self._child.pid
        try:
            self.address = self._read_address()
        except AssertionError:
            self.kill()
            raise

    def _read_address(self) -> str:
        assert self._child.stderr is not None
        deadline, seen = time.monotonic() + 20, b""
        while time.monotonic() < deadline:
            if select.select([self._child.stderr], [], [], 0.2)[0]:
                chunk = os.read(self._child.stderr.fileno(), 65536)
                seen += chunk
                self._log.write(chunk)
                if found := re.search(rb"listening on (127\.0\.0\.1:\d+)", seen):
                    return found[1].decode()
                if not chunk:
                    break
        raise AssertionError(f"the exporter did not listen:\n{seen.decode()}")

    def get(self, path: str = "/metrics") -> str:
        """The body of a page."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def counters(self) -> Counters:
        """Every sample of the page by name and labels."""
        return parsed(self.get())

    def wait_for(self, wanted: Callable[[Counters], bool], seconds: float = 20.0) -> Counters:
        """The first page on which `wanted` holds; the last page if none does in time."""
        deadline = time.monotonic() + seconds
        while True:
            page = self.counters()
            if wanted(page) or time.monotonic() > deadline:
                return page
            self.pause(0.05)

    def pause(self, seconds: float) -> None:
        """Let time pass for the child; returns at once if it died."""
        try:
            self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return

    def kill(self) -> None:
        """SIGKILL: no clean-up of any kind."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM, as an orchestrator does; the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._child.poll() is None:
            os.killpg(self.pid, how)
        status = self._child.wait(timeout=20)
        if self._child.stderr is not None:
            self._log.write(self._child.stderr.read())
            self._child.stderr.close()
        self._log.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self._log.closed:
            self.kill()


def parsed(text: str) -> Counters:
    """Samples of a page in the text format."""
    found: Counters = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def total(counters: Counters, name: str, **labels: str) -> float:
    """Sum of a family over all samples that carry these labels."""
    wanted = set(labels.items())
    return sum(value for (found, have), value in counters.items() if found == name and wanted <= set(have))
