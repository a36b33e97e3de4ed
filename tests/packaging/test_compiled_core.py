"""The wheel holds the compiled core where a compiler is, and works without it where none is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINARIES = [f"mlcanary/compiled/_{name}.abi3.so" for name in ("array_memory", "id_table", "plain_lines")]
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py", ".gitignore")
FOLDERS = ("exporter", "rules", "grafana", "alertmanager")
COMPILER = (
    any(map(shutil.which, ("cc", "gcc", "clang"))) and (Path(sysconfig.get_path("include")) / "Python.h").exists()
)
WAY = "from mlcanary.compiled import way_in_use; print(way_in_use())"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, as the build compiles in place."""
    root = tmp_path_factory.mktemp("checkout")
    for name in NEEDED:
        shutil.copy(ROOT / name, root)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return root


def build(checkout: Path, target: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    return subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def way(installed: Path, **environment: str) -> str:
    """What an installation says that it uses."""
    variables = {**os.environ, "PYTHONPATH": str(installed), **environment}
    done = subprocess.run(
        [sys.executable, "-c", WAY], env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(not COMPILER, reason="no C compiler or no Python.h")
def test_the_wheel_holds_the_core(checkout: Path, tmp_path: Path) -> None:
    done = build(checkout, tmp_path, MLCANARY_REQUIRE_CORE="1")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as packed:
        assert sorted(name for name in packed.namelist() if name.endswith(".so")) == BINARIES
        packed.extractall(tmp_path / "installed")
    assert way(tmp_path / "installed", MLCANARY_CORE="1") == "compiled core"
    assert way(tmp_path / "installed", MLCANARY_CORE="0").endswith("switched off by MLCANARY_CORE=0")


def test_without_a_compiler_the_wheel_is_pure(checkout: Path, tmp_path: Path) -> None:
    for name in BINARIES:
        (checkout / "exporter" / name).write_bytes(b"of another day")
    done = build(checkout, tmp_path, CC="no-such-compiler", MLCANARY_REQUIRE_CORE="")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("mlcanary:")]
    assert said == ["mlcanary: without the compiled core, which is only slower: no C compiler (no-such-compiler)"]
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert [name for name in packed.namelist() if name.endswith(".so")] == []
        packed.extractall(tmp_path / "installed")
    assert way(tmp_path / "installed", MLCANARY_CORE="1").startswith("Python: compiled core not built")


def test_a_core_that_is_required_and_missing_is_an_error(checkout: Path, tmp_path: Path) -> None:
    done = build(checkout, tmp_path, CC="no-such-compiler", MLCANARY_REQUIRE_CORE="1")
    assert done.returncode != 0
    assert "no C compiler (no-such-compiler)" in done.stderr
    assert list(tmp_path.glob("*.whl")) == []
