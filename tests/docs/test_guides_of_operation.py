"""What the guides say of upgrades and of a model registry is what the code does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from guides import blocks, guide, section
from handler_world import free_port
from mlcanary.handler.core.releases import Notice
from mlcanary.handler.ledger.tables import SCHEMA_VERSION
from mlcanary.handler.schema import NotifySettings
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.work.notices import _body
from mlcanary.judge.store import LAYOUT as JUDGE
from mlcanary.sources.checkpoint import LAYOUT as EXPORTER
from mlcanary.store.writer import LAYOUT as STORE

REGISTRY = "A model registry: MLflow"


def test_the_guide_to_upgrades_has_the_layouts_of_this_version() -> None:
    told = dict(re.findall(r"<!-- (\w+) layout -->(\d+)<!-- / -->", guide("upgrade")))
    assert told == {
        "exporter": str(EXPORTER),
        "store": str(STORE),
        "judge": str(JUDGE),
        "ledger": str(SCHEMA_VERSION),
    }


def test_the_settings_of_the_registry_load(tmp_path: Path) -> None:
    text = section(guide("handler"), REGISTRY)
    (target,), notify = blocks(text, "yaml"), re.findall(r"`(notify: .*?)`", text)[0]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "registry_url").write_text("http://127.0.0.1:9321/")
    lines = "".join(line.removeprefix("    ").join(("  ", "\n")) for line in target.splitlines())
    text = f"prometheus: {{url: 'http://127.0.0.1:9090'}}\n{notify}\ntargets:\n- name: router\n  model: clicks\n{lines}"
    assert yaml.safe_load(text)["targets"][0]["target"]["type"] == "mlflow"
    settings = parse_settings(text, str(tmp_path / "handler.yml"))
    assert settings.targets[0].versions == ("v1", "v2")


@contextlib.contextmanager
def registry(status: int) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Stands for MLflow: notes what it is told, and answers with a status."""
    told: list[tuple[str, Any]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "answered"), [(200, 204), (500, 502)])
def test_the_receiver_tells_the_registry_or_asks_to_be_told_again(status: int, answered: int) -> None:
    (code,) = blocks(section(guide("handler"), REGISTRY), "python")
    port = free_port()
    with registry(status) as (url, told):
        environment = {**os.environ, "MLFLOW_TRACKING_URI": url, "PORT": str(port)}
        with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port)
                about = {"model": "clicks", "version": "v2", "destination": "v1"}
                notice = Notice(1, "registry", 1.7e9, "rolled_back", "router", json.dumps(about), 0, 0.0)
                body = _body(notice, NotifySettings(name="registry", url_file="x", format="json"))
                assert requests.post(f"http://127.0.0.1:{port}/", data=body, timeout=10).status_code == answered
            finally:
                process.kill()
    tag = {"name": "clicks", "version": "12", "key": "mlcanary"}
    said = "clicks: the traffic of v2 went back to v1, and the traffic proves it"
    expected: list[tuple[str, Any]] = [("/api/2.0/mlflow/model-versions/set-tag", {**tag, "value": said})]
    if status == 200:
        alias = {"name": "clicks", "alias": "champion", "version": "11"}
        expected.append(("/api/2.0/mlflow/registered-models/alias", alias))
    assert told == expected


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
