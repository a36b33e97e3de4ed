"""A process that is kept lean, in a process of its own: both settings last as long as it does."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import weakref

import pytest

from mlcanary.lean import COLLECT_SECONDS, SpareMemory

SCRIPT = """
import ctypes, gc
from mlcanary.lean import keep_lean

called = []

class Library:
    def mallopt(self, parameter, value):
        called.append((parameter, value))

class Other:
    pass

ctypes.CDLL = lambda name: {library}()
keep_lean()
print(gc.get_threshold()[0], gc.get_freeze_count() > 1000, called)
"""


@pytest.mark.parametrize(
    ("library", "environment", "calls"),
    [
        ("Library", {}, "[(-8, 1), (-3, 1048576), (-1, 4194304)]"),
        ("Library", {"MALLOC_ARENA_MAX": "4"}, "[]"),
        ("Other", {}, "[]"),
    ],
)
def test_the_collector_rests_and_the_allocator_obeys_the_operator(
    library: str, environment: dict[str, str], calls: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", SCRIPT.replace("{library}", library)]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"10000 True {calls}\n"


def test_what_went_in_a_cycle_is_gone_now_and_then() -> None:
    class Mark:
        pass

    def cycle() -> weakref.ref[Mark]:
        mark = Mark()
        mark.__dict__["itself"] = mark
        return weakref.ref(mark)

    spare = SpareMemory()
    gc.disable()
    try:
        left = []
        for now in (0.0, COLLECT_SECONDS / 2, 1e6):
            found = cycle()
            spare.give_back(now)
            left.append(found() is not None)
    finally:
        gc.enable()
    assert left == [False, True, False]


HOLES = """
import ctypes
from pathlib import Path
from mlcanary.lean import TRIM_SECONDS, SpareMemory, keep_lean

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

keep_lean()
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
taken = [malloc(100_000) for _ in range(400)]
for address in taken:
    ctypes.memset(address, 1, 100_000)
for address in taken[::2]:
    free(address)
spare, seen = SpareMemory(), [resident()]
for now in (0.0, TRIM_SECONDS / 2, TRIM_SECONDS):
    spare.give_back(now)
    seen.append(resident())
    if now == 0.0:
        for address in taken[1::4]:
            free(address)
print([round((before - after) / 1e7) for before, after in zip(seen, seen[1:])])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can give back what lies inside its heap")
@pytest.mark.parametrize(
    ("environment", "megabytes"), [({}, "[2, 0, 1]"), ({"MALLOC_ARENA_MAX": "1"}, "[0, 0, 0]")], ids=["ours", "theirs"]
)
def test_holes_in_the_heap_go_back_now_and_then(environment: dict[str, str], megabytes: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", HOLES]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{megabytes}\n"
