"""What every durable memory of ours shares: one process holds the file, and a write is all or nothing.

Guarantee: a lock of the operating system ends with the process that holds it, however it ends. A transaction takes the
write lock at its start; what fails leaves nothing behind and blocks nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from mlcanary.errors import StateError

Checkpoint = Callable[[str], None]
"""Told the name of each moment at which a process may be killed; nothing in production."""


def lock(path: Path) -> int | None:
    """A descriptor that holds `path` as long as it is open; None while another process does. Raises StateError."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{path}.lock: {error.strerror}", hint="check --state.path") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def transaction(
    db: sqlite3.Connection, name: str, checkpoint: Checkpoint, failed: Callable[[sqlite3.Error], StateError]
) -> Iterator[None]:
    """One write. Raises what `failed` makes of an error of the store."""
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            db.execute("ROLLBACK")
            raise
        checkpoint(f"before commit {name}")
        db.execute("COMMIT")
        checkpoint(f"after commit {name}")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            if db.in_transaction:  # a commit that failed may leave it open, and block every later one
                db.execute("ROLLBACK")
        raise failed(error) from error


def sync_directory(path: Path) -> None:
    """Have names that were made, moved or removed in a directory outlive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
