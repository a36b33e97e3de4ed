"""The control group, on made folders and on the real /proc of a real child."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcanary.catalog import INDICATORS
from mlcanary.resources.cgroup import ControlGroup
from model_server_process import ModelServerProcess

METRICS = {row.name: f"mlcanary_{row.metric}" for row in INDICATORS}
PREFIX = "mlcanary_model_server_cgroup_"
FILES = {
    "cgroup.type": "domain\n",
    "cpu.stat": "usage_usec 12500000\nuser_usec 1\nnr_periods 70\nnr_throttled 7\nthrottled_usec 350000\n",
    "memory.current": "1048576\n",
    "memory.max": "2097152\n",
    "io.stat": "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=2 rios=1\n7:0 \n",
}
SHOWN = {
    "cpu_seconds_total": 12.5,
    "cpu_throttled_seconds_total": 0.35,
    "cpu_periods_total": 70.0,
    "cpu_throttled_periods_total": 7.0,
    "memory_bytes": 1048576.0,
    "memory_limit_bytes": 2097152.0,
    "read_bytes_total": 111.0,
    "written_bytes_total": 22.0,
}


def write(folder: Path, **changes: str | None) -> None:
    """The files of a group, some of them changed or left out; `cpu_stat` stands for cpu.stat."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | {name.replace("_", "."): text for name, text in changes.items()}).items():
        if text is not None:
            (folder / name).write_text(text)


def group(tmp_path: Path, line: str = "0::/kube/pod-1/server") -> ControlGroup:
    """A group reader over made folders; PID 7 is in the group of `line`."""
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "cgroup").write_text(line + "\n")
    return ControlGroup(tmp_path / "proc", tmp_path / "cgroup")


def shown(reader: ControlGroup, pid: int = 7) -> dict[str, float]:
    """Values by family, without the prefix."""
    return {sample.name.removeprefix(PREFIX): sample.value for sample in reader.samples(pid)}


def test_every_figure_of_a_group(tmp_path: Path) -> None:
    write(tmp_path / "cgroup" / "kube" / "pod-1" / "server")
    found = shown(group(tmp_path))
    assert found == SHOWN
    assert METRICS["CPU throttling of the model server"].removeprefix(PREFIX) in found


def test_the_group_is_found_beside_those_of_version_one(tmp_path: Path) -> None:
    write(tmp_path / "cgroup" / "unified" / "server")
    assert shown(group(tmp_path, "4:memory:/elsewhere\n1:cpu:/\n0::/server")) == SHOWN


def test_what_a_group_does_not_hold_is_absent(tmp_path: Path) -> None:
    write(tmp_path / "cgroup" / "s", memory_max="max\n", io_stat="", cpu_stat="usage_usec 1000000\n")
    assert shown(group(tmp_path, "0::/s")) == {"cpu_seconds_total": 1.0, "memory_bytes": 1048576.0}


def test_broken_files_show_nothing(tmp_path: Path) -> None:
    broken = {"memory_max": "", "memory_current": "-1", "io_stat": "8:0 rbytes= x", "cpu_stat": "usage_usec\n"}
    write(tmp_path / "cgroup" / "s", **broken)
    assert shown(group(tmp_path, "0::/s")) == {}


@pytest.mark.parametrize("line", ["0::/", "0::/../../elsewhere", "0::/nowhere", "1:cpu:/s", "", "0::"])
def test_no_other_group_is_taken_for_that_of_the_server(tmp_path: Path, line: str) -> None:
    """The root group is the whole machine; `..` is what the kernel shows of a group outside of our namespace."""
    write(tmp_path / "cgroup", cgroup_type=None)
    write(tmp_path / "elsewhere")
    assert shown(group(tmp_path, line)) == {}
    assert shown(ControlGroup(tmp_path / "none", tmp_path / "none")) == {}


def test_the_real_child_is_in_the_group_that_the_kernel_names(tmp_path: Path) -> None:
    with ModelServerProcess(tmp_path) as server:
        lines = Path(f"/proc/{server.pid}/cgroup").read_text().splitlines()
        named = [line.split("::", 1)[1] for line in lines if line.startswith("0::")]
        for path in named:
            write(Path(os.path.normpath(f"{tmp_path}/cgroup/{path}")))
        assert shown(ControlGroup(root=tmp_path / "cgroup"), server.pid) == (SHOWN if named else {})
        folder = ControlGroup().folder(server.pid)
        real = shown(ControlGroup(), server.pid)
        assert (folder is None) == (real == {})
        if folder is not None:
            usage = int((folder / "cpu.stat").read_text().split()[1]) / 1e6
            assert 0 < real["cpu_seconds_total"] <= usage
