"""A real Alertmanager with the shipped configuration posts with the token that lies next to it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mlcanary.catalog import WATCHDOG_ALERT
from prometheus_tools import ROOT, alertmanager, post, wait_for

PORT = "10879"


def test_watchdog_arrives_at_once_with_the_bearer_token(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "alertmanager", tmp_path / "alertmanager", ignore=shutil.ignore_patterns("secrets"))
    configuration = tmp_path / "alertmanager" / "alertmanager.yml"
    (tmp_path / "alertmanager" / "secrets").mkdir()
    (tmp_path / "alertmanager" / "secrets" / "handler_token").write_text("a token of this test\n")
    with webhook() as (port, calls):
        # The fixed port may be taken on this machine; nothing else is changed.
        configuration.write_text(configuration.read_text().replace(PORT, str(port)))
        with alertmanager(tmp_path, configuration) as url:
            post(f"{url}/api/v2/alerts", [{"labels": {"alertname": WATCHDOG_ALERT, "severity": "none"}}])
            wait_for("the webhook", lambda: calls)
    path, token, payload = calls[0]
    assert path == "/v1/alerts"
    assert token == "Bearer a token of this test"
    assert payload["version"] == "4"
    assert payload["receiver"] == "mlcanary-watchdog"


@contextmanager
def webhook() -> Iterator[tuple[int, list[tuple[str, str, Any]]]]:
    """An HTTP server that remembers path, authorization and body of each POST."""
    calls: list[tuple[str, str, Any]] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            calls.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
