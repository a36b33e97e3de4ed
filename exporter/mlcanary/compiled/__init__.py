"""The compiled core, where there is one: plain native lines to arrays, the table of remembered ids, memory of arrays.

Guarantee: whatever counts lines counts the same without it, only slower. It is built with the package where a C
compiler is, and looked for once, at import; `MLCANARY_CORE=0` in the environment leaves it out.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

SWITCH = "MLCANARY_CORE"


_MODULES = ("_plain_lines", "_id_table", "_array_memory")


def _found() -> tuple[tuple[ModuleType | None, ...], str]:
    none = (None,) * len(_MODULES)
    if os.environ.get(SWITCH) == "0":
        return none, f"switched off by {SWITCH}=0"
    try:
        return tuple(import_module(f"mlcanary.compiled.{name}") for name in _MODULES), ""
    except ModuleNotFoundError:
        return none, "not built: no C compiler or no Python.h when the package was installed"
    except ImportError as error:
        return none, f"it does not load: {error}"


(CORE, ID_TABLE, ARRAY_MEMORY), MISSING = _found()
"""The modules `_plain_lines`, `_id_table` and `_array_memory`, or None all of them, and why."""


def way_in_use() -> str:
    """How plain lines are decoded, for people.

    >>> way_in_use().split(":")[0] in ("compiled core", "Python")
    True
    """
    return "compiled core" if CORE is not None else f"Python: compiled core {MISSING}"
