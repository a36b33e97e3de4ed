"""A real MLflow server on SQLite. It takes 10 s to start: one for all tests of a run, a model for each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from handler_world import free_port, running
from mlcanary.documents import Seconds
from mlcanary.handler.targets.mlflow import MLflowSettings

SERVER = """
import os, sys
import uvicorn
from mlflow.server import constants
_, store, artifacts, port = sys.argv
os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store
os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = artifacts
from mlflow.server.fastapi_app import app
while True:
    if os.fork() == 0:
        uvicorn.run(app, host="127.0.0.1", port=int(port))
        os._exit(0)
    os.wait()
"""
"""What `mlflow server` starts, without its command line: that one loads all of MLflow a second time, 10 s more.

The server is a fork of the loaded process: one that is killed has a successor at once, over the same database.
"""

ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}


class Registry:
    """What tests ask of a server; `database` and `parent`, its loaded process, where it is one of the tests' own."""

    def __init__(self, url: str, database: Path = Path(), parent: int = 0) -> None:
        self.url = url
        self.database = database
        self._parent = parent

    def restart(self) -> None:
        """End the server hard; returns once its successor answers."""
        children = Path(f"/proc/{self._parent}/task/{self._parent}/children")
        (old,) = children.read_text().split()
        os.kill(int(old), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while children.read_text().split() in ([], [old]) or not _answers(self.url):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def send(self, method: str, path: str, **body: str) -> dict[str, dict[str, str]]:
        """The answer to a call that works."""
        answer = requests.request(method, f"{self.url}/api/2.0/mlflow{path}", json=body or None, timeout=30)
        answer.raise_for_status()
        found: dict[str, dict[str, str]] = answer.json()
        return found

    def register(self, name: str, versions: int = 3) -> None:
        """A model with versions 1, 2, ..., the alias champion at 2."""
        self.send("POST", "/registered-models/create", name=name)
        for number in range(1, versions + 1):
            self.send("POST", "/model-versions/create", name=name, source=f"s3://models/{number}")
        self.point(name, 2)

    def point(self, name: str, number: int) -> None:
        """Move the alias, as somebody else would."""
        self.send("POST", "/registered-models/alias", name=name, alias="champion", version=str(number))

    def delete(self, name: str, number: int) -> None:
        """Delete a version."""
        self.send("DELETE", "/model-versions/delete", name=name, version=str(number))

    def pointed(self, name: str) -> str:
        """The number that the alias names."""
        answer = requests.get(
            f"{self.url}/api/2.0/mlflow/registered-models/alias", {"name": name, "alias": "champion"}, timeout=30
        )
        return str(answer.json()["model_version"]["version"])

    def settings(self, name: str, **changes: object) -> MLflowSettings:
        """The target's section; a busy machine is waited for."""
        given: dict[str, object] = {
            "tracking_url": self.url,
            "name": name,
            "versions": {"v1": 1, "v2": 2},
            "timeout": Seconds(30.0),
            **changes,
        }
        return MLflowSettings(**given)  # type: ignore[arg-type]


@contextlib.contextmanager
def mlflow_server(directory: Path) -> Iterator[Registry]:
    """The server for the length of the block, once it answers."""
    port = free_port()
    argv = [sys.executable, "-c", SERVER, f"sqlite:///{directory}/mlflow.db", str(directory), str(port)]
    environment = {**os.environ, **ENVIRONMENT}
    log = directory / "mlflow.log"
    with (
        log.open("wb") as output,
        running(argv, stdout=output, stderr=subprocess.STDOUT, cwd=directory, env=environment) as process,
    ):
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 150
        while not _answers(url):
            assert process.popen.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Registry(url, directory / "mlflow.db", process.popen.pid)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/2.0/mlflow/registered-models/search", timeout=100).ok  # makes the tables
    except requests.RequestException:
        return False
