"""`mlcanary judge` as a process: flags, a verdict from a real Prometheus, kill -9 of the leader, reload, end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from own_ports import free_port
from prometheus_tools import prometheus, wait_for

JUDGE = [sys.executable, "-m", "mlcanary", "judge"]
CONFIG = "interval: 1s\nsettle: 500ms\ndefaults: {warm_up: 0, block_seconds: 2s}\n"


def finished(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a run to the end."""
    done = subprocess.run([*JUDGE, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_address_of_prometheus_is_enough() -> None:
    assert finished("--prometheus.url", "http://127.0.0.1:9090", "--config.check") == (
        0,
        "configuration is valid: http://127.0.0.1:9090, models: none by name\n",
        "",
    )
    assert finished("--config.check")[:2] == (
        0,
        "configuration is valid: no Prometheus is named yet, models: none by name\n",
    )
    code, _, errors = finished()
    assert code == 2
    assert "prometheus.url: found nothing; allowed: an address" in errors
    assert "--prometheus.url http://HOST:9090" in errors


def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "judge.yml"
    path.write_text("defaults:\n  alpha: 0.7\n")
    code, _, errors = finished("--config.file", str(path), "--config.check")
    assert (code, errors) == (2, f"mlcanary: {path}:2: defaults.alpha: found 0.7; allowed: a number < 0.5\n")


@pytest.mark.parametrize("library", ["requests", "scipy"])
def test_a_missing_library_is_named_with_what_to_install(library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from mlcanary.cli.main import main; main()"
    argv = [sys.executable, "-c", code, "judge", "--prometheus.url", "http://p:9090", "--config.check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == f'mlcanary: mlcanary judge needs {library}\n  hint: pip install "mlcanary[judge]"\n'


def exporter_page(since: float) -> str:
    """What an exporter shows after `since`: 200 requests a second on each version, and v2 fails a third of them."""
    seconds = time.time() - since
    lines = []
    for version, role, failing in (("v1", "baseline", 0.1), ("v2", "canary", 0.33)):
        labels = f'model="clicks",version="{version}"'
        lines.append(f'mlcanary_model_info{{{labels},role="{role}",task="binary"}} 1')
        for predicted, part in (("1", 1 - failing), ("none", failing)):
            lines.append(f'mlcanary_predictions_total{{{labels},predicted="{predicted}"}} {int(200 * seconds * part)}')
    return "\n".join([*lines, 'mlcanary_up{source="log"} 1', ""])


@contextlib.contextmanager
def exporting() -> Iterator[int]:
    """An exporter's page on a port of loopback."""
    since = time.time()

    class Page(BaseHTTPRequestHandler):
        """Answers every GET."""

        def do_GET(self) -> None:
            """The page now."""
            body = exporter_page(since).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class JudgeProcess:
    """A judge on the state file of a directory."""

    def __init__(self, directory: Path, url: str, name: str) -> None:
        self.port, self.log = free_port(), directory / f"{name}.log"
        config = directory / "judge.yml"
        flags = ["--config.file", str(config), "--prometheus.url", url]
        flags += ["--state.path", str(directory / "judge.sqlite"), "--web.listen-address", f"127.0.0.1:{self.port}"]
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen([*JUDGE, *flags], stderr=log, start_new_session=True)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def verdict(self) -> dict[str, Any]:
        """The answer about the canary, empty while there is none."""
        status, body = self.get("/v1/verdict/clicks/v2")
        return dict(json.loads(body)) if status == 200 else {}

    def end(self, how: int) -> int:
        """Send a signal; the exit status."""
        os.kill(self.popen.pid, how)
        return self.popen.wait(20)


@pytest.fixture
def judges() -> Iterator[list[JudgeProcess]]:
    """Processes that are killed at the end, if they still run."""
    started: list[JudgeProcess] = []
    yield started
    for judge in started:
        if judge.popen.poll() is None:
            judge.end(signal.SIGKILL)


def test_a_real_prometheus_is_judged_and_a_standby_takes_over(tmp_path: Path, judges: list[JudgeProcess]) -> None:
    (tmp_path / "judge.yml").write_text(CONFIG)
    with exporting() as port, prometheus(tmp_path, scraping(port)) as url:
        leader = JudgeProcess(tmp_path, url, "leader")
        judges.append(leader)
        wait_for("the leader to be ready", lambda: leader.get("/-/ready")[0] == 200)
        standby = JudgeProcess(tmp_path, url, "standby")
        judges.append(standby)
        wait_for("the standby", lambda: standby.get("/-/ready") == (503, "standing by: another judge leads\n"))
        assert "mlcanary_judge_leader 0.0" in standby.get("/metrics")[1]
        found = wait_for("a rollback", lambda: rolled_back(leader))
        assert (found["reason"], found["key"]["baseline"]) == ("worse", "v1")
        lines = [line for line in leader.get("/metrics")[1].splitlines() if line.startswith("mlcanary_judge_verdict{")]
        assert [line.endswith(" 1.0") for line in lines if 'verdict="rollback"' in line] == [True]
        record = leader.get("/v1/record/clicks/v2")[1]

        assert leader.end(signal.SIGKILL) == -signal.SIGKILL
        wait_for("the standby to lead", lambda: standby.get("/-/ready")[0] == 200)
        again = wait_for("its verdict", standby.verdict)
        assert (again["result"], again["since"], again["key"]) == ("unhealthy", found["since"], found["key"])
        assert standby.get("/v1/record/clicks/v2")[1] == record
        done = subprocess.run(
            [sys.executable, "-m", "mlcanary", "explain", "-"],
            input=record,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

        reload_and_end(standby, tmp_path / "judge.yml")


def scraping(port: int) -> dict[str, object]:
    """A configuration that scrapes the page each second."""
    job = {"job_name": "exporters", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}


def reload_and_end(judge: JudgeProcess, config: Path) -> None:
    """SIGHUP with a good and a bad file, then SIGTERM."""
    config.write_text(CONFIG + "# changed\n")
    os.kill(judge.popen.pid, signal.SIGHUP)
    wait_for("the reload", lambda: "configuration loaded again" in judge.log.read_text())
    config.write_text("nothing: here\n")
    os.kill(judge.popen.pid, signal.SIGHUP)
    wait_for("the refusal", lambda: "configuration rejected" in judge.log.read_text())
    assert judge.get("/-/ready")[0] == 200
    assert judge.end(signal.SIGTERM) == 0
    assert "Traceback" not in judge.log.read_text()


def test_without_prometheus_it_is_not_ready_and_says_why(tmp_path: Path, judges: list[JudgeProcess]) -> None:
    (tmp_path / "judge.yml").write_text(CONFIG)
    judge = JudgeProcess(tmp_path, f"http://127.0.0.1:{free_port()}", "judge")
    judges.append(judge)
    status, _ = wait_for("the reason", lambda: told_unreachable(judge))
    assert status == 503
    assert judge.get("/-/healthy")[0] == 200
    assert 'mlcanary_judge_readings_total{result="unreachable"}' in judge.get("/metrics")[1]
    assert judge.end(signal.SIGTERM) == 0


def told_unreachable(judge: JudgeProcess) -> tuple[int, str] | None:
    """What the judge says of its readiness once it has tried to read."""
    found = judge.get("/-/ready")
    return found if "cannot be read" in found[1] else None


def rolled_back(judge: JudgeProcess) -> dict[str, Any] | None:
    """The answer once it is a rollback."""
    found = judge.verdict()
    return found if found.get("result") == "unhealthy" else None
