"""Runs judges that kill themselves: an order as JSON on stdin, the exit codes of the processes as JSON on stdout.

An order is `directory`, `seed` and `kills`: at which checkpoint each process sends itself SIGKILL, as a power cut
would. The last process runs to the end. Processes are forked, so that all of them cost one start of Python.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from judge_replay import NOW, look, release, start
from judged_release import MemoryPrometheus, scraped


def child(prometheus: MemoryPrometheus, directory: Path, kill: int) -> None:
    """Be the judge until the checkpoint of this number, 0: to the end of the release."""
    left = kill

    def checkpoint(_name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    judge = start(prometheus, directory, checkpoint)
    for second in NOW:  # a clock that begins anew with each process: what was judged is not judged again
        look(judge, prometheus, second)
    os._exit(0)  # without a clean stop


def main() -> None:
    """Serve the order."""
    order = json.loads(sys.stdin.read())
    prometheus = scraped(release(order["seed"]))
    ends = []
    for kill in [*order["kills"], 0]:
        pid = os.fork()
        if pid == 0:
            child(prometheus, Path(order["directory"]), kill)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
