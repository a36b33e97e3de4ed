"""What every sink of the client promises: where encoded lines go, and how it says that they did not."""

from __future__ import annotations

from typing import Protocol

PREDICTIONS, LABELS = "predictions", "labels"
"""The two kinds of lines. A file takes both; the exporter has one address for each."""


class Unsent(Exception):
    """Nothing went, or only some lines: try `rest` again, not before `retry_after` seconds."""

    def __init__(self, message: str, rest: bytes, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.rest = rest
        self.retry_after = retry_after


class Refused(Exception):
    """The receiver will never take these lines: trying again is of no use."""


class Sink(Protocol):
    """Takes complete lines from one thread of one process."""

    def send(self, kind: str, lines: bytes) -> None:
        """Store whole lines of a kind. Raises Unsent or Refused."""

    def forget(self) -> None:
        """After a fork, in the child: let go of what belongs to the parent without touching what it sees."""

    def close(self) -> None:
        """Release everything; `send` may be called again and opens it anew."""
