"""Keeps a process of long life calm: less garbage collection, and memory that goes back to the system.

Guarantee: `keep_lean` changes speed and memory only; what the operator set by `MALLOC_...` variables stays. Call it
before any thread starts, with all modules loaded.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import time
from contextlib import suppress
from importlib import import_module

from mlcanary.compiled import ARRAY_MEMORY

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt(3)."""
_NUMPY = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
"""Where numpy 2 and 1 keep the table of functions that extensions ask for."""
_LARGE = 1 << 20
_SPARE = 4 << 20
"""Free memory at the end of the heap that is kept: arrays of a batch come and go there, and new pages cost time."""

TRIM_SECONDS = 2.0
"""Between two times at which free memory inside the heap is given back."""
COLLECT_SECONDS = 10.0
"""Between two times at which Python gives back what it keeps of things that went, and looks for cycles among them."""
_REST = 1000
"""How many times as long as a collection the next one waits at least: a wide model has more to look through."""


class SpareMemory:
    """Gives memory that is free inside the process back to the system now and then.

    Guarantee: what is resident follows what is in use, also where small things that stay lie between large ones that
    went; without it, a busy hour is seen for ever. Python keeps up to 2,000 freed tuples of each length, some 5 MB,
    which fill over millions of records and are emptied only by a full collection, and as `calm_collector` has it, none
    comes by itself where ingest makes no cycles. Cost: a millisecond, and new pages for what comes next; a collection
    takes 3 to 10 ms, and at most a thousandth of the time. The C library's memory stays where it has no such call, or
    where the operator has set `MALLOC_...` variables.
    """

    def __init__(self) -> None:
        self._trim = None if _set_by_operator() else getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._next_trim = self._next_collection = -math.inf

    def give_back(self, now: float) -> None:
        """To be called often; `now`: seconds that only grow."""
        if now >= self._next_collection:
            begun = time.perf_counter()
            gc.collect()
            self._next_collection = now + max(COLLECT_SECONDS, _REST * (time.perf_counter() - begun))
        if self._trim is not None and now >= self._next_trim:
            self._next_trim = now + TRIM_SECONDS
            self._trim(ctypes.c_size_t(0))


def keep_lean() -> None:
    """Call once at the start."""
    calm_collector()
    _calm_allocator()


def lean_arrays() -> bool:
    """Have the arrays that this thread makes take their memory from the C library; False where they go on as before.

    numpy keeps up to seven freed pieces of every size below 1,024 bytes. Over millions of records, some MB of them
    come to lie where nothing else is, and hold the pages of large arrays that went. Needs the compiled core.
    """
    if ARRAY_MEMORY is None:
        return False
    for name in _NUMPY:
        with suppress(ModuleNotFoundError):
            return bool(ARRAY_MEMORY.use(import_module(name)._ARRAY_API))
    return False


def calm_collector() -> None:
    """Have the garbage collector look less often: a block of lines makes thousands of tuples, and hardly any cycle.

    At the usual threshold, looking at them is a tenth of the work of ingest.
    """
    gc.collect()
    gc.freeze()  # modules live as long as the process: no collection need look at them again
    gc.set_threshold(10_000, 20, 20)


def _calm_allocator() -> None:
    """One arena for all threads, as one of them does nearly all the work, and large blocks given back when free.

    Without it, glibc keeps some 20 MB more than what is in use. Other C libraries have no such call.
    """
    if _set_by_operator():
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _SPARE)):
            mallopt(parameter, value)


def _set_by_operator() -> bool:
    return any(name.startswith("MALLOC_") for name in os.environ)
