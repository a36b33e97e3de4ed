"""The Makefile and the set-up script: what they say to somebody on a bare machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVERS = (
    *("haproxy", "kubectl", "nginx", "chromium", "redis-server", "nats-server", "pg_ctlcluster"),
    "systemd-analyze",
)
TOOLS = ("sh", "dirname", "tr", "cat", "touch")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout without virtual environment, and `bin` with no more than a shell's own tools, not as root."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / ".ci" / "setup")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    program(tmp_path, "id", "echo 1000")
    return tmp_path


def program(bare: Path, name: str, script: str = "exit 0") -> None:
    path = bare / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def set_up(bare: Path, *what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(bare / ".ci" / "setup"), *what],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        env={"PATH": str(bare / "bin"), **environment},
        check=False,
    )


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make"], capture_output=True, text=True, timeout=30, cwd=ROOT, check=True)
    names = [line.split()[1] for line in done.stdout.splitlines()]
    wanted = "help setup demo test check fix bench soak figures sim proof fuzz sanitize pictures servers versions"
    assert names == wanted.split()


def test_servers_that_nobody_knows_are_named() -> None:
    command, settings = str(ROOT / ".ci" / "servers"), {**os.environ, "SERVERS": "torch"}
    done = subprocess.run([command], capture_output=True, text=True, timeout=30, env=settings, check=False)
    assert done.returncode == 1
    assert done.stderr == "make servers: no server torch; known: mlserver kserve bentoml litserve mlflow\n"


def test_a_bare_machine_is_told_in_one_line_what_to_install(bare: Path) -> None:
    done = set_up(bare)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "mlcanary set-up: please install first: sudo apt-get install --no-install-recommends "
        "python3 python3-venv prometheus prometheus-alertmanager haproxy kubernetes-client nginx "
        "redis-server nats-server postgresql chromium systemd "
    ]


def test_the_demo_asks_for_no_more_than_it_starts(bare: Path) -> None:
    assert set_up(bare, "demo").stderr.splitlines() == [
        "mlcanary set-up: please install first: sudo apt-get install --no-install-recommends "
        "python3 python3-venv prometheus prometheus-alertmanager haproxy "
    ]


def test_what_takes_long_is_told_and_how_long_it_took(bare: Path) -> None:
    for name in ("promtool", "prometheus", "alertmanager", "haproxy", "sleep"):
        program(bare, name)
    program(bare, "date", "echo 7")
    make_venv = "mkdir -p .venv/bin && cp bin/pip .venv/bin/pip && cp bin/pip .venv/bin/python"
    program(bare, "pip", 'echo "$*" >>pip.log')
    program(bare, "python3", f'case "$*" in *"-m venv"*) {make_venv} ;; *print*) echo 3.12 ;; esac')
    for tool in ("mkdir", "cp"):
        (bare / "bin" / tool).symlink_to(str(shutil.which(tool)))
    done = set_up(bare, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Making .venv with Python 3.12 ... 0 s",
        "Installing the libraries of .[demo] into .venv ... 0 s",
    ]
    assert (bare / "pip.log").read_text().split()[-2:] == ["--editable", ".[demo]"]
    assert set_up(bare, "demo").stdout == ""


def test_only_what_is_missing_is_asked_for(bare: Path) -> None:
    for name in ("python3", "prometheus", "promtool", *SERVERS):
        program(bare, name)
    done = set_up(bare)
    assert done.stderr.rstrip().endswith("--no-install-recommends prometheus-alertmanager")


def test_a_python_without_venv_is_told_the_package(bare: Path) -> None:
    for name in ("prometheus", "promtool", "alertmanager", *SERVERS):
        program(bare, name)
    program(bare, "python3", "exit 1")
    assert set_up(bare).stderr.rstrip().endswith("--no-install-recommends python3-venv")


def test_a_python_that_is_too_old_is_named_with_the_way_out(bare: Path) -> None:
    for name in ("prometheus", "promtool", "alertmanager", *SERVERS):
        program(bare, name)
    program(bare, "python3.10", 'case "$2" in *print*) echo 3.10 ;; *exit*) exit 1 ;; esac')
    done = set_up(bare, PYTHON="python3.10")
    assert done.returncode == 1
    assert done.stderr == (
        "mlcanary set-up: python3.10 is Python 3.10, 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...\n"
    )
    assert not (bare / ".venv").exists()


def test_a_machine_that_is_set_up_is_left_alone(bare: Path) -> None:
    for name in ("python3", "prometheus", "promtool", "alertmanager", *SERVERS):
        program(bare, name)
    (bare / ".venv").mkdir()
    stamp = bare / ".venv" / ".installed"
    stamp.touch()
    os.utime(bare / "pyproject.toml", (1.0, 1.0))
    for what in ((), ("demo",)):
        done = set_up(bare, *what)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ci_runs_what_the_readme_tells_to_run() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert "make check" in script
    assert recipe.rstrip().endswith("test")
