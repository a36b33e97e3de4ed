"""`mlcanary explain`: what was decided and why, and whether it comes out again."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from click.testing import CliRunner, Result

import judge_views as views
from mlcanary.cli.explain import command
from mlcanary.errors import ConfigError, InputError
from mlcanary.judge.contract import Assessment, CanaryKey, Plan, Step
from mlcanary.judge.records import build_record

STEPS = [
    Step(views.START + 30.0 * k, views.START + 30.0 * (k + 1), {"requests": (9.0, 1.0)}, {"requests": (90.0, 2.0)})
    for k in range(59)
]
SAID = views.bad().assessment


def fold(key: CanaryKey, _plan: Plan, steps: Sequence[Step]) -> Assessment:
    """Says what the record of `made()` says, of these steps."""
    return msgspec.structs.replace(SAID, key=key, steps=len(steps), judged=steps[-1].end)


@pytest.fixture(autouse=True)
def judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that is quick and needs no traffic."""
    module = ModuleType("mlcanary.judge.canary")
    module.fold = fold  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlcanary.judge.canary", module)


def made(**changes: object) -> bytes:
    """A record whose assessment says what is given."""
    return build_record(views.BAD, views.PLAN, STEPS, msgspec.structs.replace(SAID, **changes), "0.0.9", "")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A file with a record that recomputes."""
    path = tmp_path / "record.json"
    path.write_bytes(made())
    return path


def run(*arguments: str | Path, given: bytes | None = None) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], input=given)


def test_it_tells_what_was_decided_when_and_why(record: Path) -> None:
    result = run(record)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "clicks: v2 against v1"
    assert lines[1] == "verdict    rollback (worse) since 2027-01-15 08:25:00Z"
    assert lines[2] == f"why        {SAID.text}"
    assert lines[3] == "judged     2027-01-15 08:00:00Z to 2027-01-15 08:29:30Z"
    assert lines[-1] == "recomputed from 59 steps: equal, bit for bit"


def test_it_shows_the_evidence_in_columns(record: Path) -> None:
    lines = run(record).output.splitlines()
    assert sum(line.startswith("measure ") for line in lines) == 1
    (loss,) = (line for line in lines if line.startswith("log_loss"))
    for said in ("0.4512 nats", "0.4021 nats", "+0.0491 nats", "+0.029 … +0.0692", "5,210", "46,890", "8.90"):
        assert said in loss
    assert loss.endswith("−6.50")
    assert any(line.split()[:3] == ["quality", "8.31", "6.21"] for line in lines)
    assert any(line.startswith("device_type") and line.endswith("guilty") for line in lines)
    assert not any(line.startswith("age") and line.endswith("guilty") for line in lines)


def test_gates_are_told(tmp_path: Path) -> None:
    path = tmp_path / "held.json"
    path.write_bytes(made(gates=views.held().assessment.gates))
    assert "held by    shared_cause: The baseline degrades too" in run(path).output


def test_a_decision_that_does_not_come_out_again_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(made(may_expand=True, since=SAID.since + 1e-6))
    result = run(path)
    assert result.exit_code == 1
    assert "recomputed from 59 steps: NOT EQUAL" in result.output
    assert "  may_expand: recorded True, recomputed False" in result.output
    assert "  since: recorded 1800001500.000001, recomputed 1800001500.0" in result.output
    assert "decided by mlcanary 0.0.9, recomputed by" in result.output


def test_it_reads_standard_input() -> None:
    assert run("-", given=made()).output.endswith("equal, bit for bit\n")


def test_json(record: Path, tmp_path: Path) -> None:
    found = json.loads(run(record, "--output", "json").output)
    assert (found["equal"], found["differences"], found["steps"]) == (True, [], 59)
    assert found["recorded"] == found["recomputed"] == json.loads(msgspec.json.encode(SAID))
    path = tmp_path / "other.json"
    path.write_bytes(made(reason="other"))
    result = run(path, "--output", "json")
    assert (result.exit_code, json.loads(result.output)["equal"]) == (1, False)
    assert json.loads(result.output)["differences"] == ["reason: recorded 'other', recomputed 'worse'"]


def test_a_broken_or_missing_record_is_an_error_in_words(record: Path, tmp_path: Path) -> None:
    document = json.loads(record.read_bytes())
    document["assessment"]["verdict"] = "promote"
    record.write_text(json.dumps(document))
    result = run(record)
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "decision record: assessment: does not fit its digest"
    missing = run(tmp_path / "no.json")
    assert isinstance(missing.exception, ConfigError)
    assert "cannot be read" in str(missing.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "b"), "give one record, or --url with MODEL VERSION"),
        (("clicks", "--url", "http://127.0.0.1:1"), "--url needs MODEL VERSION"),
        ((), "Missing argument"),
    ],
)
def test_wrong_arguments_are_told(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


class _Judge(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/v1/record/team%2Fclicks/v2"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(made() if known else b'{"error": "no canary"}')

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    """A judge that has one record."""
    with HTTPServer(("127.0.0.1", 0), _Judge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_asks_a_judge(address: str) -> None:
    assert run("--url", f"{address}/", "team/clicks", "v2").output.endswith("equal, bit for bit\n")
    result = run("--url", address, "clicks", "v9")
    assert isinstance(result.exception, InputError)
    assert 'status 404: {"error": "no canary"}' in str(result.exception)


def test_a_judge_that_is_away_is_told() -> None:
    result = run("--url", "http://127.0.0.1:1", "clicks", "v2")
    assert isinstance(result.exception, InputError)
    assert result.exception.hint == "is the judge running?"


def test_without_the_extra_it_says_what_to_install(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlcanary.judge.canary", None)
    result = run(record)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.hint == "pip install 'mlcanary[judge]'"
