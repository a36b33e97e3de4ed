"""`four_eyes` needs two people in the web configuration: neither a check nor a start passes without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from handler_world import TOKEN, configuration
from mlcanary.cli.handler import command
from mlcanary.errors import ConfigError
from mlcanary.handler.service import RunOptions, serve
from mlcanary.handler.settings import load_settings, require_two_people
from mlcanary.webserver.config import WebConfigFile
from web_files import make_certificate

SECTION = "{type: file, path: /srv/current, values: {v1: a, v2: b}}"
FOUR_EYES = "  approval: {required: true, four_eyes: true}\n"
ALONE = [
    ("bearer_token_file: olga\n", "nobody may approve, token may order"),
    ("principals: [{name: ops, bearer_token_file: olga, scopes: [read, operate, approve]}]\n", "ops may approve, ops"),
    (
        "principals: [{name: ops, bearer_token_file: olga, scopes: [approve]},\n"
        "  {name: ops, bearer_token_file: alex, scopes: [operate]}]\n",
        "ops may approve, ops may order",
    ),
]
TWO = [
    "principals: [{name: olga, bearer_token_file: olga, scopes: [operate]},\n"
    "  {name: alex, bearer_token_file: alex, scopes: [approve]}]\n",
    "principals: [{name: olga, bearer_token_file: olga, scopes: [read, operate, approve]},\n"
    "  {name: alex, bearer_token_file: alex, scopes: [read, operate, approve]}]\n",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handler.yml").write_text(configuration("http://127.0.0.1:1", SECTION, extra=FOUR_EYES))
    for name in ("olga", "alex"):
        (tmp_path / name).write_text(f"{TOKEN}-{name}")
    return tmp_path


def checked(folder: Path, web: str) -> tuple[int, str]:
    """Exit status and what went wrong, of a check by command."""
    (folder / "web.yml").write_text(web)
    found = CliRunner().invoke(
        command,
        ["--config.check", "--config.file", str(folder / "handler.yml"), "--web.config.file", str(folder / "web.yml")],
    )
    return found.exit_code, str(found.exception or "")


@pytest.mark.parametrize(("web", "said"), ALONE)
def test_one_person_is_refused_by_a_check_and_at_the_start(folder: Path, web: str, said: str) -> None:
    code, error = checked(folder, web)
    assert code != 0
    assert "target router has approval.four_eyes, but no two people for it" in error
    assert said in error
    settings = load_settings(folder / "handler.yml")
    options = RunOptions(
        folder / "ledger.sqlite", ("127.0.0.1:0",), folder / "web.yml", time.time, lambda: "", lambda _name: None
    )

    def listening(_bound: Sequence[str]) -> None:
        raise AssertionError("it listens")

    with pytest.raises(ConfigError, match="no two people"):
        asyncio.run(serve(settings, options, lambda: settings, listening))


@pytest.mark.parametrize("web", TWO)
def test_two_people_pass(folder: Path, web: str) -> None:
    assert checked(folder, web) == (0, "")


def test_without_four_eyes_nobody_is_counted(folder: Path) -> None:
    (folder / "handler.yml").write_text(configuration("http://127.0.0.1:1", SECTION))
    assert checked(folder, ALONE[0][0]) == (0, "")


def test_without_a_web_configuration_nobody_may_approve(folder: Path) -> None:
    with pytest.raises(ConfigError, match="nobody may approve, nobody may order"):
        require_two_people(load_settings(folder / "handler.yml"), None)


def test_people_whom_their_certificates_name_are_as_many_as_there_are(folder: Path) -> None:
    make_certificate(folder, "server")
    (folder / "web.yml").write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: server.crt,"
        " client_auth_type: RequireAndVerifyClientCert}\n"
    )
    require_two_people(load_settings(folder / "handler.yml"), WebConfigFile(folder / "web.yml").current())
