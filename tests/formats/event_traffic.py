"""The calls of `same_traffic` as CloudEvents, stored payloads and Open Inference Protocol bodies."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from formats.same_traffic import FEATURES, Call, rfc3339
from mlcanary.formats.envelope import envelope_line

Body = dict[str, Any]
Bodies = Callable[[Call], tuple[Body, Body]]

KSERVE = "org.kubeflow.serving.inference."
SELDON = "io.seldon.serving."


def tensors(call: Call) -> tuple[Body, Body]:
    """Open Inference Protocol: a tensor per feature, flat, and predict_proba of two columns."""
    rows, n = call.rows, len(call.rows)
    kinds = {"age": "FP64", "balance": "FP64", "plan": "BYTES"}
    inputs = [
        {"name": name, "shape": [n, 1], "datatype": kinds[name], "data": [row.features[name] for row in rows]}
        for name in FEATURES
    ]
    shares = [share for row in rows for share in (round(1 - row.score, 4), row.score)]
    outputs = [
        {"name": "predict", "shape": [n], "datatype": "INT64", "data": [row.prediction for row in rows]},
        {"name": "predict_proba", "shape": [n, 2], "datatype": "FP64", "data": shares},
    ]
    response = {"model_name": call.model, "model_version": call.version, "id": call.id, "outputs": outputs}
    return {"id": call.id, "inputs": inputs}, response


def nested_tensors(call: Call) -> tuple[Body, Body]:
    """The same with nested data."""
    request, response = tensors(call)
    for tensor in request["inputs"]:
        tensor["data"] = [[value] for value in tensor["data"]]
    proba = response["outputs"][1]
    proba["data"] = [proba["data"][i : i + 2] for i in range(0, len(proba["data"]), 2)]
    return request, response


def instances(call: Call) -> tuple[Body, Body]:
    """TF-v1 with rows of values, whose names only the mapping knows."""
    return {"instances": [list(row.features.values()) for row in call.rows]}, {
        "predictions": [row.score for row in call.rows]
    }


def named_instances(call: Call) -> tuple[Body, Body]:
    """TF-v1 with objects."""
    shares = [[round(1 - row.score, 4), row.score] for row in call.rows]
    return {"instances": [row.features for row in call.rows]}, {"predictions": shares}


def dataframe_split(call: Call) -> tuple[Body, Body]:
    """MLflow's split orientation."""
    data = [list(row.features.values()) for row in call.rows]
    return {"dataframe_split": {"columns": list(FEATURES), "data": data}}, {
        "predictions": [{"prediction": row.prediction, "score": row.score} for row in call.rows]
    }


def dataframe_records(call: Call) -> tuple[Body, Body]:
    """MLflow's records orientation."""
    return {"dataframe_records": [row.features for row in call.rows]}, instances(call)[1]


def columns(call: Call) -> tuple[Body, Body]:
    """TF-v1's columnar inputs and outputs."""
    return {"inputs": {name: [row.features[name] for row in call.rows] for name in FEATURES}}, {
        "outputs": {"probabilities": [[1 - row.score, row.score] for row in call.rows]}
    }


def seldon_message(call: Call) -> tuple[Body, Body]:
    """Seldon's default data with names."""
    shares = [[1 - row.score, row.score] for row in call.rows]
    request = {"data": {"names": list(FEATURES), "ndarray": [list(row.features.values()) for row in call.rows]}}
    return request, {"data": {"names": ["t:0", "t:1"], "ndarray": shares}, "meta": {"puid": call.id}}


def halves(calls: Iterable[Call], bodies: Bodies) -> list[tuple[Call, str, float, bytes]]:
    """Requests and responses in the order of their logging; every third response comes before its request."""
    found = []
    for i, call in enumerate(calls):
        request, response = (json.dumps(body).encode() for body in bodies(call))
        pair = [(call, "request", call.ts, request), (call, "response", call.ts + call.latency, response)]
        found += pair[::-1] if i % 3 == 2 else pair
    return found


def kserve_headers(call: Call, side: str, ts: float) -> dict[str, str]:
    """Those of KServe's logger from 0.18 on."""
    return {
        "Ce-Specversion": "1.0",
        "Ce-Id": call.id,
        "Ce-Type": KSERVE + side,
        "Ce-Source": "http://localhost:9081/",
        "Ce-Time": rfc3339(ts),
        "Ce-Recordedtime": rfc3339(ts + 0.01),
        "Ce-Inferenceservicename": call.model,
        "Ce-Namespace": "prod",
        "Ce-Component": "predictor",
        "Ce-Endpoint": call.version,
        "Ce-Metadata": json.dumps({"X-Request-Id": [f"x-{call.id}"]}),
        "Content-Type": "application/json",
    }


def kserve_binary(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """One line per event, as a source with headers writes it."""
    return [envelope_line(kserve_headers(call, side, ts), body) for call, side, ts, body in halves(calls, bodies)]


def kserve_structured(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """One JSON object per event, attributes and data."""
    return [
        json.dumps(
            {name[3:].lower(): value for name, value in kserve_headers(call, side, ts).items() if name[:3] == "Ce-"}
            | {"data": json.loads(body)}
        ).encode()
        for call, side, ts, body in halves(calls, bodies)
    ]


def batches(lines: Sequence[bytes], size: int = 7) -> list[bytes]:
    """Several events on one line."""
    return [b"[" + b",".join(lines[i : i + size]) + b"]" for i in range(0, len(lines), size)]


def kserve_stored(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """Objects of KServe's blob store in JSON."""
    return [
        json.dumps(
            {
                "bytes": b64encode(body).decode(),
                "contentType": "application/json",
                "reqType": KSERVE + side,
                "id": call.id,
                "inferenceService": call.model,
                "namespace": "prod",
                "component": "predictor",
                "endpoint": call.version,
                "occurrenceTime": rfc3339(ts),
            }
        ).encode()
        for call, side, ts, body in halves(calls, bodies)
    ]


def seldon_headers(call: Call, kind: str) -> dict[str, str]:
    """Those of Seldon Core 1's Kafka records: no prefix."""
    return {
        "type": SELDON + kind,
        "content-type": "application/json",
        "modelid": call.model,
        "requestid": call.id,
        "inferenceservicename": "shop",
        "namespace": "prod",
        "endpoint": call.version,
        "protocol": "seldon",
    }


def seldon_kafka(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """Records of Seldon Core 1 on Kafka; the time is the record's."""
    return [
        envelope_line(seldon_headers(call, f"inference.{side}"), body, ts=ts)
        for call, side, ts, body in halves(calls, bodies)
    ]


def seldon_feedback(calls: Iterable[Call], delay: float = 30.0) -> list[bytes]:
    """A feedback for each call of which every row has a label."""
    return [
        envelope_line(
            seldon_headers(call, "feedback") | {"requestid": "of-the-feedback-call"},
            json.dumps(
                {
                    "response": {"meta": {"puid": call.id}},
                    "reward": 0.0,
                    "truth": {"data": {"ndarray": [[row.label] for row in call.rows]}},
                }
            ).encode(),
            ts=call.ts + delay,
        )
        for call in calls
        if all(row.label is not None for row in call.rows)
    ]


def mlserver_kafka(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """Records of mlserver-input and mlserver-output; the body's own id is another one, and the key wins."""
    lines = []
    for call, side, ts, body in halves(calls, bodies):
        document = json.loads(body) | {"id": "the-same-for-all"}
        headers = {"mlserver-model": call.model, "mlserver-version": call.version} if side == "request" else {}
        lines.append(envelope_line(headers, json.dumps(document).encode(), key=call.id, ts=ts))
    return lines


def bodies_alone(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """Nothing but the bodies of the protocol; without a time."""
    return [body for _, _, _, body in halves(calls, bodies)]


def both_halves(calls: Iterable[Call], bodies: Bodies) -> list[bytes]:
    """Request and response on one line, written by somebody's own middleware."""
    lines = []
    for call in calls:
        request, response = bodies(call)
        record = {"id": call.id, "ts": call.ts, "model": call.model, "version": call.version}
        record |= {"latency_ms": call.latency * 1000.0, "request": request, "response": response}
        lines.append(json.dumps(record).encode())
    return lines


def native_events(calls: Iterable[Call]) -> list[bytes]:
    """Any other CloudEvent: its data is a native record, id and time are the envelope's."""
    lines = []
    for call in calls:
        for row_id, row in zip(call.row_ids, call.rows, strict=True):
            data = {"model": call.model, "version": call.version, "features": row.features, "score": row.score}
            data |= {"latency_ms": call.latency * 1000.0, "prediction": row.prediction}
            event = {"specversion": "1.0", "type": "com.example.predicted", "id": row_id, "time": rfc3339(call.ts)}
            lines.append(json.dumps(event | {"source": "/churn", "data": data}).encode())
    return lines
