"""Pushes at a fixed rate to a real exporter: answers, latency, what is left unread, what it costs, and what counts.

    python tests/bench/push.py [RECORDS_PER_SECOND [SECONDS [BATCH]]]        5000 for 20 seconds in batches of 100

Records are those of `bench_records`: 700 bytes, 25 features, shuffled keys, with a late label each. A batch is due at a
fixed time and is sent late rather than left out, so that a slow exporter shows as latency; it is tried again after 429
and 503. The generator is this process, over CONNECTIONS connections; the exporter has a state file and default
intervals. In the end every record must count once. A rate of 0 pushes as fast as it is answered.
"""

from __future__ import annotations

import http.client
import queue
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from bench_records import lines  # noqa: E402 - beside this folder, not installed

from exporter_process import ExporterProcess, total  # noqa: E402

CONNECTIONS = 4


@dataclass
class Figures:
    """What a run showed. Times in seconds."""

    records: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    late: float = 0.0
    memory: list[int] = field(default_factory=list)
    cpu: float = 0.0
    own_cpu: float = 0.0
    counted: float = 0.0
    unread_after: float = 0.0


def batches(predictions: int, size: int) -> Iterator[tuple[bytes, int]]:
    """Bodies, and how many predictions are in each; labels come with them."""
    made = lines(predictions, time.time(), 5000.0)
    while body := list(islice(made, size)):
        yield b"".join(body), sum(b'"label"' not in line for line in body)


def send(address: str, work: queue.SimpleQueue[tuple[float, bytes] | None], figures: Figures, begin: float) -> None:
    """Post what is in the queue, each batch when it is due."""
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {"Content-Type": "application/x-ndjson"}
    while (job := work.get()) is not None:
        due, body = job
        time.sleep(max(0.0, begin + due - time.monotonic()))
        figures.late = max(figures.late, time.monotonic() - begin - due if due else 0.0)
        while True:
            started = time.monotonic()
            connection.request("POST", "/v1/predictions", body, headers)
            answer = connection.getresponse()
            answer.read()
            figures.latencies.append(time.monotonic() - started)
            figures.statuses[answer.status] += 1
            if answer.status == 202:
                break
            time.sleep(float(answer.headers["Retry-After"]))
    connection.close()


def run(rate: float, seconds: float, size: int) -> Figures:
    """Records of predictions and labels together come at `rate`."""
    figures = Figures()
    bodies = list(batches(int((rate or 20_000) * seconds / 2), size))
    work: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()
    for i, (body, _) in enumerate(bodies):
        work.put((i * size / rate if rate else 0.0, body))
    predictions = sum(number for _, number in bodies)
    figures.records = sum(body.count(b"\n") for body, _ in bodies)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        flags = ("--push", "--state.path", str(place / "state.db"))
        with ExporterProcess(*flags, log=place / "exporter.log") as exporter:
            process, own = psutil.Process(exporter.pid), time.process_time()
            before = process.cpu_times()
            begin = time.monotonic()
            threads = [
                threading.Thread(target=send, args=(exporter.address, work, figures, begin)) for _ in range(CONNECTIONS)
            ]
            for thread in threads:
                work.put(None)
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    figures.memory.append(process.memory_info().rss)
                    thread.join(0.5)
            figures.seconds = time.monotonic() - begin
            figures.own_cpu = time.process_time() - own
            after = process.cpu_times()
            figures.cpu = after.user + after.system - before.user - before.system
            page = exporter.wait_for(lambda page: total(page, "mlcanary_predictions_total") >= predictions, 120.0)
            figures.unread_after = time.monotonic() - begin - figures.seconds
            figures.counted = total(page, "mlcanary_predictions_total") / predictions
    return figures


def main() -> int:
    """Print the figures; status 1 if not every record counted once, or one was refused."""
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 5000.0
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    size = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    found = run(rate, seconds, size)
    latencies = sorted(found.latencies)
    print(f"records            {found.records}, {found.records / found.seconds:,.0f} a second, batches of {size}")
    print(f"answers            {dict(found.statuses)}")
    print(f"latency            p50 {latencies[len(latencies) // 2] * 1e3:.1f} ms")
    print(
        f"                   p99 {latencies[int(len(latencies) * 0.99)] * 1e3:.1f} ms, max {latencies[-1] * 1e3:.1f} ms"
    )
    print(f"latest start       {found.late * 1e3:.0f} ms after it was due")
    print(
        f"CPU of exporter    {found.cpu / found.seconds:.2f} cores, {found.cpu / found.records * 1e6:.1f} us a record"
    )
    print(f"CPU of generator   {found.own_cpu / found.seconds:.2f} cores")
    print(f"resident           {max(found.memory) / 2**20:.0f} MB at most")
    print(f"on the page        {found.unread_after:.1f} s after the last answer; counted / sent: {found.counted:g}")
    return 0 if found.counted == 1.0 and set(found.statuses) == {202} else 1


if __name__ == "__main__":
    sys.exit(main())
