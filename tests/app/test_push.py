"""Pushes to a real exporter: killed at any moment, out of disk, reloaded, on the network, without a state file."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from exporter_process import ExporterProcess, total
from formats.event_traffic import halves, kserve_headers, tensors
from formats.same_traffic import traffic
from own_ports import free_port

BATCH = 50
FAST = ("--publish.interval", "100ms", "--poll.interval", "20ms")
PREDICTIONS, DUPLICATES = "mlcanary_predictions_total", "mlcanary_duplicate_predictions_total"


def batch(number: int, size: int = BATCH) -> bytes:
    """Predictions with ids of their own, and the label of each."""
    rows: list[dict[str, object]] = []
    for i in range(size):
        name = f"{number}-{i}"
        rows.append({"id": name, "model": "m", "version": f"v{i % 2}", "score": 0.7})
        rows.append({"kind": "label", "id": name, "model": "m", "label": i % 5 == 0})
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def push(address: str, body: bytes, path: str = "/v1/predictions", **headers: str) -> tuple[int, str]:
    """Status and text of the answer."""
    request = urllib.request.Request(f"http://{address}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Pusher(threading.Thread):
    """Pushes batch after batch until it is told to stop; tries a batch again until it is answered with 202."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.address = ""
        self.answered = 0
        self.statuses: Counter[int] = Counter()
        self.ending = threading.Event()

    def run(self) -> None:
        number, last, connection = 0, "", http.client.HTTPConnection("127.0.0.1")
        while not self.ending.is_set():
            address = self.address
            try:
                if address != last:
                    connection.close()
                    connection, last = http.client.HTTPConnection(address, timeout=10), address
                connection.request("POST", "/v1/predictions", batch(number))
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                last = ""
                self.ending.wait(0.01)
                continue
            self.statuses[answer.status] += 1
            if answer.status == 202:
                number += 1
                self.answered = number
        connection.close()


def test_every_answered_line_counts_once_through_kills(tmp_path: Path) -> None:
    """A batch whose answer a kill has swallowed is pushed again; its ids tell that it is the same one."""
    flags = ("--push", "--state.path", str(tmp_path / "state.db"), *FAST)
    pusher = Pusher()
    for _ in range(3):
        with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
            pusher.address = exporter.address
            if pusher.ident is None:
                pusher.start()
            goal = pusher.answered + 15
            while pusher.answered < goal:
                exporter.pause(0.005)
            exporter.kill()
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        pusher.address = exporter.address
        goal = pusher.answered + 5
        while pusher.answered < goal:
            exporter.pause(0.005)
        pusher.ending.set()
        pusher.join()
        wanted = pusher.answered * BATCH
        page = exporter.wait_for(lambda page: total(page, "mlcanary_labeled_predictions_total") >= wanted)
        assert total(page, PREDICTIONS) == wanted
        assert total(page, PREDICTIONS, version="v1") == wanted / 2
        assert total(page, "mlcanary_labeled_predictions_total", actual="1") == wanted / 5
        assert total(page, "mlcanary_labeled_predictions_total") == wanted
        assert total(page, "mlcanary_log_lost_total", source="push") == 0
        assert set(pusher.statuses) == {202}
        page = exporter.wait_for(lambda page: total(page, "mlcanary_log_lag_bytes", source="push") == 0)
        assert total(page, "mlcanary_log_lag_bytes", source="push") == 0
        assert exporter.terminate() == 0


def test_a_full_disk_and_a_full_spool_refuse_and_recover_without_loss(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk: both end in a write that takes a part of the data."""
    config = tmp_path / "exporter.yml"
    config.write_text("push: {max_spool_bytes: 1048576, max_body_bytes: 262144}\n")
    flags = ("--config.file", str(config), "--state.path", str(tmp_path / "state.db"), "--poll.interval", "20ms")
    with ExporterProcess(*flags, "--publish.interval", "2s", log=tmp_path / "exporter.log") as exporter:
        assert push(exporter.address, batch(0)) == (202, '{"accepted": 100}')
        exporter.wait_for(lambda page: total(page, PREDICTIONS) == BATCH)
        segment = max((tmp_path / "state.db.push" / "records").iterdir())
        _, most = resource.prlimit(exporter.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(exporter.pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 1000, most))
        status, said = push(exporter.address, batch(1))
        assert (status, said) == (503, '{"error": "the disk is full"}')
        assert segment.read_bytes() == batch(0)
        resource.prlimit(exporter.pid, resource.RLIMIT_FSIZE, (most, most))
        assert push(exporter.address, batch(1))[0] == 202
        answers, number = [202], 2
        large = b"".join(batch(n) for n in range(100, 120))
        while 503 not in answers and number < 200:
            answers.append(push(exporter.address, large.replace(b'"id": "', b'"id": "%d-' % number))[0])
            number += 1
        assert 503 in answers
        taken = answers[1:].count(202)
        wanted = BATCH * (2 + 20 * taken)
        page = exporter.wait_for(lambda page: total(page, PREDICTIONS) >= wanted)
        assert total(page, PREDICTIONS) == wanted
        assert total(page, DUPLICATES) == 0
        codes = {code: total(page, "mlcanary_push_requests_total", code=str(code)) for code in (202, 503)}
        assert codes == {202: 2 + taken, 503: 1 + answers.count(503)}


def test_rejects_show_with_their_source_and_a_reload_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text("push: {model: pushed}\n")
    flags = ("--config.file", str(config), "--state.path", str(tmp_path / "state.db"), *FAST)
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        assert push(exporter.address, b'{"id": "a", "score": 0.9}\n{"id": "b", "score": 7}\nbroken\n')[0] == 202
        event = {"ce-specversion": "1.0", "ce-id": "e1", "ce-type": "t", "Content-Type": "application/json"}
        assert push(exporter.address, b'{"no": "prediction"}', "/v1/events", **event) == (202, "")
        page = exporter.wait_for(lambda page: total(page, "mlcanary_log_parse_errors_total") >= 3)
        assert total(page, "mlcanary_log_parse_errors_total", source="push", reason="score") == 1
        assert total(page, "mlcanary_log_parse_errors_total", source="push", reason="json") == 1
        assert total(page, "mlcanary_log_parse_errors_total", source="push:events") == 1
        assert "broken" in exporter.get("/")
        config.write_text("push: {model: other, max_body_bytes: 1024}\n")
        assert push(exporter.address, b"", "/-/reload") == (200, "reloaded\n")
        assert push(exporter.address, batch(0))[0] == 413
        assert push(exporter.address, b'{"id": "a", "label": 1, "model": "pushed"}', "/v1/labels")[0] == 202
        assert push(exporter.address, b'{"id": "c", "score": 0.9}')[0] == 202
        page = exporter.wait_for(lambda page: total(page, PREDICTIONS, model="other") == 1)
        assert total(page, PREDICTIONS, model="pushed") == 1
        assert total(page, "mlcanary_labeled_predictions_total", model="pushed", actual="1") == 1
        config.write_text("sources: [{path: x}]\n")
        status, said = push(exporter.address, b"", "/-/reload")
        assert status == 500
        assert "push: cannot be turned on or off by a reload" in said


def test_events_of_kserve_count_what_the_same_calls_count(tmp_path: Path) -> None:
    """Requests and responses in binary mode, some in the other order; each row of a request is a prediction."""
    calls = [replace(call, ts=time.time() - 60 + i) for i, call in enumerate(traffic(20))]
    with ExporterProcess("--push", *FAST, log=tmp_path / "exporter.log") as exporter:
        for call, side, ts, body in halves(calls, tensors):
            assert push(exporter.address, body, "/v1/events", **kserve_headers(call, side, ts)) == (202, "")
        wanted = Counter(call.version for call in calls for _ in call.rows)
        page = exporter.wait_for(lambda page: total(page, PREDICTIONS) >= wanted.total())
        counted = {version: total(page, PREDICTIONS, version=version) for version in wanted}
        assert counted == wanted
        assert total(page, "mlcanary_log_parse_errors_total") == 0


def test_without_a_state_file_the_spool_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with ExporterProcess("--push", *FAST, log=tmp_path / "exporter.log") as exporter:
        assert push(exporter.address, batch(0))[0] == 202
        page = exporter.wait_for(lambda page: total(page, PREDICTIONS) == BATCH)
        assert total(page, PREDICTIONS) == BATCH
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        assert push(exporter.address, batch(1))[0] == 202
        assert exporter.terminate() == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert b"were not read in time" not in (tmp_path / "exporter.log").read_bytes()


def test_whoever_may_be_reached_from_the_network_asks_for_proof(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlcanary", "exporter", "--push"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        "mlcanary: push is on, but :10877 is open to the network without authentication\n"
        "  hint: set bearer_token_file, basic_auth_users or principals in --web.config.file, "
        "or --web.listen-address=127.0.0.1:10877\n",
    )
    (tmp_path / "token").write_text("a-token-of-the-servers")
    (tmp_path / "web.yml").write_text("bearer_token_file: token\n")
    everywhere = ("--web.listen-address", f":{free_port()}")
    flags = ("--push", "--web.config.file", str(tmp_path / "web.yml"), *everywhere)
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        assert push(exporter.address, batch(0))[0] == 401
        assert push(exporter.address, batch(0), Authorization="Bearer a-token-of-the-servers")[0] == 202


def test_what_is_piped_in_counts_and_the_page_outlives_the_pipe(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlcanary", "exporter", "--log.path", "-", *FAST]
    command += ["--web.listen-address", f"127.0.0.1:{(port := free_port())}"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdin is not None
        for number in range(100):
            child.stdin.write(batch(number))
        child.stdin.close()
        deadline, text = time.monotonic() + 20, ""
        wanted = 'mlcanary_log_lines_total{source="stdin"} 10000'
        while wanted not in text and time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
        assert wanted in text
        assert 'mlcanary_up{source="stdin"} 1' in text
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
