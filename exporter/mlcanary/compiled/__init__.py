"""The compiled core, where there is one: plain native lines from bytes to arrays, and the table of remembered ids.

Guarantee: whatever counts lines counts the same without it, only slower. It is built with the package where a C
compiler is, and looked for once, at import; `MLCANARY_CORE=0` in the environment leaves it out.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

SWITCH = "MLCANARY_CORE"


def _found() -> tuple[ModuleType | None, ModuleType | None, str]:
    if os.environ.get(SWITCH) == "0":
        return None, None, f"switched off by {SWITCH}=0"
    try:
        lines, table = (import_module(f"mlcanary.compiled.{name}") for name in ("_plain_lines", "_id_table"))
    except ModuleNotFoundError:
        return None, None, "not built: no C compiler or no Python.h when the package was installed"
    except ImportError as error:
        return None, None, f"it does not load: {error}"
    return lines, table, ""


CORE, ID_TABLE, MISSING = _found()
"""The modules `_plain_lines` and `_id_table`, or None both, and why."""


def way_in_use() -> str:
    """How plain lines are decoded, for people.

    >>> way_in_use().split(":")[0] in ("compiled core", "Python")
    True
    """
    return "compiled core" if CORE is not None else f"Python: compiled core {MISSING}"
