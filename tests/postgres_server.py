"""A PostgreSQL of its own, reached by a socket in a new folder; it refuses to run as root, so root lends it a user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg

_BINARIES = Path("/usr/lib/postgresql")


def binaries() -> Path | None:
    """Where the server's programs lie, the newest version's; None if there are none."""
    found = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresServer:
    """Use as a context manager."""

    def __init__(self) -> None:
        folder = binaries()
        assert folder is not None, "no PostgreSQL: apt-get install postgresql"
        self._binaries = folder
        self._directory = Path(tempfile.mkdtemp(prefix="mlcanary-postgres-"))
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._directory, user.pw_uid, user.pw_gid)
            self._who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = str(self._directory / "data")
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"],
            check=True,
            capture_output=True,
            cwd=self._directory,
            **self._who,
        )
        self.url = f"postgresql://postgres@/postgres?host={self._directory}"
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        flags = ["-k", str(self._directory), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=1MB"]
        self._child = subprocess.Popen(
            [self._binaries / "postgres", "-D", str(self._directory / "data"), *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._directory,
            start_new_session=True,
            **self._who,
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, "postgres does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str, *values: Any) -> None:
        """Run and commit."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def stop(self) -> None:
        """Cut every connection and end."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGQUIT)
        self._child.wait(timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        shutil.rmtree(self._directory)
