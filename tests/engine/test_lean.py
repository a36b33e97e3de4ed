"""A process that is kept lean, in a process of its own: both settings last as long as it does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
