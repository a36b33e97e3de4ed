"""Runs the programs of Prometheus and Alertmanager in tests: one-shot checks, and servers on free loopback ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from own_ports import free_port

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "rules"
LOADED_RULES = tuple(sorted(RULES.glob("*.yml")))
RULE_FILES = (*LOADED_RULES, *sorted(RULES.glob("further/*.yml")))
"""All shipped ones: what `rules/*.yml` loads, and what nothing that is shipped reads."""
T = TypeVar("T")
# The programs are written in Go: its collector runs less often, which halves their CPU time, and holds 1 GB at most.
QUICK = {"GOGC": "800", "GOMEMLIMIT": "1GiB"}


def program(*names: str) -> str:
    """The path of the first of these programs that is installed; else an error that says what to install."""
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/bin"):
            return found
    raise AssertionError(
        f"{names[0]} is not installed: sudo apt-get install --no-install-recommends prometheus prometheus-alertmanager"
    )


def run(name: str, *arguments: str | Path, seconds: float = 120.0) -> tuple[int, str]:
    """Exit status and output of a one-shot program; an error when it takes longer than so many seconds."""
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=os.environ | QUICK,
    )
    return done.returncode, done.stdout + done.stderr


def wait_for(what: str, condition: Callable[[], T | None], seconds: float = 60.0) -> T:
    """The first result of `condition` that is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.1)
    return result


def get(url: str, **parameters: str) -> Any:
    """The JSON document at a URL, None while nobody answers."""
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=10) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read() or b"null") if error.headers.get_content_subtype() == "json" else None
    except OSError:
        return None


def post(url: str, document: object) -> None:
    """Send a JSON document."""
    body = json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def server(argv: Sequence[str], log: Path, ready: str, environment: Mapping[str, str] = QUICK) -> Iterator[None]:
    """A process in its own group, ready when entered, ended with its group when left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **environment}
        )

    def is_ready() -> bool:
        assert process.poll() is None, f"{argv[0]} ended: {log.read_text(errors='replace')[-2000:]}"
        try:
            urllib.request.urlopen(ready, timeout=2).close()
        except OSError:
            return False
        return True

    try:
        wait_for(f"{argv[0]} to be ready", is_ready)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def prometheus(
    folder: Path,
    configuration: Mapping[str, object],
    port: int = 0,
    environment: Mapping[str, str] = QUICK,
    flags: Sequence[str] = (),
) -> Iterator[str]:
    """A Prometheus over the blocks in `folder`/data; gives its URL. Port 0: a free one. `flags` are further ones."""
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    url = f"http://127.0.0.1:{port or free_port()}"
    argv = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=30d",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--log.level=warn",
        *flags,
    ]
    with server(argv, folder / "prometheus.log", f"{url}/-/ready", environment):
        yield url


@contextmanager
def alertmanager(folder: Path, configuration: Path) -> Iterator[str]:
    """An Alertmanager; gives its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    argv = [
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={configuration}",
        f"--storage.path={folder / 'alertmanager-data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with server(argv, folder / "alertmanager.log", f"{url}/-/ready"):
        yield url
