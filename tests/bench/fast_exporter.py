"""The exporter under a clock that runs fast, so that long windows fill soon: FACTOR, FILE, then its own arguments.

FILE: a line every half second, the bytes that its C library has handed out and not got back (small things of Python lie
elsewhere), and how many blocks Python has. What is resident is more: the holes between them.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 0.5


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


def _tell(path: Path) -> None:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    with path.open("w", encoding="utf-8") as file:
        while True:
            time.sleep(EVERY_SECONDS)
            now = mallinfo()
            print(now.uordblks + now.hblkhd, sys.getallocatedblocks(), file=file, flush=True)


def main() -> None:
    """Take the first arguments and hand on the rest."""
    factor, told, real, begun = float(sys.argv.pop(1)), Path(sys.argv.pop(1)), time.time, time.time()
    time.time = lambda: begun + (real() - begun) * factor
    from mlcanary.cli.main import main as command  # noqa: PLC0415 - what it imports must find this clock

    if hasattr(ctypes.CDLL(None), "mallinfo2"):
        threading.Thread(target=_tell, args=(told,), daemon=True).start()
    command()


if __name__ == "__main__":
    main()
