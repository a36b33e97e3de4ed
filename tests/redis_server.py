"""A Redis of its own on a free loopback port, whose append-only file survives a kill."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import redis

from own_ports import free_port


class RedisServer:
    """Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client = redis.Redis(port=self._port, protocol=2)
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        # `always`: what it acknowledged is on the disk.
        flags = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", ""]
        flags += ["--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"]
        self._child = subprocess.Popen(["redis-server", *flags], stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()
        self._child.wait(timeout=20)

    def add(self, stream: str, values: Iterable[bytes]) -> None:
        """Append entries whose field `data` holds a value."""
        with self.client.pipeline(transaction=False) as pipe:
            for value in values:
                pipe.xadd(stream, {"data": value})
            pipe.execute()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.client.close()
        self.kill()
