"""Mappings that come with the package: formats that are one JSON line per call under other names.

Guarantee: a key that a source's own `mapping` has replaces the one here.
Source: Databricks, "Inference tables" and its two earlier layouts; Google Cloud, Vertex AI request-response logging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHIPPED: Mapping[str, Mapping[str, Any]] = {
    # Rows of an inference table as JSON lines. Three generations of names: the legacy table, the one after, the newest.
    "databricks": {
        "id": ["client_request_id", "databricks_request_id"],
        "ts": ["request_time", "event_time", "timestamp_ms"],
        "model": ["request_metadata.model_name"],
        "version": ["served_entity_id", "request_metadata.model_version"],
        "status": ["status_code"],
        "latency_ms": ["execution_duration_ms", "execution_time_ms", "latency_ms"],
        "request": ["request"],
        "response": ["response"],
        "left_out": ["logging_error_codes"],
    },
    # Rows of the BigQuery table as JSON lines; its payloads are lists of texts, one per row of the batch.
    "vertex": {
        "id": ["request_id"],
        "ts": ["logging_time"],
        "version": ["deployed_model_id"],
        "request": ["request_payload"],
        "response": ["response_payload"],
    },
}
