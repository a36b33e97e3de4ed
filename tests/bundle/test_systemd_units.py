"""The units: read strictly, verified and rated by systemd itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from mlcanary import bundle
from mlcanary.cli.main import cli

UNITS = {path.name: data.decode() for path, data in bundle.contents().items() if path.parts[0] == "systemd"}
PROGRAM = "/opt/mlcanary/bin/mlcanary"
WANTED = {
    "DynamicUser": "yes",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "MemoryDenyWriteExecute": "yes",
    "RestrictNamespaces": "yes",
    "UMask": "0077",
}
MOST_EXPOSED = 20
"""Of 100, by `systemd-analyze security`; services without any of it have 96."""


def settings(unit: str) -> dict[str, list[str]]:
    """Settings of a unit by name; every line must be a comment, a section or a setting."""
    found: dict[str, list[str]] = {}
    for line in UNITS[unit].splitlines():
        if line and not re.fullmatch(r"#.*|\[(Unit|Service|Install)\]", line):
            match = re.fullmatch(r"([A-Z][A-Za-z]+)=(.*\S)?", line)
            assert match is not None, line
            found.setdefault(match[1], []).append(match[2] or "")
    return found


def test_there_is_a_unit_for_every_process() -> None:
    assert set(UNITS) == {"mlcanary-exporter@.service", "mlcanary-judge.service", "mlcanary-handler.service"}


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_hardened_and_keeps_its_state(unit: str) -> None:
    found = settings(unit)
    assert {key: found.get(key) for key in WANTED} == {key: [value] for key, value in WANTED.items()}
    (state,) = found["StateDirectory"]
    (start,) = found["ExecStart"]
    assert f"--state.path=%S/{state}/" in start, "only there may the unit write"


@pytest.mark.parametrize("unit", UNITS)
def test_flags_of_a_unit_exist(unit: str) -> None:
    program, name, *flags = settings(unit)["ExecStart"][0].split()
    assert program == PROGRAM
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {flag.partition("=")[0] for flag in flags if flag.startswith("--")} <= known


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    files = []
    for name, text in UNITS.items():
        path = tmp_path / name.replace("@.", "@churn.")
        path.write_text(text.replace(PROGRAM, shutil.which("true") or "/bin/true"))
        files.append(str(path))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", *files],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout + rated.stderr
