"""What the tests of the client share: its lines read back, by plain JSON and by the exporter's own decoder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlcanary.client import Client
from mlcanary.formats.contract import Decoded
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan

EXPORTER = Path(__file__).parents[1] / "exporter"

WRITER = """
import sys
from mlcanary.client import Client
client = Client(sys.argv[1], max_bytes=20_000, keep=500, interval=0.001)
for i in range(int(sys.argv[2])):
    client.prediction({"x": i}, id=f"{sys.argv[3]}-{i}", score=0.5)
    if i % 50 == 0:
        client.flush()
"""
"""A process that records `argv[2]` predictions, ids `argv[3]-N`, into a log that is rotated often."""


def files_of(path: Path) -> list[Path]:
    """The log and its rotated files, oldest first."""
    rotated = sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: -int(p.suffix[1:]))
    return [*rotated, path]


def size_of(path: Path) -> int:
    """Bytes in the log and its rotated files, while writers may rename and remove them between two looks."""
    total = 0
    for file in files_of(path):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Every line of the log and its rotated files. Raises AssertionError for a line that is not whole."""
    found = []
    for file in files_of(path):
        data = file.read_bytes()
        assert not data or data.endswith(b"\n"), file
        found += [json.loads(line) for line in data.splitlines()]
    return found


def ids_of(path: Path) -> Counter[str]:
    """How often each id is in the log; lines about what was dropped have none."""
    return Counter(line["id"] for line in lines_of(path) if "id" in line)


def only(client: Client, path: Path) -> dict[str, Any]:
    """The one record that was written."""
    assert client.flush()
    (line,) = (line for line in lines_of(path) if line.get("kind") != "client")
    return line


def decoded(path: Path) -> Decoded:
    """The log as the exporter understands it."""
    return decoded_of(path.read_bytes())


def decoded_of(lines: bytes) -> Decoded:
    """Lines as the exporter understands them."""
    return NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(lines, time.time())


def wait_until(wanted: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll until `wanted` holds. Raises AssertionError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def server(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process with nothing but the standard library and this package, which runs `code`."""
    command = [sys.executable, "-S", "-c", code, *arguments]
    return subprocess.Popen(command, env={"PYTHONPATH": str(EXPORTER)}, stdout=subprocess.PIPE, text=True)


def output_of(code: str, *arguments: str) -> str:
    """What such a process prints; it must end well."""
    process = server(code, *arguments)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out
