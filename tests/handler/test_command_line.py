"""`mlcanary handler` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from handler_world import TOKEN, Link, configuration, free_port, running
from prometheus_tools import wait_for

HANDLER = [sys.executable, "-m", "mlcanary", "handler"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    link = Link(tmp_path)
    path = tmp_path / "handler.yml"
    path.write_text(configuration("http://127.0.0.1:1", link.section()))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "web.yml").write_text("bearer_token_file: token\n")
    return path


def ended(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([*HANDLER, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            found: int = response.status
            return found
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def test_a_good_configuration_is_said_to_be_valid(config: Path) -> None:
    done = ended("--config.file", str(config), "--config.check")
    assert done == (0, "configuration is valid: 1 target(s): router (react)\n", "")


def test_a_bad_configuration_ends_with_the_place_and_status_2(config: Path) -> None:
    config.write_text(config.read_text().replace("mode: react", "mode: act"))
    code, _, errors = ended("--config.file", str(config), "--config.check")
    assert code == 2
    assert errors == f"mlcanary: {config}:3: defaults.mode: found 'act'; allowed: drive, judge, observe, react\n"


def test_mode_react_off_loopback_without_authentication_does_not_start(config: Path) -> None:
    for check in (["--config.check"], ["--state.path", f"{config.parent}/l.sqlite"]):
        code, _, errors = ended("--config.file", str(config), "--web.listen-address", f":{free_port()}", *check)
        assert code == 2
        assert "target router has mode react, but :" in errors
        assert "hint: set bearer_token_file or basic_auth_users in --web.config.file" in errors
    code, _, _ = ended(
        *("--config.file", str(config), "--config.check"),
        *("--web.listen-address", ":10879", "--web.config.file", str(config.parent / "web.yml")),
    )
    assert code == 0


def test_it_serves_reloads_and_ends_on_sigterm(config: Path) -> None:
    port = free_port()
    argv = [*HANDLER, "--config.file", str(config), "--state.path", f"{config.parent}/l.sqlite"]
    argv += ["--web.listen-address", f"127.0.0.1:{port}", "--web.config.file", str(config.parent / "web.yml")]
    log = config.parent / "log"
    with log.open("wb") as output, running([*argv, "--log.format", "json"], stderr=output) as process:
        wait_for("the handler", lambda: status(f"http://127.0.0.1:{port}/-/ready") == 200)
        assert status(f"http://127.0.0.1:{port}/-/healthy") == 200
        assert status(f"http://127.0.0.1:{port}/metrics") == 401
        second = ended("--config.file", str(config), "--state.path", f"{config.parent}/l.sqlite",
                       "--web.listen-address", "127.0.0.1:0")  # fmt: skip
        assert second[0] == 2
        assert "another handler holds it" in second[2]
        config.write_text(config.read_text() + "# changed\n")
        os.kill(process.popen.pid, signal.SIGHUP)
        wait_for("the reload", lambda: "configuration loaded again" in log.read_text())
        config.write_text("nothing: here\n")
        os.kill(process.popen.pid, signal.SIGHUP)
        wait_for("the refusal", lambda: "configuration rejected" in log.read_text())
        assert status(f"http://127.0.0.1:{port}/-/ready") == 200
        process.end(signal.SIGTERM)
        assert process.popen.returncode == 0
    assert "Traceback" not in log.read_text()


def test_the_handler_starts_without_the_statistics() -> None:
    code = "import mlcanary.cli.handler, sys; print(sorted({'numpy', 'mlcanary.stats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"
