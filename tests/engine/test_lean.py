"""A process that is kept lean, in a process of its own: both settings last as long as it does."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import weakref

import pytest

from mlcanary.compiled import ARRAY_MEMORY, way_in_use
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


PIECES = """
import ctypes, sys, threading
import numpy as np
from mlcanary.lean import lean_arrays

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ord smb hblk hblkhd usm fsm used free keep".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo

def kept():
    before = mallinfo().used
    for size in range(1, 1024):
        pieces = [np.zeros(size, dtype=np.uint8) for _ in range(7)]
    del pieces
    return mallinfo().used - before

def run():
    if sys.argv[1] == "ours":
        print(lean_arrays())
    print(round(kept() / 1e6))

thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc tells what is in use")
@pytest.mark.skipif(ARRAY_MEMORY is None, reason=way_in_use())
@pytest.mark.parametrize(("whose", "said"), [("numpy's", "4\n"), ("ours", "True\n0\n")])
def test_small_arrays_that_went_are_not_kept(whose: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", PIECES, whose], capture_output=True, text=True, check=True)
    assert done.stdout == said


ARRAYS = """
import threading
import numpy as np
from mlcanary.lean import lean_arrays

before, seen = np.arange(1000.0), []

def run():
    seen.append(lean_arrays())
    before.resize(2000, refcheck=False)
    mine = np.arange(1000.0)
    mine.resize(500_000, refcheck=False)
    seen.extend([before, mine, np.zeros(0), np.zeros(3_000_000), mine.copy()])

thread = threading.Thread(target=run)
thread.start()
thread.join()
used, before, mine, empty, zeros, copy = seen
assert before[:1000].tolist() == mine[:1000].tolist() == copy[:1000].tolist() == [*map(float, range(1000))]
assert not before[1000:].any() and not mine[1000:].any() and not zeros.any() and not empty.any()
copy.resize(10, refcheck=False)
mine.resize(0, refcheck=False)
try:
    mine.resize(1 << 60, refcheck=False)
except MemoryError:
    print(used, copy.sum(), (before + before).sum())
del seen, before, mine, zeros, copy
"""


@pytest.mark.skipif(ARRAY_MEMORY is None, reason=way_in_use())
def test_arrays_grow_shrink_and_go_wherever_their_memory_is_from() -> None:
    done = subprocess.run([sys.executable, "-c", ARRAYS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True 45.0 999000.0\n"), done.stderr


def test_without_the_core_arrays_go_on_as_before() -> None:
    command = [sys.executable, "-c", "from mlcanary.lean import lean_arrays; print(lean_arrays())"]
    environment = os.environ | {"MLCANARY_CORE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.skipif(ARRAY_MEMORY is None, reason=way_in_use())
def test_what_is_no_table_of_numpy_is_refused() -> None:
    assert ARRAY_MEMORY is not None
    with pytest.raises(ValueError, match="PyCapsule"):
        ARRAY_MEMORY.use(object())
