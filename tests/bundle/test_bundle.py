"""What users import is what the repository holds, byte for byte, from a checkout and from the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mlcanary import bundle
from mlcanary.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_export_writes_every_shipped_file_unchanged(tmp_path: Path) -> None:
    written = bundle.export(tmp_path)
    assert {path.relative_to(tmp_path).parts[0] for path in written} == set(bundle.FOLDERS)
    for path in written:
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes()


def test_export_again_changes_nothing_and_keeps_what_a_site_edited(tmp_path: Path) -> None:
    edited = bundle.export(tmp_path)[0]
    assert bundle.export(tmp_path)
    edited.write_text("ours")
    with pytest.raises(ConfigError, match="differing from the shipped files"):
        bundle.export(tmp_path)
    assert edited.read_text() == "ours"


def test_generators_and_secrets_are_not_shipped() -> None:
    assert [name for name in bundle.files() if name.suffix == ".py" or "secrets" in name.parts] == []


def test_the_wheel_carries_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        for name in bundle.files():
            assert wheel.read(f"mlcanary/bundle_files/{name}") == (ROOT / name).read_bytes()
        assert "mlcanary/py.typed" in wheel.namelist()
        for snippet in (ROOT / "exporter" / "mlcanary" / "handler" / "snippets").iterdir():
            assert wheel.read(f"mlcanary/handler/snippets/{snippet.name}") == snippet.read_bytes()
