"""What real model servers answer gives the counters of native lines that say the same.

The bodies are those of the servers: recorded ones in every run, fresh ones where `make servers` has set the servers
up; MLServer's Kafka records are whole. The events of KServe's agent around the bodies are written here after its
documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from formats.event_traffic import Bodies, bodies_alone, kserve_binary, kserve_stored, mlserver_kafka
from formats.same_traffic import START, Call, Tells, assert_same_counters
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.envelope import envelope_line
from servers.model_servers import missing
from servers.recordings import PROTOCOLS, SERVERS, Exchange, as_answered, ask, calls, recorded, recorded_kafka

NAMES = {"feature_names": ["age", "balance", "plan"]}


def bodies_of(exchanges: list[Exchange], calls: tuple[Call, ...]) -> Bodies:
    by_id = {call.id: exchange for call, exchange in zip(calls, exchanges, strict=True)}
    return lambda call: by_id[call.id]


def assert_counted(name: str, protocol: str, exchanges: list[Exchange]) -> None:
    """KServe's events around the bodies; for MLServer its records too, and the bodies alone."""
    told = as_answered(exchanges)
    bodies = bodies_of(exchanges, told)
    tells_class = name == "mlserver"
    for lines in (kserve_binary(told, bodies), kserve_stored(told, bodies)):
        assert_same_counters(told, lines, FormatOptions("kserve", mapping=NAMES), Tells(prediction=tells_class))
    if name == "mlserver":
        tells = Tells(latency=False)
        assert_same_counters(told, mlserver_kafka(told, bodies), FormatOptions("mlserver"), tells)
    if protocol == "v2":
        options = FormatOptions("oip-v2", model="churn", version="v1", mapping={"model": "none", "version": "none"})
        alone = [_now(call, one_version="v1") for call in told]
        stripped = {call.id: _unnamed(exchange) for call, exchange in zip(told, exchanges, strict=True)}
        lines = bodies_alone(alone, lambda call: stripped[call.id])
        assert_same_counters(alone, lines, options, Tells(latency=False, prediction=tells_class))


def _now(call: Call, one_version: str) -> Call:
    return Call(call.id, START + 7200.0, one_version, call.latency, call.rows)


def _unnamed(exchange: Exchange) -> Exchange:
    request, response = exchange
    return request, {key: value for key, value in response.items() if key not in {"model_name", "model_version"}}


@pytest.mark.parametrize(("name", "protocol"), PROTOCOLS)
def test_recorded_bodies_give_the_counters_of_native(name: str, protocol: str) -> None:
    assert_counted(name, protocol, recorded(name, protocol))


def assert_records_counted(records: Sequence[Mapping[str, Any]]) -> None:
    """The calls as the output topic tells them, at the time of the input record."""
    first = min(record["ts"] for record in records)
    asked = {record["key"]: record for record in records if record["topic"] == "mlserver-input"}
    answered = {record["key"]: record for record in records if record["topic"] == "mlserver-output"}
    by_key = [(asked[call.id]["body"], answered[call.id]["body"]) for call in calls()]
    told = [replace(call, ts=START + asked[call.id]["ts"] - first) for call in as_answered(by_key)]
    lines = [
        envelope_line(
            record["headers"], json.dumps(record["body"]).encode(), record["key"], ts=START + record["ts"] - first
        )
        for record in records
    ]
    assert_same_counters(told, lines, FormatOptions("mlserver"), Tells(latency=False))


def test_recorded_kafka_records_give_the_counters_of_native() -> None:
    records = recorded_kafka()
    assert {record["body"]["id"] for record in records if record["topic"] == "mlserver-input"} == {"the-same-for-all"}
    assert_records_counted(records)
    assert_records_counted(records[::-1])


@pytest.mark.timeout(300)
def test_mlserver_on_kafka_gives_the_counters_of_native(tmp_path: Path) -> None:
    if reason := missing("mlserver"):
        pytest.skip(f"not set up: {reason}")
    kafka = pytest.importorskip("servers.mlserver_kafka", reason="needs confluent-kafka")
    assert_records_counted([record._asdict() for record in kafka.records_of(calls(), tmp_path)])


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.timeout(300)
def test_a_server_that_runs_gives_the_counters_of_native(name: str, tmp_path: Path) -> None:
    if reason := missing(name):
        pytest.skip(f"not set up: {reason}")
    server = SERVERS[name]
    with server.run(tmp_path) as address:
        for protocol, ask_one in server.protocols.items():
            exchanges = ask(address, ask_one)
            assert_counted(name, protocol, exchanges)
            assert [sorted(each) for pair in exchanges for each in pair] == [
                sorted(each) for pair in recorded(name, protocol) for each in pair
            ], f"the recorded bodies have other keys: make servers SERVERS={name}"


def test_every_recording_tells_its_version() -> None:
    for name in SERVERS:
        text = (Path(__file__).parent / "recorded" / f"{name}.json").read_text(encoding="utf-8")
        package, _, version = json.loads(text)["server"].partition(" ")
        assert package == name
        assert f"{package}=={version}" in (Path(__file__).parents[2] / ".ci" / "servers").read_text(encoding="utf-8")
