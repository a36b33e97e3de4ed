"""Free loopback ports for programs that are told their port before they start; test processes run side by side."""

from __future__ import annotations

import atexit
import itertools
import socket

# Below Linux' ephemeral ports (32768 and up): no outgoing connection and no bind to port 0 ever takes one of these.
_FIRST, _SIZE, _BLOCKS = 20_000, 100, 120
_mine: tuple[socket.socket, itertools.cycle[int]] | None = None


def free_port() -> int:
    """A loopback port that nobody listens on and that no other test process is given before this one ends.

    Each process owns a block of ports, held by a socket of the abstract namespace, which the kernel frees with the
    process. A port comes round again after the other 99 of the block.
    """
    global _mine  # noqa: PLW0603  one block per process
    if _mine is None:
        _mine = _own_block()
    for port in itertools.islice(_mine[1], _SIZE):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"nothing free among {_SIZE} loopback ports: what listens there? (ss -ltn)")


def _own_block() -> tuple[socket.socket, itertools.cycle[int]]:
    for block in range(_BLOCKS):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0mlcanary-test-ports-{block}")
        except OSError:
            claim.close()
            continue
        atexit.register(claim.close)
        first = _FIRST + block * _SIZE
        return claim, itertools.cycle(range(first, first + _SIZE))
    raise AssertionError(f"{_BLOCKS} test processes hold all blocks of ports")
