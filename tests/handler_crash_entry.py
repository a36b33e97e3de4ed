"""Starts handlers that kill themselves: `python handler_crash_entry.py`, one order per line on stdin.

An order is JSON: directory, port, and `kill`, the name of a checkpoint (empty: none). The process forks, so
that sixty handlers cost one start of Python. Each child is the real handler, from its configuration file to
its ledger; at the checkpoint it sends itself SIGKILL, as a power cut would. The parent answers each order
with the child's process id, and a second line with its wait status once it has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from handler_service import QUICK
from mlcanary.handler.service import RunOptions, serve
from mlcanary.handler.settings import load_settings


def child(order: dict[str, str]) -> None:
    """Be the handler until the checkpoint, or until SIGTERM."""
    directory = Path(order["directory"])

    def checkpoint(name: str) -> None:
        if name == order["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)

    options = RunOptions(
        state_path=directory / "handler.sqlite",
        listen=(f"127.0.0.1:{order['port']}",),
        web_config_file=None,
        clock=time.time,
        new_id=lambda: secrets.token_hex(8),
        checkpoint=checkpoint,
        pace=QUICK,
    )
    config = directory / "handler.yml"
    asyncio.run(serve(load_settings(config), options, lambda: load_settings(config), lambda _bound: None))


def main() -> None:
    """Serve orders, one at a time."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            child(json.loads(line))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
