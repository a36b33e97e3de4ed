"""Keeps a process of long life calm: less garbage collection, and memory that goes back to the system.

Guarantee: `keep_lean` changes speed and memory only; what the operator set by `MALLOC_...` variables stays. Call it
before any thread starts, with all modules loaded.
"""

from __future__ import annotations

import ctypes
import gc
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt(3)."""
_LARGE = 1 << 20
_SPARE = 4 << 20
"""Free memory at the end of the heap that is kept: arrays of a batch come and go there, and new pages cost time."""


def keep_lean() -> None:
    """Call once at the start."""
    calm_collector()
    _calm_allocator()


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
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _SPARE)):
            mallopt(parameter, value)
