"""CloudEvents of KServe and Seldon Core 1: traps, broken events, checkpoints."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.event_traffic import KSERVE, SELDON, instances, kserve_binary, kserve_structured, seldon_kafka, tensors
from formats.same_traffic import START, traffic
from mlcanary.catalog import Task
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.envelope import envelope_line
from mlcanary.formats.registry import make_format
from mlcanary.formats.rows import REASONS
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, ModelKey, Prediction

NOW = START + 7200.0
CALLS = traffic(9)
REQUEST = {"instances": [[41, 0]]}
RESPONSE = {"predictions": [0.7]}


class Reader:
    """A format, and the records and reasons of what it read so far."""

    def __init__(self, name: str = "kserve", **mapping: Any) -> None:
        self.format = make_format(FormatOptions(name, mapping=mapping), lambda _model: ModelPlan())
        self.predictions: list[Prediction] = []
        self.labels: list[Label] = []
        self.rejects: list[tuple[str, str]] = []

    def read(self, *lines: bytes) -> Reader:
        found = self.format.decode_block(b"\n".join(lines) + b"\n", NOW, "log")
        self.predictions += [record for record in found.records if isinstance(record, Prediction)]
        self.labels += [record for record in found.records if isinstance(record, Label)]
        self.rejects += [(reject.reason, reject.detail) for reject in found.rejects]
        return self

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.rejects]


def event(side: str, body: Any, **attributes: Any) -> bytes:
    fields = {"id": "5f0c", "type": KSERVE + side, "time": "2026-11-01T10:00:00Z", "endpoint": "canary", "data": body}
    return json.dumps({name: value for name, value in (fields | attributes).items() if value is not None}).encode()


def pair(**attributes: Any) -> tuple[bytes, bytes]:
    return event("request", REQUEST, **attributes), event("response", RESPONSE, **attributes)


def test_trap_kserve_is_paired_by_its_id_and_the_response_may_come_first() -> None:
    request, response = pair()
    for lines in ((request, response), (response, request)):
        (found,) = Reader().read(*lines).predictions
        assert (found.id, found.score, found.key) == ("5f0c", 0.7, ModelKey("default", "canary"))
        assert found.features == {"f0": 41, "f1": 0}


def test_trap_seldon_is_paired_by_requestid_because_every_event_has_its_own_id() -> None:
    def line(side: str, own: str, body: Any) -> bytes:
        headers = {"ce-id": own, "ce-type": f"{SELDON}inference.{side}", "ce-requestid": "p-77", "ce-modelid": "clf"}
        return envelope_line(headers, json.dumps(body).encode(), ts=START)

    asked, answered = {"data": {"ndarray": [[1, 2]]}}, {"data": {"names": ["t:0", "t:1"], "ndarray": [[0.3, 0.7]]}}
    reader = Reader("seldon1").read(line("request", "a", asked), line("response", "b", answered))
    (found,) = reader.predictions
    assert (found.id, found.score, found.key.model, found.latency) == ("p-77", 0.7, "clf", None)


def test_trap_the_time_of_the_sending_is_no_latency() -> None:
    """Before KServe 0.18 `ce-time` was the time at which the event was sent; `recordedtime` came with the change."""
    sent, got = {"time": "2026-11-01T10:00:00.100Z"}, {"time": "2026-11-01T10:00:00.350Z"}
    (old,) = Reader().read(event("request", REQUEST, **sent), event("response", RESPONSE, **got)).predictions
    assert old.latency is None
    recorded = {"recordedtime": "2026-11-01T10:00:01Z"}
    lines = event("request", REQUEST, **sent, **recorded), event("response", RESPONSE, **got, **recorded)
    (new,) = Reader().read(*lines).predictions
    assert new.latency == pytest.approx(0.25, abs=1e-6)
    assert new.ts == pytest.approx(1793527200.1)


def test_trap_a_content_type_says_nothing_about_a_body() -> None:
    """The response is logged with the content type of the request."""
    lines = [
        envelope_line({"ce-id": "a", "ce-type": KSERVE + side, "content-type": "application/grpc"}, body)
        for side, body in (("request", b'{"instances":[[1]]}'), ("response", b'{"predictions":[0.5]}'))
    ]
    assert [found.score for found in Reader().read(*lines).predictions] == [0.5]


def test_trap_a_failed_call_has_no_response_event() -> None:
    lines = [event("request", REQUEST, id="failed", time=START)]
    for i in range(20):
        lines += pair(id=f"ok-{i}", time=START + 301 + i)
    reader = Reader().read(*lines)
    assert len(reader.predictions) == 20
    assert reader.reasons == ["unpaired"]


def test_trap_transformer_and_predictor_log_the_same_call_twice() -> None:
    lines = [*pair(component="transformer"), *pair(component="predictor"), *pair(component="explainer")]
    assert len(Reader().read(*lines).predictions) == 1
    assert len(Reader(components=["transformer", "predictor"]).read(*lines).predictions) == 2


def test_mirrored_calls_keep_their_id_and_are_told_apart_by_the_endpoint() -> None:
    default, canary = (pair(endpoint=endpoint) for endpoint in ("default", "canary"))
    found = Reader().read(default[0], canary[0], canary[1], default[1]).predictions
    assert [record.key.version for record in found] == ["canary", "default"]


def test_nodes_of_a_graph_share_a_requestid_and_are_told_apart() -> None:
    lines = []
    for node, score in (("scaler", 0.2), ("clf", 0.7)):
        for side, body in (("request", {"data": {"ndarray": [[1]]}}), ("response", {"data": {"ndarray": [[score]]}})):
            headers = {"type": f"{SELDON}inference.{side}", "requestid": "p-1", "modelid": node}
            lines.append(envelope_line(headers, json.dumps(body).encode(), ts=START))
    reader = Reader("seldon1").read(lines[0], lines[2], lines[1], lines[3])
    assert {found.key.model: found.score for found in reader.predictions} == {"scaler": 0.2, "clf": 0.7}


def test_trap_a_label_keyed_on_the_request_alone_is_that_of_a_single_row() -> None:
    lines = event("request", {"instances": [[1], [2]]}), event("response", {"predictions": [0.1, 0.2]})
    assert [found.id for found in Reader().read(*lines).predictions] == ["5f0c/0", "5f0c/1"]
    assert [found.id for found in Reader().read(*pair()).predictions] == ["5f0c"]


def test_trap_rows_of_request_and_response_must_agree() -> None:
    reader = Reader().read(event("request", {"instances": [[1], [2]]}), event("response", {"predictions": [0.1]}))
    assert reader.rejects == [("payload", "a request of 2 rows with a response of 1")]
    assert reader.predictions == []


def test_trap_equal_times_are_no_trouble() -> None:
    lines = [line for i in range(5) for line in pair(id=f"r-{i}")]
    assert [found.ts for found in Reader().read(*lines).predictions] == [1793527200.0] * 5


def test_version_in_the_order_of_trust() -> None:
    body, bare = {**RESPONSE, "model_version": "7"}, {**RESPONSE, "model_version": None}

    def version(answer: Any, **mapping: Any) -> str:
        lines = event("request", REQUEST, shard="s1"), event("response", answer, shard="s1")
        return Reader(**mapping).read(*lines).predictions[0].key.version

    assert [version(body), version(bare)] == ["7", "canary"]
    assert [version(body, version="endpoint"), version(body, version="shard")] == ["canary", "s1"]
    assert [version(body, version="body"), version(bare, version="body")] == ["7", "unknown"]


def test_names_by_the_mapping() -> None:
    lines = [
        event(side, body, metadata='{"X-Request-Id":["r-1"]}', inferenceservicename="churn", namespace="prod")
        for side, body in (("request", {**REQUEST, "id": "mine"}), ("response", RESPONSE))
    ]
    (found,) = Reader(id="metadata.X-Request-Id", model="namespace", feature_names=["age"]).read(*lines).predictions
    assert (found.id, found.key.model, found.features) == ("r-1", "prod", {"age": 41, "f1": 0})
    (found,) = Reader(id="body", model="body").read(*lines).predictions
    assert (found.id, found.key.model) == ("mine", "default")


def test_feedback_gives_labels_and_a_reward() -> None:
    def feedback(body: Any, **headers: str) -> bytes:
        return envelope_line({"type": SELDON + "feedback", "requestid": "own"} | headers, json.dumps(body).encode())

    known = {"response": {"meta": {"puid": "p-77"}}, "reward": 1.0}
    reader = Reader("seldon1").read(feedback({**known, "truth": {"data": {"ndarray": [[1]]}}}, modelid="clf"))
    labels = [(label.id, label.label, label.event, label.value, label.model) for label in reader.labels]
    assert labels == [("p-77", "1", None, None, "clf"), ("p-77", None, "reward", 1.0, "clf")]
    reader = Reader("seldon1").read(
        feedback({"truth": {"data": {"tensor": {"shape": [2, 1], "values": [1, 0]}}}, "reward": 0}),
        feedback({"reward": 0}),
        feedback({"response": {}}),
        feedback([]),
        feedback({"truth": {"data": {}}}),
    )
    assert [(label.id, label.label, label.event) for label in reader.labels] == [
        ("own/0", "1", None),
        ("own/1", "0", None),
        ("own", None, "reward"),
    ]
    assert reader.reasons == ["label", "payload", "payload"]


BROKEN = (
    (b'{"id":"a"}', "payload"),
    (b'{"type":"org.other"}', "payload"),
    (event("request", REQUEST, id=None), "no_id"),
    (event("request", REQUEST, id="b", time="soon"), "timestamp"),
    (b'{"id":{"a":1},"type":"%s"}' % f"{KSERVE}request".encode(), "type"),
    (b"{", "json"),
    (b"7", "type"),
    (b'{"type":"\xff"}', "utf8"),
)


@pytest.mark.parametrize(("line", "reason"), BROKEN)
def test_a_broken_event_takes_no_other_with_it(line: bytes, reason: str) -> None:
    request, response = pair()
    reader = Reader().read(request, line, response)
    assert (len(reader.predictions), reader.reasons) == (1, [reason])
    if reason not in {"json", "utf8"}:  # a batch that is no JSON is no batch
        reader = Reader().read(b"[%s,%s,%s]" % (request, line, response))
        assert (len(reader.predictions), reader.reasons) == (1, [reason])


@pytest.mark.parametrize("body", ["text", 7, None, [], {"instances": []}, {"instances": 3}, [[1], {"a": 1}]])
def test_a_body_without_rows_is_told(body: Any) -> None:
    reader = Reader().read(event("request", body), event("response", RESPONSE))
    assert reader.predictions == []
    assert reader.reasons in (["payload"], ["json"])


def test_halves_survive_a_checkpoint() -> None:
    lines = kserve_binary(CALLS, tensors)
    whole = Reader().read(*lines).predictions
    for cut in range(0, len(lines), 3):
        before = Reader().read(*lines[:cut])
        after = Reader()
        after.format.load(msgspec.msgpack.decode(msgspec.msgpack.encode(before.format.dump())))
        after.read(*lines[cut:])
        assert before.predictions + after.predictions == whole
        assert before.rejects + after.rejects == []
    Reader().format.load({"of": "another layout"})


def test_what_is_delivered_twice_is_one_prediction_to_the_join() -> None:
    lines = kserve_structured(CALLS, instances)
    found = Reader().read(*lines, *lines)
    rows = sum(len(call.rows) for call in CALLS)
    assert (len(found.predictions), len({p.id for p in found.predictions})) == (2 * rows, rows)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"colour": 1}, "unknown field `colour`; keys of a kserve mapping: id, model, version"),
        ({"output": "guess"}, r"Invalid enum value 'guess' - at `\$.output`"),
        ({"pairs": {"count": 0}}, r">= 1 - at `\$.pairs.count`"),
        ({"pairs": {"age": "soon"}}, r"duration such as 30s, .* - at `\$.pairs.age`"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(mapping: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_format(FormatOptions("kserve", mapping=mapping), lambda _model: ModelPlan())


def test_the_reasons_are_known_beforehand() -> None:
    for name in ("kserve", "cloudevents", "seldon1"):
        reasons = {*REASONS, *make_format(FormatOptions(name), lambda _model: ModelPlan()).reasons}
        assert {reason for _, reason in BROKEN} <= reasons


LINES = [*kserve_structured(CALLS, tensors), *seldon_kafka(CALLS, instances)]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(LINES),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=3),
    st.sampled_from(("kserve", "oip-v2")),
)
def test_any_change_to_a_line_gives_records_or_a_reject(line: bytes, at: int, put: bytes, name: str) -> None:
    at %= len(line)
    changed = (line[:at] + put + line[at + len(put) :]).replace(b"\n", b" ")
    reader = Reader(name).read(changed)
    assert len(reader.predictions) + len(reader.rejects) + len(reader.format.dump() or ()) >= 1


def test_the_task_of_a_model_says_what_a_number_is() -> None:
    """The model may be named by the event, the path or the configuration."""
    tasks = {"price": Task.REGRESSION}

    def read(source: str, **attributes: Any) -> Prediction:
        options = FormatOptions("kserve", path=re.compile(r"/(?P<model>\w+)/log"))
        found = make_format(options, lambda model: ModelPlan(task=tasks.get(model, Task.BINARY)))
        lines = b"\n".join(pair(**attributes)) + b"\n"
        (record,) = found.decode_block(lines, NOW, source).every_record()
        assert isinstance(record, Prediction)
        return record

    for found in (read("/price/log"), read("/churn/log", inferenceservicename="price")):
        assert (found.key.model, found.predicted, found.score) == ("price", "0.7", None)
    for found in (read("/churn/log"), read("/price/log", inferenceservicename="churn")):
        assert (found.key.model, found.predicted, found.score) == ("churn", "1", 0.7)
    assert read("log").key.model == "default"


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("nested", [DEEP, b'{"instances":%s}' % DEEP], ids=["bare", "in a body"])
def test_nesting_beyond_reading_is_a_reject_and_harms_no_other(nested: bytes) -> None:
    kind = f"{KSERVE}request".encode()
    good = [event(side, body, id="good") for side, body in (("request", REQUEST), ("response", RESPONSE))]
    lines = (
        b'{"id":"5f0c","type":"%s","endpoint":"canary","data":%s}' % (kind, nested),
        envelope_line({"ce-id": "5f0c", "ce-type": kind.decode(), "ce-endpoint": "canary"}, nested),
    )
    for line in lines:
        reader = Reader().read(line, event("response", RESPONSE), *good)
        assert [found.id for found in reader.predictions] == ["good"]
        assert reader.reasons == ["json"]


def test_a_row_of_900_levels_is_read() -> None:
    nested = {"instances": json.loads("[" * 900 + "1" + "]" * 900)}
    assert [found.features for found in Reader().read(event("request", nested), pair()[1]).predictions] == [{"f0": 1}]
