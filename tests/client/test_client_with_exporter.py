"""The sample server of the guide, its traffic, and a real exporter that reads what its client wrote or pushed."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client_world import EXPORTER, WRITER, server
from exporter_process import Counters, ExporterProcess, total
from guides import blocks, guide
from mlcanary.client import Client

REQUESTS = 200
PUBLISH = ("--publish.interval", "100ms")


def sample_server(folder: Path, target: str) -> tuple[subprocess.Popen[str], int]:
    """The server of the guide, started with nothing but the standard library; its port."""
    (code,) = (block for block in blocks(guide("client"), "python") if block.startswith("# server.py"))
    script = folder / "server.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, "-S", str(script), "0", target],
        env={"PYTHONPATH": str(EXPORTER)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A run in the background of a shell ignores the signal, and whoever it starts would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def asked(port: int, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """One request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def traffic(port: int) -> dict[str, float]:
    """Ask, and tell outcomes; what must be counted."""
    expected = dict.fromkeys(("correct", "positive", "spent", "failed"), 0.0)
    for i in range(REQUESTS):
        if i % 10 == 9:
            status, _ = asked(port, "/predict", {"income": i})
            assert status == 400
            expected["failed"] += 1
            continue
        status, answer = asked(port, "/predict", {"age": 20 + i % 50, "plan": "pro" if i % 3 else "free"})
        assert status == 200
        stayed = int(i % 4 > 0)
        outcome = {"id": answer["id"], "stayed": stayed} | ({"spent": 2.5} if i % 5 == 0 else {})
        assert asked(port, "/outcome", outcome)[0] == 200
        expected["correct"] += (answer["score"] >= 0.5) == stayed
        expected["positive"] += answer["score"] >= 0.5
        expected["spent"] += 2.5 * (i % 5 == 0)
    return expected


@pytest.mark.parametrize("way", ["file", "push"])
def test_the_traffic_of_the_sample_server_is_counted_exactly(tmp_path: Path, way: str) -> None:
    log = tmp_path / "predictions.jsonl"
    flags = ["--log.path", str(log)] if way == "file" else ["--push"]
    good = REQUESTS * 9 // 10
    with ExporterProcess(*flags, *PUBLISH, log=tmp_path / "exporter.log") as exporter:
        server, port = sample_server(tmp_path, str(log) if way == "file" else f"http://{exporter.address}")
        try:
            expected = traffic(port)
            server.send_signal(signal.SIGINT)  # a tidy end: what waits is sent
            server.wait(timeout=20)
        finally:
            server.kill()
            server.communicate(timeout=20)

        def complete(page: Counters) -> bool:
            return total(page, "mlcanary_labeled_predictions_total") == good

        page = exporter.wait_for(complete)
    v2 = {"model": "churn", "version": "v2"}
    assert total(page, "mlcanary_predictions_total", **v2) == REQUESTS
    assert total(page, "mlcanary_prediction_errors_total", **v2, reason="KeyError") == expected["failed"]
    assert total(page, "mlcanary_labeled_predictions_total", **v2) == good
    assert matrix(page, "correct") == expected["correct"]
    assert matrix(page, "positive") == expected["positive"]
    assert total(page, "mlcanary_business_value_total", **v2, event="purchase") == pytest.approx(expected["spent"])
    assert total(page, "mlcanary_log_parse_errors_total") == 0
    assert total(page, "mlcanary_client_dropped_total") == 0


def matrix(page: Counters, what: str) -> float:
    """Labelled predictions that were right, or that said yes."""
    found = 0.0
    for (name, labels), value in page.items():
        if name == "mlcanary_labeled_predictions_total":
            cell = dict(labels)
            yes, right = cell["predicted"] == "1", cell["predicted"] == cell["actual"]
            found += value * (yes if what == "positive" else right)
    return found


def test_a_log_that_several_processes_rotate_is_counted_exactly_and_so_is_what_they_dropped(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    with ExporterProcess("--log.path", str(log), *PUBLISH, log=tmp_path / "exporter.log") as exporter:
        writers = [server(WRITER, str(log), "500", f"w{n}") for n in range(3)]
        client = Client(log, model="churn", version="v2", interval=0.01)
        client.prediction({"x": object()})
        client.prediction({"x": 1.0}, score=0.5)
        client.prediction(7)
        client.close()
        for writer in writers:
            writer.communicate(timeout=60)
            assert writer.returncode == 0
        page = exporter.wait_for(lambda page: total(page, "mlcanary_predictions_total") == 1501)
        assert total(page, "mlcanary_predictions_total") == 1501
        assert total(page, "mlcanary_log_rotations_total") > 3
        assert total(page, "mlcanary_client_dropped_total", reason="unserialisable") == 1
        assert total(page, "mlcanary_client_dropped_total", reason="invalid") == 1
        assert total(page, "mlcanary_client_dropped_total") == 2
        assert total(page, "mlcanary_log_lost_total") == total(page, "mlcanary_log_parse_errors_total") == 0


def test_an_exporter_that_is_killed_and_comes_back_gets_every_record_once(tmp_path: Path) -> None:
    flags = ["--push", "--state.path", str(tmp_path / "state.db"), *PUBLISH]
    with ExporterProcess(*flags, log=tmp_path / "first.log") as exporter:
        address = exporter.address
        client = Client(f"http://{address}", model="churn", version="v2", interval=0.001)
        sent = [client.prediction({"x": i}, score=0.9) for i in range(1000)]
        exporter.wait_for(lambda page: total(page, "mlcanary_predictions_total") > 0)
        for i in range(1000):  # some of these are on their way when it is killed
            sent.append(client.prediction({"x": i}, score=0.9))
            if i == 500:
                exporter.kill()
    for made in sent:
        client.label(made, 1)
    flags += ["--web.listen-address", address]
    with ExporterProcess(*flags, log=tmp_path / "second.log") as exporter:
        assert client.flush(20)
        page = exporter.wait_for(lambda page: total(page, "mlcanary_labeled_predictions_total") == 2000)
        assert total(page, "mlcanary_predictions_total") == 2000
        assert total(page, "mlcanary_labeled_predictions_total") == 2000
    client.close()
    assert client.stats().sent == 4000
    assert sum(client.stats().dropped.values()) == 0
