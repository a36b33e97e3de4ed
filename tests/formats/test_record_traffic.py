"""The same traffic as records of BentoML, SageMaker, Azure ML, Databricks, Vertex AI and by a mapping."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from formats import record_traffic as records
from formats.same_traffic import (
    FEATURES,
    START,
    Call,
    Lines,
    Tells,
    assert_same_counters,
    counted,
    native_labels,
    native_predictions,
    traffic,
)
from mlcanary.formats.contract import FormatOptions

CALLS = traffic()
SINGLE = tuple(call for call in CALLS if len(call.rows) == 1)
BATCHES = tuple(call for call in CALLS if len(call.rows) > 1)
WHOLE_SECONDS = tuple(replace(call, ts=float(int(call.ts))) for call in CALLS)
NO_LATENCY = Tells(latency=False)
NO_CLASS = Tells(prediction=False)
NEITHER = Tells(latency=False, prediction=False)
NAMES = {"feature_names": list(FEATURES)}
OWN = {
    "id": 'meta["request.id"]',
    "ts": {"path": "meta.at", "unit": "s"},
    "version": "meta.release",
    "model": {"const": "churn"},
    "latency_ms": {"path": "meta.took", "unit": "s"},
    "features": "in.rows[*]",
    "score": "$.out.classes[*].p[-1]",
    "prediction": "out.classes[*].c",
}
CSV = {
    "csv": list(records.COLUMNS),
    "delimiter": ";",
    "id": "id",
    "ts": "when",
    "version": "release",
    "latency_ms": "ms",
    "features": list(FEATURES),
    "score": "p",
}
GENERATIONS = {
    "legacy": {
        "id": "databricks_request_id",
        "time": "timestamp_ms",
        "latency": "execution_time_ms",
        "version": "request_metadata",
    },
    "second": {
        "id": "client_request_id",
        "time": "request_time",
        "latency": "execution_duration_ms",
        "version": "served_entity_id",
    },
    "newest": {
        "id": "client_request_id",
        "time": "event_time",
        "latency": "latency_ms",
        "version": "served_entity_id",
    },
}


@dataclass(frozen=True)
class Telling:
    """One way to tell the calls."""

    name: str
    format: str
    lines: Lines
    tells: Tells
    mapping: dict[str, Any] | None = None
    calls: tuple[Call, ...] = CALLS


TELLINGS = (
    Telling("bentoml", "bentoml", records.bentoml(SINGLE), NO_LATENCY, {"timezone": records.ZONE}, SINGLE),
    Telling(
        "bentoml, batches",
        "bentoml",
        records.bentoml(BATCHES),
        NO_LATENCY,
        {"timezone": records.ZONE, "batch": True},
        BATCHES,
    ),
    *(
        Telling(
            f"sagemaker, {kind}",
            "sagemaker",
            records.sagemaker(WHOLE_SECONDS, kind),
            NO_LATENCY if kind == "json" else NEITHER,
            NAMES,
            WHOLE_SECONDS,
        )
        for kind in ("csv", "base64", "json")
    ),
    Telling("azureml", "azureml", records.azureml(WHOLE_SECONDS), NO_LATENCY, calls=WHOLE_SECONDS),
    *(
        Telling(f"databricks, {name}", "databricks", records.databricks(CALLS, names), NO_CLASS)
        for name, names in GENERATIONS.items()
    ),
    Telling("vertex", "vertex", records.vertex(CALLS), NEITHER, NAMES),
    Telling("mapping, nested", "mapping", records.own_json(CALLS), Tells(), OWN),
    Telling("mapping, csv", "mapping", records.own_csv(CALLS), NO_CLASS, CSV),
)


@pytest.mark.parametrize("telling", TELLINGS, ids=lambda telling: telling.name)
def test_the_same_traffic_gives_the_same_counters(telling: Telling) -> None:
    options = FormatOptions(telling.format, model="churn", mapping=telling.mapping)
    assert_same_counters(telling.calls, telling.lines, options, telling.tells)


def test_ground_truth_gives_the_counters_of_native_label_lines() -> None:
    calls = tuple(call for call in WHOLE_SECONDS if all(row.label is not None for row in call.rows))
    options = FormatOptions("sagemaker", mapping=NAMES)
    told = counted([(options, records.sagemaker(calls, "csv")), (options, records.ground_truth(calls))])
    labels = [json.dumps({**json.loads(line), "ts": START + 3600.0}).encode() for line in native_labels(calls)]
    native = counted([(FormatOptions(), native_predictions(calls, NEITHER)), (FormatOptions(), labels)])
    assert told.rejects == []
    assert len(labels) > 20
    assert told.counters == pytest.approx(native.counters, rel=1e-6, abs=1e-6)
