"""The client in LitServe and MLflow's scoring server: what callers were answered is what is counted."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from formats.same_traffic import START, Tells, assert_same_counters, traffic
from mlcanary.formats.contract import FormatOptions
from servers.client_servers import CLIENT_SERVERS
from servers.model_servers import missing, post

SECONDS = 20.0


@pytest.mark.parametrize("name", CLIENT_SERVERS)
@pytest.mark.timeout(300)
def test_answers_of_a_server_that_runs_are_the_records_of_its_client(name: str, tmp_path: Path) -> None:
    if reason := missing(name):
        pytest.skip(f"not set up: {reason}")
    server = CLIENT_SERVERS[name]
    calls = [c for c in traffic(20, seed=5, largest_batch=1) if c.rows[0].features["age"] is not None]
    with server.run(tmp_path) as address:
        answers = [server.answer(post(f"{address}{server.path}", server.request(call))) for call in calls]
        lines = written(tmp_path / "predictions.jsonl", len(calls))
    records = {record["id"]: record for record in map(json.loads, lines)}
    told = [
        replace(
            call,
            id=answer["id"],
            version="v1",
            latency=records[answer["id"]]["latency_ms"] / 1000.0,
            rows=(replace(call.rows[0], score=answer["score"]),),
        )
        for call, answer in zip(calls, answers, strict=True)
    ]
    at = {call.id: call.ts for call in told}
    moved = [json.dumps({**records[row_id], "ts": ts}).encode() for row_id, ts in at.items()]
    assert min(at.values()) >= START
    assert_same_counters(told, moved, FormatOptions(), Tells(prediction=False))


def written(log: Path, count: int) -> list[bytes]:
    """The lines of the client, whose thread writes them a moment after the answer."""
    deadline = time.monotonic() + SECONDS
    while len(lines := log.read_bytes().splitlines() if log.exists() else []) < count:
        assert time.monotonic() < deadline, f"{len(lines)} of {count} records within {SECONDS:g} s"
        time.sleep(0.05)
    return lines
