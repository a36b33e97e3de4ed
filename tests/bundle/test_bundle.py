"""What users import is what the repository holds, from a checkout and from the wheel; what they edited stays."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mlcanary import bundle
from mlcanary.bundle.shipped import own
from mlcanary.cli.bundle import command
from mlcanary.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_a_plain_export_holds_every_shipped_file_unchanged(tmp_path: Path) -> None:
    written = {path.relative_to(tmp_path) for path in bundle.export(tmp_path)}
    assert {path.parts[0] for path in written} == {*bundle.FOLDERS, "systemd", "prometheus"}
    assert written >= set(bundle.files())
    for name in bundle.files():
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("kind", bundle.FORMATS)
def test_export_again_changes_nothing_and_keeps_what_a_site_edited(kind: str, tmp_path: Path) -> None:
    wanted = bundle.contents(kind)
    assert list(wanted) == sorted(wanted)
    edited = bundle.export(tmp_path, wanted)[0]
    assert bundle.export(tmp_path, bundle.contents(kind)), "the same bytes a second time"
    edited.write_text("ours")
    edited.with_name("of-ours.yml").write_text("stays")
    with pytest.raises(ConfigError, match="differing from the shipped files"):
        bundle.export(tmp_path, wanted)
    assert edited.read_text() == "ours"
    assert edited.with_name("of-ours.yml").read_text() == "stays"


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("a file where a folder must be")
    with pytest.raises(ConfigError, match="cannot be written"):
        bundle.export(tmp_path)


@pytest.mark.parametrize("kind", ["plain", "kustomize"])
def test_list_names_what_export_writes(kind: str, tmp_path: Path) -> None:
    listed = CliRunner().invoke(command, ["list", "--format", kind])
    written = CliRunner().invoke(command, ["export", str(tmp_path), "--format", kind])
    assert (listed.exit_code, written.exit_code) == (0, 0)
    assert [str(tmp_path / name) for name in listed.output.splitlines()] == written.output.splitlines()


def test_namespace_and_labels_reach_the_objects(tmp_path: Path) -> None:
    flags = ["--namespace", "watch", "--label", "release=prometheus", "--label", "team=ml"]
    done = CliRunner().invoke(command, ["export", str(tmp_path), "--format", "kustomize", *flags])
    assert done.exit_code == 0, done.output
    top = (tmp_path / "kustomization.yaml").read_text()
    assert "namespace: watch" in top
    assert "release: prometheus" in top
    assert "team: ml" in top


def test_what_is_asked_for_is_there_too_and_without_asking_it_is_not(tmp_path: Path) -> None:
    asked = [flag for part in bundle.PARTS for flag in ("--with", part)]
    flags = [str(tmp_path), "--format", "prometheus-operator", *asked]
    assert CliRunner().invoke(command, ["export", *flags]).exit_code == 0
    found = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.yaml")}
    more = found - set(bundle.contents("prometheus-operator"))
    assert {path.parts[0] for path in more} == set(bundle.PARTS)
    assert more | set(bundle.contents("prometheus-operator")) == found
    shipped = {f"mlcanary-{path.stem.replace('.', '-')}.yaml" for path in (ROOT / "rules" / "further").glob("*.yml")}
    assert {path.name for path in more if path.parts[0] == "further-rules"} == shipped


def test_what_is_asked_for_is_turned_on_in_the_top_kustomization() -> None:
    plain, top = bundle.contents("kustomize"), Path("kustomization.yaml")
    asked = bundle.contents("kustomize", parts=("network-policies", "further-rules"))
    assert "components" not in yaml.safe_load(plain[top])
    assert yaml.safe_load(asked[top])["components"] == ["further-rules", "network-policies"]
    assert {path for path in asked if asked[path] != plain.get(path)} == {top}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--format", "kustomize", "--label", "release"], "--label: found 'release'; allowed: KEY=VALUE"),
        (["--format", "kustomize", "--label", "a b=c"], "--label: found 'a b=c'; allowed: KEY=VALUE"),
        (["--format", "kustomize", "--label", "a=b", "--label", "a=c"], "--label: found a twice"),
        (["--format", "kustomize", "--namespace", "Watch"], "--namespace: found 'Watch'; allowed: lower case"),
        (["--namespace", "watch"], "found with --format plain; allowed: with prometheus-operator and kustomize"),
        (["--with", "further-rules"], "found with --format plain; allowed: with prometheus-operator and kustomize"),
        (
            ["--format", "kustomize", "--with", "exporter-network-policy"],
            "--with: found exporter-network-policy with --format kustomize; allowed: network-policies, further-rules",
        ),
    ],
)
def test_wrong_flags_say_what_is_allowed(flags: list[str], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["export", str(tmp_path / "new"), *flags])
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
    assert not (tmp_path / "new").exists()


def test_generators_and_secrets_are_not_shipped() -> None:
    assert [name for name in bundle.files() if name.suffix == ".py" or "secrets" in name.parts] == []


def test_the_wheel_carries_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        for name in bundle.files():
            assert wheel.read(f"mlcanary/bundle_files/{name}") == (ROOT / name).read_bytes()
        assert "mlcanary/py.typed" in wheel.namelist()
        for folder in ("systemd", "prometheus", "kubernetes"):
            for name, data in own(folder).items():
                assert wheel.read(f"mlcanary/bundle/{folder}/{name}") == data
        for snippet in (ROOT / "exporter" / "mlcanary" / "handler" / "snippets").iterdir():
            assert wheel.read(f"mlcanary/handler/snippets/{snippet.name}") == snippet.read_bytes()
