"""What real model servers answered to the calls of `formats.same_traffic`, and how it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from formats.same_traffic import Call, traffic
from servers import model_servers

FOLDER = Path(__file__).parent / "recorded"
KAFKA = "mlserver-kafka.jsonl"
Ask = Callable[[str, Call], tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True)
class Server:
    """A server, the package whose version is told, and how it is asked."""

    name: str
    package: str
    run: Callable[[Path], AbstractContextManager[str]]
    protocols: dict[str, Ask]


SERVERS = {
    "mlserver": Server("mlserver", "mlserver", model_servers.mlserver, {"v2": model_servers.ask_mlserver}),
    "kserve": Server(
        "kserve",
        "kserve",
        model_servers.kserve,
        {"v1": model_servers.ask_kserve_v1, "v2": model_servers.ask_kserve_v2},
    ),
}
PROTOCOLS = [(name, protocol) for name, server in SERVERS.items() for protocol in server.protocols]


def calls() -> tuple[Call, ...]:
    """The calls that servers are asked; their models want all features."""
    return tuple(call for call in traffic(30, seed=11) if all(row.features["age"] is not None for row in call.rows))


Exchange = tuple[dict[str, Any], dict[str, Any]]


def ask(address: str, ask_one: Ask) -> list[Exchange]:
    """Request and response of every call."""
    return [ask_one(address, call) for call in calls()]


def recorded(name: str, protocol: str) -> list[Exchange]:
    """The exchanges in the file of a server."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [(each["request"], each["response"]) for each in document["exchanges"][protocol]]


def recorded_kafka() -> list[dict[str, Any]]:
    """MLServer's records of both topics: topic, key, headers, ts, body."""
    return [json.loads(line) for line in (FOLDER / KAFKA).read_text(encoding="utf-8").splitlines()]


def record(name: str, folder: Path) -> Path:
    """Ask a server everything and write its file."""
    server = SERVERS[name]
    http = folder / "http"
    http.mkdir()
    with server.run(http) as address:
        exchanges = {protocol: ask(address, ask_one) for protocol, ask_one in server.protocols.items()}
    told = json.dumps(f"{server.package} {model_servers.version_of(name, server.package)}")
    lists = [
        f" {json.dumps(protocol)}: [\n"
        + ",\n".join(f"  {json.dumps({'request': asked, 'response': answered})}" for asked, answered in found)
        + "\n ]"
        for protocol, found in exchanges.items()
    ]
    text = f'{{"server": {told}, "exchanges": {{\n' + ",\n".join(lists) + "\n}}\n"
    path = FOLDER / f"{name}.json"
    path.write_text(text, encoding="utf-8")
    if name == "mlserver":
        from servers.mlserver_kafka import records_of  # noqa: PLC0415  (a broker is needed only here)

        broker = folder / "kafka"
        broker.mkdir()
        lines = [json.dumps(each._asdict()) for each in records_of(calls(), broker)]
        (FOLDER / KAFKA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def as_answered(exchanges: list[Exchange]) -> tuple[Call, ...]:
    """The calls with what the server said of them, read off its answers one value at a time."""
    answered = []
    for call, (_, response) in zip(calls(), exchanges, strict=True):
        outputs = {output["name"]: output["data"] for output in response.get("outputs", ())}
        shares = response["predictions"] if "predictions" in response else outputs["predict_proba"][1::2]
        classes = outputs.get("predict", [int(share >= 0.5) for share in shares])
        rows = tuple(
            replace(row, score=shares[i], prediction=classes[i], features=dict(row.features))
            for i, row in enumerate(call.rows)
        )
        answered.append(replace(call, rows=rows))
    return tuple(answered)
