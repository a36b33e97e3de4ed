"""Keeps a process small that uses pyarrow beside other work.

Guarantee: after `keep_small`, pyarrow takes pandas for absent, unless it was loaded before; the rest of the process can
still import it. pyarrow imports pandas, where it is installed, to find out whether a list is one of its objects: half a
second and 50 MB for an answer that is always no. Memory of arrays comes from the allocator of the system, whose free
blocks Python and numpy share: some 12 MB less than with a pool of its own.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """Finds that there is no pandas."""

    def find_spec(self, fullname: str, *_where: object) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)
        return None


def keep_small() -> None:
    """For processes that never hand pandas objects to pyarrow."""
    pa.set_memory_pool(pa.system_memory_pool())
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([1.0])  # it looks once
    finally:
        sys.meta_path.remove(finder)
