"""The traffic of `same_traffic` as servers write it that log a call as one record, or its halves by a shared id."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from formats.same_traffic import FEATURES, Call, rfc3339

ZONE = "America/New_York"
COLUMNS = ("id", "when", "release", "ms", *FEATURES, "p")


def bentoml(calls: Iterable[Call]) -> dict[str, list[bytes]]:
    """Monitor files, a folder for each version, the schema of the second one last."""
    calls = list(calls)
    columns = [{"name": name, "role": "feature", "type": "numerical"} for name in FEATURES]
    columns += [{"name": "churns", "role": "prediction", "type": "categorical"}]
    columns += [{"name": "probability", "role": "prediction", "type": "numerical"}]
    logs: dict[str, list[bytes]] = {}
    for version in ("v1", "v2"):
        schema = {"meta_data": {"bento_name": "churn", "bento_version": version}, "columns": columns}
        rows = [
            {**row.features, "churns": row.prediction, "probability": row.score, "timestamp": local(call.ts)}
            | {"request_id": call.id, "trace_id": "0"}
            for call in calls
            if call.version == version
            for row in call.rows
        ]
        data = [json.dumps(row).encode() for row in rows]
        logs[f"/monitoring/{version}/schema/schema.1.log"] = [json.dumps(schema).encode()]
        logs[f"/monitoring/{version}/data/data.1.log"] = data
    return dict(reversed(logs.items()))


def sagemaker(calls: Iterable[Call], kind: str) -> dict[str, list[bytes]]:
    """Data Capture by variant; `kind`: csv, base64 or json."""
    logs: dict[str, list[bytes]] = {}
    for call in calls:
        asked = [list(row.features.values()) for row in call.rows]
        answered = [[row.score] for row in call.rows]
        if kind == "json":
            document: Any = {"instances": [{"features": row} for row in asked]}
            answer: Any = {"predictions": [{"score": s, "predicted_label": int(s >= 0.5)} for (s,) in answered]}
            bodies = [body(json.dumps(each), "application/json", "JSON") for each in (document, answer)]
        else:
            bodies = [body(table(asked), "text/csv", "CSV"), body(table(answered), "text/csv; charset=utf-8", "CSV")]
        if kind == "base64":
            for each in bodies:
                each["data"], each["encoding"] = base64.b64encode(each["data"].encode()).decode(), "BASE64"
        record = {
            "captureData": {"endpointInput": bodies[0], "endpointOutput": bodies[1]},
            "eventMetadata": {"eventId": f"e-{call.id}", "inferenceId": call.id, "inferenceTime": rfc3339(call.ts)},
            "eventVersion": "0",
        }
        path = f"/capture/{call.model}/{call.version}/2026/11/01/08/{len(logs)}.jsonl"
        logs.setdefault(path if not logs else next((p for p in logs if f"/{call.version}/" in p), path), []).append(
            json.dumps(record).encode()
        )
    return logs


def ground_truth(calls: Iterable[Call]) -> dict[str, list[bytes]]:
    """One line for each call all of whose rows have a label."""
    lines = [
        {
            "groundTruthData": {"data": "\n".join(str(row.label) for row in call.rows), "encoding": "CSV"},
            "eventMetadata": {"eventId": call.id},
            "eventVersion": "0",
        }
        for call in calls
        if all(row.label is not None for row in call.rows)
    ]
    return {"/truth/2026/11/01/08/a.jsonl": [json.dumps(line).encode() for line in lines]}


def azureml(calls: Iterable[Call]) -> list[bytes]:
    """Lines of inputs and outputs; of every other call the outputs come first."""
    lines = []
    for i, call in enumerate(calls):
        common = {
            "specversion": "1.0",
            "id": f"line-{i}",
            "source": f"/subscriptions/s/onlineEndpoints/{call.model}/deployments/blue",
            "datacontenttype": "application/json",
            "time": rfc3339(call.ts),
            "correlationid": call.id,
            "xrequestid": call.id,
            "modelversion": call.version,
            "collectdatatype": "pandas.core.frame.DataFrame",
        }
        asked = [row.features for row in call.rows]
        answered = [{"probability": row.score, "prediction": row.prediction} for row in call.rows]
        pair = [
            json.dumps({**common, "type": f"azureml.inference.model_{kind}", "data": data}).encode()
            for kind, data in (("inputs", asked), ("outputs", answered))
        ]
        lines += pair if i % 2 else pair[::-1]
    return lines


def databricks(calls: Iterable[Call], names: dict[str, str]) -> list[bytes]:
    """Rows of an inference table, under one generation of `names`: id, time, version, latency."""
    lines = []
    for call in calls:
        record: dict[str, Any] = {
            names["id"]: call.id,
            names["latency"]: call.latency * 1000.0,
            names["time"]: round(call.ts * 1000) if names["time"] == "timestamp_ms" else rfc3339(call.ts),
            "status_code": 200,
            "request": json.dumps({"dataframe_records": [row.features for row in call.rows]}),
            "response": json.dumps({"predictions": [row.score for row in call.rows]}),
            "logging_error_codes": [],
        }
        if names["version"] == "request_metadata":
            record["request_metadata"] = {"model_name": call.model, "model_version": call.version}
        else:
            record[names["version"]] = call.version
        lines.append(json.dumps(record).encode())
    return lines


def vertex(calls: Iterable[Call]) -> list[bytes]:
    """Rows of the request-response log, whose payloads are lists of texts."""
    return [
        json.dumps(
            {
                "endpoint": "e",
                "deployed_model_id": call.version,
                "logging_time": rfc3339(call.ts),
                "request_id": call.id,
                "request_payload": [json.dumps(list(row.features.values())) for row in call.rows],
                "response_payload": [json.dumps(row.score) for row in call.rows],
            }
        ).encode()
        for call in calls
    ]


def own_json(calls: Iterable[Call]) -> list[bytes]:
    """Somebody's own log: an id in a nested object, seconds, the request as a text."""
    return [
        json.dumps(
            {
                "meta": {"request.id": call.id, "at": call.ts, "release": call.version, "took": call.latency},
                "in": json.dumps({"rows": [row.features for row in call.rows]}),
                "out": {"classes": [{"p": [1 - row.score, row.score], "c": row.prediction} for row in call.rows]},
            }
        ).encode()
        for call in calls
    ]


def own_csv(calls: Iterable[Call]) -> list[bytes]:
    """A file with semicolons and a line of names."""
    rows = [
        [row_id, rfc3339(call.ts), call.version, call.latency * 1000.0, *row.features.values(), row.score]
        for call in calls
        for row_id, row in zip(call.row_ids, call.rows, strict=True)
    ]
    return table([COLUMNS, *rows], ";").encode().splitlines()


def body(data: str, content_type: str, encoding: str) -> dict[str, str]:
    """A captured body."""
    return {"observedContentType": content_type, "mode": "INPUT", "data": data, "encoding": encoding}


def table(rows: Iterable[Iterable[Any]], delimiter: str = ",") -> str:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def local(ts: float) -> str:
    """A time as a server in New York writes it, without its zone."""
    return datetime.fromtimestamp(round(ts * 1e6) / 1e6, ZoneInfo(ZONE)).replace(tzinfo=None).isoformat()
