"""A little model server with nothing but the standard library: `little_server.py PORT STATE MODE LINK`.

It serves versions by weights. STATE is its memory, a JSON file: the weights, how often it came to a split without v2,
the ids of the orders it got. With a LINK (empty: none) it serves what that points to, read at the start and at
`POST /reload`; else `POST /` with `{"weights": {...}}` sets them. `GET /` tells. The file MODE says how it treats an
order: obey, refuse, hang, lie (answers ok, changes nothing), partly, die (obeys, then hangs up without an answer).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STATE = MODE = Path()
LINK: Path | None = None
LOCK = threading.Lock()
Weights = dict[str, float]


def told() -> dict[str, object]:
    """The memory."""
    found: dict[str, object] = json.loads(STATE.read_text())
    return found


def serve(weights: Weights, order: str) -> None:
    """Serve by these weights from now on, and remember it."""
    with LOCK:
        state = told()
        if not weights["v2"] and state["weights"] != weights:
            state["effects"] = int(str(state["effects"])) + 1
        orders = state["orders"]
        assert isinstance(orders, list)
        state = {**state, "weights": weights, "orders": [*orders, order]}
        temporary = STATE.with_suffix(".new")
        temporary.write_text(json.dumps(state))
        temporary.replace(STATE)


def linked() -> Weights:
    """The weights that the link asks for."""
    assert LINK is not None
    active = os.readlink(LINK).removeprefix("models/")
    return {version: float(version == active) for version in ("v1", "v2")}


class Handler(BaseHTTPRequestHandler):
    """See the module."""

    def do_GET(self) -> None:
        """Tell the weights."""
        self._answer(200)

    def do_POST(self) -> None:
        """Obey an order, or not."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mode, order = MODE.read_text(), self.headers.get("Idempotency-Key") or ""
        if mode == "hang":
            threading.Event().wait(60)
        if mode == "refuse":
            self._answer(409)
            return
        if mode in ("obey", "partly", "die"):
            wanted: Weights = linked() if self.path == "/reload" else json.loads(body)["weights"]
            serve(self._part(wanted) if mode == "partly" else wanted, order)
        if mode == "die":
            self.close_connection = True
            return
        self._answer(200)

    def _part(self, wanted: Weights) -> Weights:
        """Whoever gains has gained, and nobody has lost yet."""
        before = told()["weights"]
        assert isinstance(before, dict)
        return {version: max(weight, before[version]) for version, weight in wanted.items()}

    def _answer(self, status: int) -> None:
        body = json.dumps({"weights": told()["weights"]}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Starts again on the port that it had."""

    daemon_threads = True
    allow_reuse_address = True


if __name__ == "__main__":
    STATE, MODE = Path(sys.argv[2]), Path(sys.argv[3])
    LINK = Path(sys.argv[4]) if sys.argv[4] else None
    if LINK is not None and told()["weights"] != linked():
        serve(linked(), "start")
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
