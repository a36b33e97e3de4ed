"""Open Inference Protocol bodies and MLServer's Kafka records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter_process import Counters, ExporterProcess, parsed, total
from formats.event_traffic import halves, mlserver_kafka, tensors
from formats.same_traffic import NOW, START, Call, traffic
from mlcanary.engine import Engine
from mlcanary.formats.contract import Decoded, FormatOptions
from mlcanary.formats.envelope import envelope_line
from mlcanary.formats.registry import make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, Prediction
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.checkpoint import Checkpoint

REQUEST: dict[str, Any] = {"inputs": [{"name": "age", "shape": [1], "datatype": "FP64", "data": [41]}]}
RESPONSE: dict[str, Any] = {
    "model_name": "churn",
    "outputs": [{"name": "p", "shape": [1], "datatype": "FP64", "data": [0.7]}],
}


def read(*lines: bytes, name: str = "oip-v2", **mapping: Any) -> Decoded:
    options = FormatOptions(name, mapping=mapping)
    return make_format(options, lambda _model: ModelPlan()).decode_block(b"\n".join(lines) + b"\n", NOW, "log")


def only(found: Decoded) -> Prediction:
    assert found.rejects == []
    (record,) = found.records
    assert isinstance(record, Prediction)
    return record


def line(body: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({**body, **more}).encode()


def test_trap_the_key_of_the_record_wins_over_the_id_of_the_body() -> None:
    lines = [
        envelope_line({}, line(body, id="body"), key=key, ts=START + shift)
        for key, shift in (("k-1", 0), ("k-2", 1))
        for body in (REQUEST, RESPONSE)
    ]
    found = read(lines[0], lines[2], lines[3], lines[1], name="mlserver")
    assert [(record.id, record.ts) for record in found.records] == [("k-2", START + 1), ("k-1", START)]


def test_a_record_without_key_is_paired_by_the_id_of_its_body() -> None:
    for key in (None, ""):
        lines = [envelope_line({}, line(body, id="r-1"), key=key, ts=START) for body in (REQUEST, RESPONSE)]
        assert only(read(*lines, name="mlserver")).id == "r-1"
    assert [reject.reason for reject in read(line(REQUEST), line(RESPONSE)).rejects] == ["no_id", "no_id"]


def test_version_and_model_of_body_and_header() -> None:
    headers = {"mlserver-model": "by-header", "mlserver-version": "h1"}

    def key(answer: dict[str, Any]) -> ModelKey:
        lines = envelope_line(headers, line(REQUEST), key="k"), envelope_line({}, line(answer), key="k")
        return only(read(*lines, name="mlserver")).key

    assert key({**RESPONSE, "model_version": "b1"}) == ModelKey("churn", "b1")
    assert key({**RESPONSE, "model_version": "None"}) == ModelKey("churn", "h1")
    assert key({"outputs": RESPONSE["outputs"]}) == ModelKey("by-header", "h1")


def test_both_halves_on_one_line() -> None:
    record = {"id": "r-1", "ts": "2026-11-01T10:00:00Z", "version": "v3", "latency_ms": 12.5}
    found = only(read(json.dumps({**record, "request": REQUEST, "response": RESPONSE}).encode()))
    assert (found.id, found.ts, found.key) == ("r-1", 1793527200.0, ModelKey("churn", "v3"))
    assert (found.latency, found.features, found.score) == (0.0125, {"age": 41}, 0.7)
    broken = read(json.dumps({"latency_ms": "soon", "request": REQUEST, "response": RESPONSE}).encode())
    assert [reject.reason for reject in broken.rejects] == ["type"]


def test_a_request_may_ask_for_outputs() -> None:
    asks = {**REQUEST, "outputs": [{"name": "predict_proba"}]}
    assert only(read(line(RESPONSE, id="r"), line(asks, id="r"))).features == {"age": 41}


def test_what_is_no_body_of_the_protocol_is_told() -> None:
    found = read(b'{"id":"a"}', b"[1]", b'{"data":{"x":1}}', b'{"request":{},"response":{}}', b'{"data_base64":"e30="}')
    assert [reject.reason for reject in found.rejects] == ["payload", "type", "payload", "payload", "payload"]


def shown(engine: Engine) -> Counters:
    while engine.read_some():
        pass
    engine.publish()
    return parsed(engine.page.text.decode())


def write_two_logs(directory: Path, calls: tuple[Call, ...]) -> None:
    lines = mlserver_kafka(calls, tensors)
    sides = [side for _, side, _, _ in halves(calls, tensors)]
    for side in ("request", "response"):
        chosen = [each for each, its in zip(lines, sides, strict=True) if its == side]
        (directory / f"{side}s.jsonl").write_bytes(b"\n".join(chosen) + b"\n")


def test_requests_and_responses_in_logs_of_their_own_meet_while_a_backlog_is_read(tmp_path: Path) -> None:
    """Both logs advance together in event time, so a few waiting halves are enough, however long the logs are."""
    calls = traffic(2500, largest_batch=2)
    write_two_logs(tmp_path, calls)
    config = tmp_path / "exporter.yml"
    config.write_text("sources: [{path: '*.jsonl', format: mlserver, mapping: {pairs: {count: 1600, age: 6h}}}]")
    engine = Engine(load_settings(Flags(config_file=config)), clock=lambda: START + 2500 * 7.0 + 60.0)
    page = shown(engine)
    assert total(page, "mlcanary_predictions_total") == sum(len(call.rows) for call in calls)
    assert total(page, "mlcanary_log_parse_errors_total") == 0
    engine.close()


def test_a_half_that_waited_in_the_checkpoint_meets_its_response(tmp_path: Path) -> None:
    config, log, state = tmp_path / "exporter.yml", tmp_path / "log.jsonl", Checkpoint(tmp_path / "state.db")
    config.write_text("sources: [{path: log.jsonl, format: mlserver}]")
    log.write_bytes(envelope_line({}, line(REQUEST), key="k", ts=START) + b"\n")
    settings = load_settings(Flags(config_file=config))
    first = Engine(settings, clock=lambda: START + 1, checkpoint=state)
    assert total(shown(first), "mlcanary_predictions_total") == 0
    first.close()
    with log.open("ab") as handle:
        handle.write(envelope_line({}, line(RESPONSE), key="k", ts=START) + b"\n")
    second = Engine(settings, clock=lambda: START + 2, checkpoint=Checkpoint(tmp_path / "state.db"))
    assert total(shown(second), "mlcanary_predictions_total") == 1
    second.close()


def has_read_all(page: Counters) -> bool:
    return total(page, "mlcanary_log_lines_total") > 0 and total(page, "mlcanary_log_lag_bytes") == 0


def test_pairs_are_neither_lost_nor_counted_twice_by_kills(tmp_path: Path) -> None:
    """Halves of a call lie before and after each kill; what was read after the last page is read again."""
    calls = traffic(48)
    lines = mlserver_kafka(calls, tensors)
    config, log = tmp_path / "exporter.yml", tmp_path / "log.jsonl"
    config.write_text("sources: [{path: log.jsonl, format: mlserver}]")
    log.touch()
    flags = ["--config.file", str(config), "--state.path", str(tmp_path / "state.db")]
    flags += ["--publish.interval", "100ms", "--poll.interval", "30ms"]
    shares = [lines[start : start + 49] for start in range(0, len(lines), 49)]
    for i, share in enumerate(shares):
        with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter, log.open("ab") as handle:
            handle.write(b"\n".join(share) + b"\n")
            handle.flush()
            if i % 2 == 0:  # at once, or after a page has shown the share
                page = exporter.wait_for(has_read_all)
                assert has_read_all(page)
            exporter.kill()
    rows = sum(len(call.rows) for call in calls)
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        page = exporter.wait_for(lambda page: total(page, "mlcanary_predictions_total") >= rows)
        assert total(page, "mlcanary_predictions_total") == rows
        assert total(page, "mlcanary_duplicate_predictions_total") == 0
        assert total(page, "mlcanary_log_parse_errors_total") == 0
