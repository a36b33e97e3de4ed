"""The process tree of a real child against the kernel's own files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlcanary.catalog import BY_NAME, INDICATORS
from mlcanary.records import Sample
from mlcanary.resources.gpu import Gpus
from mlcanary.resources.processes import ProcessTree
from mlcanary.resources.server import ModelServer, read_pid
from model_server_process import ModelServerProcess

METRICS = {row.name: f"mlcanary_{row.metric}" for row in INDICATORS}
TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModelServerProcess]:
    with ModelServerProcess(tmp_path) as running:
        yield running


def shown(tree: ProcessTree) -> dict[str, float]:
    """Values by family."""
    return {sample.name: sample.value for sample in tree.samples(tree.processes())}


def kernel(pid: int, file: str, field: str) -> int:
    """A number from a file such as /proc/PID/status."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def test_every_figure_is_the_sum_over_server_and_worker(server: ModelServerProcess) -> None:
    pids = (server.pid, server.worker)
    server.do("write")
    found = shown(ProcessTree(lambda: server.pid))
    expected = {
        METRICS["threads of the model server"]: sum(kernel(pid, "status", "Threads") for pid in pids),
        METRICS["open files of the model server"]: sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        METRICS["bytes read by the model server"]: sum(kernel(pid, "io", "read_bytes") for pid in pids),
        METRICS["bytes written by the model server"]: sum(kernel(pid, "io", "write_bytes") for pid in pids),
        "mlcanary_model_server_process_processes": 2,
    }
    assert {name: found[name] for name in expected} == expected
    assert found[METRICS["threads of the model server"]] == 8
    statm = [Path(f"/proc/{pid}/statm").read_text().split() for pid in pids]
    memory = METRICS["memory of the model server"]
    assert found[memory] == pytest.approx(sum(int(fields[1]) for fields in statm) * PAGE, rel=0.02)
    virtual = sum(int(fields[0]) for fields in statm) * PAGE
    assert found["mlcanary_model_server_process_virtual_memory_bytes"] == virtual
    ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    cpu = sum(int(tick) for fields in ticks for tick in fields[11:15]) * TICK
    assert found[METRICS["CPU of the model server"]] == pytest.approx(cpu, abs=2 * TICK)


def test_what_an_ended_worker_used_stays_counted(server: ModelServerProcess) -> None:
    tree, cpu = ProcessTree(lambda: server.pid), METRICS["CPU of the model server"]
    before = shown(tree)
    server.do("short")
    after = shown(tree)
    assert after[cpu] - before[cpu] >= 0.25
    assert after["mlcanary_model_server_process_processes"] == 2
    totals = [name for name in after if name.endswith("_total")]
    assert all(after[name] >= before[name] for name in totals)


def test_nothing_is_shown_of_a_process_that_is_gone(tmp_path: Path) -> None:
    pid_file = tmp_path / "server.pid"
    tree = ModelServer(lambda: read_pid(str(pid_file)), gpus=Gpus(None))
    assert list(tree.samples()) == []
    with ModelServerProcess(tmp_path) as first:
        pid_file.write_text(f"{first.pid}\n")
        assert list(tree.samples())
        first.end()
        assert list(tree.samples()) == []
    pid_file.write_text("")
    assert list(tree.samples()) == []
    with ModelServerProcess(tmp_path) as second:
        pid_file.write_text(f"{second.pid}\n")
        assert list(tree.samples()), "a restarted server has another PID, and its file tells"


def test_a_zombie_is_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # it has ended, or is about to; nobody has reaped it
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert shown(ProcessTree(lambda: child.pid)) == {}
    child.stdout.close()
    child.wait()


class Reticent:
    """This process, which tells its I/O and descriptors to nobody and has just ended when it is asked for threads."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_arguments: object) -> None:
            raise psutil.NoSuchProcess(1) if name == "num_threads" else psutil.AccessDenied(1)

        refused = {"io_counters", "num_fds", "num_threads"}
        return refuse if name in refused else getattr(psutil.Process(), name)


def test_what_one_process_will_not_tell_is_absent_and_not_a_part_of_the_sum() -> None:
    other = psutil.Process()
    found = {s.name: s.value for s in ProcessTree(os.getpid).samples([other, Reticent()])}
    untold = ("open files of", "bytes read by", "bytes written by")
    assert not {METRICS[f"{what} the model server"] for what in untold} & set(found)
    assert found[METRICS["threads of the model server"]] == other.num_threads()
    assert found[METRICS["memory of the model server"]] > other.memory_info().rss


def test_samples_fit_the_catalogue(server: ModelServerProcess) -> None:
    samples: list[Sample] = list(ModelServer(lambda: server.pid, gpus=Gpus(None)).samples())
    assert len({(s.name, s.labels) for s in samples}) == len(samples)
    assert all(len(BY_NAME[s.name].labels) == len(s.labels) for s in samples)
