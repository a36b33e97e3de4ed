"""What the judge adds to a replay: records per second of CPU time of `replay --judge` and of `replay`, in turn.

Run as `python tests/bench/judged_replay.py [SECONDS [ROUNDS]]`: one line of JSON. A log of `SECONDS` at 40 requests a
second, two versions, three features, and a label a minute later on a line of its own: `records` are both. The judge
looks every 30 s of the log, so its share falls with the rate of the log: `looks` says how often it did.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from mlcanary.judge.settings import parse_settings  # noqa: E402
from mlcanary.judged_replay.run import judged_replay  # noqa: E402
from mlcanary.replay import replay  # noqa: E402
from mlcanary.settings import Flags, load_settings  # noqa: E402
from released_log import CONFIGURATION, EPOCH, ReleasedLog  # noqa: E402 - beside the tests, not installed

REQUESTS = 40.0


def cpu(what: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    gc.collect()
    began = time.process_time()
    what()
    return time.process_time() - began


def main(seconds: float, rounds: int) -> None:
    """See the module."""
    lines = ReleasedLog(1, seconds=seconds, requests=REQUESTS).lines()
    with tempfile.TemporaryDirectory() as name:
        log, config = Path(name) / "log.jsonl", Path(name) / "exporter.yml"
        log.write_bytes(b"".join(line for _, line in lines))
        config.write_text(CONFIGURATION)
        settings = load_settings(Flags(config_file=config, log_paths=[str(log)]))
        judge, now = parse_settings("", "defaults", "http://127.0.0.1:9090"), EPOCH + seconds + 3600.0
        looks = judged_replay(settings, judge, now).looks  # both are warm after this
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            taken[0].append(cpu(lambda: replay(settings, now)))
            taken[1].append(cpu(lambda: judged_replay(settings, judge, now)))
    plain, judged = (len(lines) / median(each) for each in taken)
    found = {"records": len(lines), "looks": looks, "plain": round(plain), "judged": round(judged)}
    print(json.dumps(found | {"ratio": round(plain / judged, 1)}))


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(float(given.get(1, 900.0)), int(given.get(2, 3)))
