"""The web configuration file: what is read, what is refused and how, what is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from mlcanary.errors import ConfigError
from mlcanary.webserver.config import WebConfigFile
from web_files import HASH, make_certificate

CORPUS = yaml.safe_load((Path(__file__).parent / "web_config_corpus.yml").read_text())


def write(directory: Path, text: str) -> Path:
    path = directory / "web.yml"
    path.write_text(text)
    return path


def touched(path: Path, seconds: int) -> None:
    """Set the time of a file, so that a change within the clock's grain is seen."""
    os.utime(path, (seconds, seconds))


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    loaded = WebConfigFile(write(tmp_path, "")).current()
    assert not loaded.authenticates
    assert loaded.context is None


def test_the_whole_file_is_read_with_paths_beside_it(tmp_path: Path) -> None:
    make_certificate(tmp_path, "server")
    (tmp_path / "token").write_text("sixteen-characters-at-least\n")
    text = f"""
tls_server_config: {{cert_file: server.crt, key_file: server.key, client_ca_file: server.crt,
  client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [alerts], min_version: TLS13}}
http_server_config: {{headers: {{X-Frame-Options: deny}}}}
basic_auth_users: {{anna: "{HASH}"}}
bearer_token_file: token
"""
    loaded = WebConfigFile(write(tmp_path, text)).current()
    assert loaded.authenticates
    assert loaded.token == "sixteen-characters-at-least"
    assert loaded.context is not None
    assert loaded.context.minimum_version.name == "TLSv1_3"


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["text"])
def test_each_mistake_is_named_with_file_line_key_found_and_allowed(tmp_path: Path, entry: dict[str, str]) -> None:
    for name, token in (("short", "12345"), ("good", "g" * 16), ("twin", "g" * 16), ("other", "o" * 16)):
        (tmp_path / name).write_text(f"{token}\n")
    path = write(tmp_path, entry["text"])
    with pytest.raises(ConfigError) as caught:
        WebConfigFile(path)
    assert str(caught.value) == f"{path}:{entry['error']}".replace("{}", str(tmp_path))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        WebConfigFile(tmp_path / "web.yml")


def test_a_changed_file_counts_and_a_broken_one_leaves_the_last_good_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the-first-token-of-all")
    path = write(tmp_path, "bearer_token_file: token")
    live = WebConfigFile(path)
    (tmp_path / "token").write_text("the-second-token-of-all")
    touched(tmp_path / "token", 10)
    assert live.current().token == "the-second-token-of-all"
    path.write_text("bearer_token_file: [")
    touched(path, 20)
    assert live.current().token == "the-second-token-of-all"
    assert "not YAML" in live.last_error
    path.write_text(f'basic_auth_users: {{anna: "{HASH}"}}')
    touched(path, 30)
    assert live.current().token == ""
    assert live.last_error == ""
    path.unlink()
    assert live.current().authenticates
