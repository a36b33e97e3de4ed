"""What is fuzzed, and how one input is tried: the invariants that hold for every target stand here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CPU_SECONDS = 2.0
"""What one input may take in a campaign, of at most `mutations.LONGEST` bytes. Good ones take a tenth.

A campaign has a process of its own: inside a test run, the garbage of all tests before is collected on its time.
"""


class Broken(AssertionError):
    """An input that did something that no input may do."""


@dataclass(frozen=True)
class Target:
    """`attempt` takes any bytes and raises `Broken`, or what nobody promised, where an invariant does not hold.

    `seeds`: good inputs. `head`: how many of their first bytes choose what is tried. `words`: what a mutator should
    know. An attempt keeps nothing: the same input does the same thing again.
    """

    name: str
    attempt: Callable[[bytes], None]
    seeds: Sequence[bytes]
    head: int = 0
    words: Sequence[bytes] = ()

    def __call__(self, data: bytes) -> None:
        """Try one input in a campaign. Raises Broken also where it takes too long."""
        started = time.process_time()
        self.attempt(data)
        taken = time.process_time() - started
        demand(taken < CPU_SECONDS, f"took {taken:.1f} s of CPU time for {len(data)} bytes")


def demand(holds: bool, otherwise: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(otherwise)
