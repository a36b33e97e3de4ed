"""What the guide shows of brokers and databases is a configuration that the exporter takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guides import blocks, guide, section
from mlcanary.errors import ConfigError
from mlcanary.inputs import Inputs
from mlcanary.settings import Flags, load_settings


def example(directory: Path) -> Path:
    """The guide's file, with the secrets that it names."""
    block = blocks(section(guide("sources"), "Brokers and databases"), "yaml")[0]
    path = directory / "exporter.yml"
    path.write_text(block)
    (directory / "secrets").mkdir()
    for name in ("kafka", "redis", "nats.creds"):
        (directory / "secrets" / name).write_text("s3cret\n")
    (directory / "secrets" / "database").write_text("postgresql://reader:s3cret@db/shop\n")
    return path


def test_the_example_of_the_guide_is_taken(tmp_path: Path) -> None:
    settings = load_settings(Flags(config_file=example(tmp_path)))
    names = ["kafka:predictions", "redis:predictions", "nats:PREDICTIONS", "sql:outcomes"]
    assert [origin.name for origin in settings.origins] == names
    assert settings.patterns == ()
    inputs = Inputs(settings)
    assert sorted(row.source for row in inputs.status()) == sorted(names)
    assert not any(row.up for row in inputs.status()), "nothing is asked before the first read"
    assert "s3cret" not in repr(settings)
    inputs.close()


def test_a_replay_has_an_end(tmp_path: Path) -> None:
    settings = load_settings(Flags(config_file=example(tmp_path)))
    with pytest.raises(ConfigError, match="kafka:predictions: it has no end"):
        Inputs(settings, complete=True)


def test_a_missing_client_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"sources\.0\.kafka: found no Python package confluent_kafka") as error:
        load_settings(Flags(config_file=example(tmp_path)))
    assert error.value.hint == "pip install 'mlcanary[kafka]'"


def test_an_exporter_without_brokers_loads_none_of_their_libraries() -> None:
    code = "import sys, mlcanary.app; print(sorted({'confluent_kafka', 'redis', 'nats', 'psycopg'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
