"""What the files of one source share while they are followed."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from mlcanary.sources.generation import ReadBuffer
from mlcanary.sources.history import DirectoryListing


@dataclass(frozen=True, slots=True)
class Surroundings:
    """For every tail of a source. `clock` is Unix seconds; `others` holds the followed paths."""

    buffer: ReadBuffer
    listing: DirectoryListing
    clock: Callable[[], float]
    others: Container[str]
    settle_seconds: float
    complete: bool
