"""Push by HTTP: what is stored, what is tried again, what is given up."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from client_world import decoded_of, output_of, wait_until
from mlcanary.client import Client

Answer = tuple[int, dict[str, str]]
STORED: Answer = (200, {})


class Receiver(ThreadingHTTPServer):
    """Stores bodies as the exporter's endpoints do. `answers` are given first, one a request, then 200."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.stored: list[tuple[str, dict[str, Any]]] = []
        self.seen: list[tuple[str, str | None, float]] = []
        self.connections = 0
        self.hang_up = False
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def ids(self, path: str = "/v1/predictions") -> Counter[str]:
        """How often each id was stored."""
        return Counter(line["id"] for where, line in self.stored if where == path and "id" in line)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def setup(self) -> None:
        """Count connections."""
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        """Store, or answer what was ordered."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers["Authorization"], time.monotonic()))
        self.server.gate.wait(20)
        status, headers = self.server.answers.pop(0) if self.server.answers else STORED
        if status == 0:  # the connection breaks, and nobody knows why
            self.close_connection = True
            return
        if 200 <= status < 300:
            assert self.headers["Content-Type"] == "application/x-ndjson"
            self.server.stored += [(self.path, json.loads(line)) for line in body.splitlines()]
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = self.server.hang_up

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.gate.set()
        made.shutdown()
        thread.join()


def test_predictions_and_labels_have_their_own_addresses_and_one_connection(receiver: Receiver) -> None:
    client = Client(receiver.url + "/", model="m", interval=0.005)
    ids = [client.prediction({"x": i}, score=0.5) for i in range(500)]
    client.label(ids[0], 1)
    client.purchase(ids[1], 5.0)
    assert client.flush()
    assert receiver.ids() == Counter(ids)
    assert receiver.ids("/v1/labels") == Counter(ids[:2])
    assert {path for path, _, _ in receiver.seen} == {"/v1/predictions", "/v1/labels"}
    assert (receiver.connections, client.stats().sent, client.stats().failures) == (1, 502, 0)
    lines = "".join(json.dumps(line) + "\n" for _, line in receiver.stored)
    assert decoded_of(lines.encode()).rejects == []
    client.close()


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(receiver: Receiver) -> None:
    receiver.hang_up = True  # after each answer, and without saying so
    client = Client(receiver.url, interval=0.005)
    for i in range(3):
        client.prediction({"x": i})
        assert client.flush()
    assert (client.stats().sent, client.stats().failures, receiver.connections) == (3, 0, 3)
    client.close()


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
def test_what_may_pass_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {})]
    client = Client(receiver.url, interval=0.005)
    made = [client.prediction({"x": i}) for i in range(10)]
    assert client.flush()
    assert receiver.ids() == Counter(made)
    assert client.stats().failures == 1
    assert sum(client.stats().dropped.values()) == 0
    client.close()


def test_the_receiver_says_how_long_to_wait(receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "1"})]
    client = Client(receiver.url, interval=0.005)
    client.prediction({"x": 1})
    assert client.flush()
    (_, _, first), (_, _, second) = receiver.seen
    assert second - first >= 1.0
    client.close()


@pytest.mark.parametrize("status", [302, 400, 401, 403, 413, 422])
def test_a_final_no_costs_its_records_and_is_counted(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {"Location": "/elsewhere"})]
    client = Client(receiver.url, interval=0.005)
    client.prediction({"x": 1})
    assert client.flush()
    after = client.prediction({"x": 2})
    assert client.flush()
    assert receiver.ids() == Counter([after])
    assert client.stats().dropped["refused"] == 1
    assert str(status) in client.stats().last_error
    dropped = [line["dropped"] for _, line in receiver.stored if line.get("kind") == "client"]
    assert dropped == [{"refused": 1}]
    client.close()


def test_the_token_is_read_anew_for_every_batch(receiver: Receiver, tmp_path: Path) -> None:
    token = tmp_path / "token"
    client = Client(receiver.url, token_file=token, interval=0.005)
    client.prediction({"x": 1})
    wait_until(lambda: client.stats().failures > 0)  # no token yet: kept until there is one
    for text in ("first\n", "second"):
        token.write_text(text)
        client.prediction({"x": 2})
        assert client.flush()
    assert {authorization for _, authorization, _ in receiver.seen} == {"Bearer first", "Bearer second"}
    assert client.stats().sent == 3
    client.close()


def test_ten_times_the_rate_is_dropped_and_told(receiver: Receiver) -> None:
    receiver.gate.clear()
    client = Client(receiver.url, capacity=100, interval=0.005)
    client.prediction({"x": 0})
    wait_until(lambda: bool(receiver.seen))
    for i in range(1000):
        client.prediction({"x": i})  # returns, though the receiver stands still until its gate is set
    assert client.stats().dropped["queue_full"] == 900
    receiver.gate.set()
    assert client.flush()
    assert sum(receiver.ids().values()) == client.stats().sent == 101
    assert [line["dropped"] for _, line in receiver.stored if "dropped" in line] == [{"queue_full": 900}]
    client.close()


def test_a_dead_exporter_costs_records_only_and_the_exit_has_a_deadline() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        url = f"http://127.0.0.1:{gone.server_port}"
    code = """
import json, sys, time
from mlcanary.client import Client
client = Client(sys.argv[1], capacity=50, interval=0.005, close_timeout=0.3)
begun = time.monotonic()
for i in range(500):
    client.prediction({"x": i})
served = time.monotonic() - begun
end = time.monotonic() + 20
while not client.stats().failures and time.monotonic() < end:
    client.flush(0.05)
begun = time.monotonic()
client.close()
stats = client.stats()
print(json.dumps([served, time.monotonic() - begun, stats.sent, sum(stats.dropped.values()), stats.last_error]))
"""
    served, closing, sent, dropped, error = json.loads(output_of(code, url))
    assert (sent, dropped) == (0, 500)
    assert "refused" in error.lower()
    assert served < 5
    assert closing < 5


def test_an_exporter_that_hangs_does_not_hold_up_the_exit(receiver: Receiver) -> None:
    receiver.gate.clear()
    client = Client(receiver.url, interval=0.005, close_timeout=0.1)
    client.prediction({"x": 0})
    wait_until(lambda: bool(receiver.seen))
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 4
    receiver.gate.set()


def test_over_tls_only_to_a_server_that_is_known(tmp_path: Path, receiver: Receiver) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    url = receiver.url.replace("http:", "https:")
    stranger = Client(url, interval=0.005, close_timeout=0.05)
    stranger.prediction({"x": 1})
    wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in stranger.stats().last_error)
    stranger.close()
    client = Client(url, ca_file=certificate, interval=0.005)
    sent = client.prediction({"x": 2})
    assert client.flush()
    assert receiver.ids() == Counter([sent])
    client.close()
