"""What something costs, counted and not timed: the figure is the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def calls(attempt: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, int]:
    """What it returns, and how many Python and C functions are called for it, in this thread.

    It sees what grows with the square in our code; not what a single call of a library costs.
    """
    count = 0

    def seen(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        found = attempt(*args, **kwargs)
    finally:
        sys.setprofile(before)
    return found, count
