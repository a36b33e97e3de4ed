"""One link of the chain, and what was found there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """`what` was found, and the `remedy` if it is not sound."""

    name: str
    sound: bool
    what: str
    remedy: str = ""


def good(name: str, what: str) -> Link:
    """A link that holds."""
    return Link(name, True, what)


def bad(name: str, what: str, remedy: str) -> Link:
    """A link that is broken or cannot be seen."""
    return Link(name, False, what, remedy)
