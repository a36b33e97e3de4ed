"""Forks, exits and kills: whose records are whose, and which are kept."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

from client_world import ids_of, lines_of, output_of, server

PREFORK = """
import os, sys, threading
from mlcanary.client import Client
client = Client(sys.argv[1], interval=0.001)
client.prediction({"x": 0}, id="parent-before")
client.flush()
busy = threading.Event()
def more():
    while not busy.is_set():
        client.prediction({"x": 1})
noise = threading.Thread(target=more)   # forks while another thread records and the client's own one writes
noise.start()
children = []
for n in range(4):
    pid = os.fork()
    if not pid:
        made = [client.prediction({"x": i}) for i in range(100)]
        client.label(f"child-{n}", n)
        client.close()
        sent = client.stats().sent
        os.write(1, (f"{sent} {made[0]}" + chr(10)).encode())
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
busy.set()
noise.join()
assert client.flush(30)
client.prediction({"x": 2}, id="parent-after")
"""

EXITS = """
import sys
from mlcanary.client import Client
client = Client(sys.argv[1], interval=600)
for i in range(100):
    client.prediction({"x": i}, id=f"r-{i}")
{end}
"""


def test_after_a_fork_each_process_has_its_own_records_and_ids(tmp_path: Path) -> None:
    path = tmp_path / "log"
    children = output_of(PREFORK, str(path)).split()
    assert children[::2] == ["101"] * 4
    prefixes = {made.partition("-")[0] for made in children[1::2]}
    assert len(prefixes) == 4
    found = ids_of(path)
    assert found.most_common(1)[0][1] == 1
    assert {"parent-before", "parent-after", *(f"child-{n}" for n in range(4))} <= set(found)
    for prefix in prefixes:
        assert sum(each.startswith(f"{prefix}-") for each in found) == 100


def test_what_waits_is_sent_at_every_tidy_exit(tmp_path: Path) -> None:
    for number, end in enumerate(("", "sys.exit(3)", "raise RuntimeError", "client.close()")):
        path = tmp_path / f"log{number}"
        process = server("import sys; sys.stderr = None" + EXITS.replace("{end}", end), str(path))
        process.communicate(timeout=60)
        assert Counter(line["id"] for line in lines_of(path)) == Counter(f"r-{i}" for i in range(100)), end


def test_a_kill_loses_what_waited_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    end = "client.flush(); client.prediction({}, id='lost'); print('ready', flush=True); signal.pause()"
    code = "import signal" + EXITS.replace("{end}", end)
    process = server(code, str(path))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert {line["id"] for line in lines_of(path)} == {f"r-{i}" for i in range(100)}


def test_it_needs_the_standard_library_only() -> None:
    """In an interpreter that has nothing else: no site-packages, no other part of mlcanary."""
    code = """
import json, sys
import mlcanary.client
print(json.dumps([[name, getattr(module, "__file__", None) or ""] for name, module in sys.modules.items()]))
"""
    loaded = dict(json.loads(output_of(code)))
    assert "mlcanary.client" in loaded
    assert {name for name in loaded if name.startswith("mlcanary") and not name.startswith("mlcanary.client")} == {
        "mlcanary"
    }
    assert [name for name, file in loaded.items() if "site-packages" in file] == []
