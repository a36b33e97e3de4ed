"""Every format is recognised by its own traffic, and the configuration that is proposed reads all of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from doctor.samples import Lines, diagnosed, keys, records, replayed, sample_of, write
from formats import event_traffic as events
from formats import record_traffic as written
from formats.same_traffic import NOW, native_labels, native_predictions, traffic
from mlcanary.doctor.diagnosis import diagnose
from mlcanary.doctor.recognition import version_pattern

CALLS = traffic()
ROWS = sum(len(call.rows) for call in CALLS)
LABELS = sum(row.label is not None for call in CALLS for row in call.rows)
NEWEST = {"id": "client_request_id", "time": "event_time", "version": "served_entity_id", "latency": "latency_ms"}
RECORDED = Path(__file__).parents[1] / "servers" / "recorded"


@dataclass(frozen=True)
class Case:
    """Traffic as somebody writes it, and the format that it must be seen as."""

    name: str
    format: str
    lines: Lines
    labels: int = 0


CASES = (
    Case("native", "native", [*native_predictions(CALLS), *native_labels(CALLS)], LABELS),
    Case("native events", "cloudevents", events.native_events(CALLS)),
    Case("kserve, binary", "kserve", events.kserve_binary(CALLS, events.tensors)),
    Case("kserve, structured", "kserve", events.kserve_structured(CALLS, events.named_instances)),
    Case("kserve, batches", "kserve", events.batches(events.kserve_structured(CALLS, events.instances))),
    Case("kserve, stored", "kserve", events.kserve_stored(CALLS, events.instances)),
    Case(
        "seldon",
        "seldon1",
        [*events.seldon_kafka(CALLS, events.seldon_message), *events.seldon_feedback(CALLS)],
        sum(len(call.rows) for call in CALLS if all(row.label is not None for row in call.rows)),
    ),
    Case("mlserver", "mlserver", events.mlserver_kafka(CALLS, events.tensors)),
    Case("bodies", "oip-v2", events.bodies_alone(CALLS, events.tensors)),
    Case("both halves", "oip-v2", events.both_halves(CALLS, events.tensors)),
    Case("bentoml", "bentoml", written.bentoml(CALLS)),
    Case("sagemaker, csv", "sagemaker", written.sagemaker(CALLS, "csv")),
    Case("sagemaker, json", "sagemaker", written.sagemaker(CALLS, "json")),
    Case("azureml", "azureml", written.azureml(CALLS)),
    Case("databricks", "databricks", written.databricks(CALLS, NEWEST)),
    Case("vertex", "vertex", written.vertex(CALLS)),
    Case("own json", "mapping", written.own_json(CALLS)),
    Case("own csv", "mapping", written.own_csv(CALLS)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_format_is_recognised_and_the_configuration_reads_all_of_it(case: Case, tmp_path: Path) -> None:
    found = diagnosed(tmp_path, case.lines)
    (part,) = found.parts
    assert part.chosen is not None
    assert (part.chosen.name, part.others) == (case.format, [])
    assert len(part.chosen.reading.predictions) == ROWS
    assert found.exit_code == 0
    assert {each.version for each in part.chosen.reading.predictions} == {"v1", "v2"}
    assert replayed(found, tmp_path) == (ROWS, case.labels, 0)
    assert ("labels" in keys(found, "missing")) is (case.labels == 0)


def test_labels_of_another_format_meet_their_predictions(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, written.sagemaker(CALLS, "json"), written.ground_truth(CALLS))
    assert [part.chosen.name for part in found.parts if part.chosen] == ["sagemaker", "sagemaker"]
    assert "labels" not in keys(found, "missing") | keys(found, "trap")
    assert replayed(found, tmp_path)[1] > 0


def test_records_of_a_real_server(tmp_path: Path) -> None:
    found = diagnose([sample_of(RECORDED / "bentoml-1.4.39")], 1.9e9)
    (part,) = found.parts
    assert part.chosen is not None
    assert part.chosen.name == "bentoml"
    assert len(part.chosen.reading.predictions) > 0
    assert replayed(found, tmp_path)[0] == len(part.chosen.reading.predictions)


def test_requests_without_responses_are_told_apart_from_nonsense(tmp_path: Path) -> None:
    lines = [line for line in events.kserve_structured(CALLS, events.instances) if b"inference.request" in line]
    found = diagnosed(tmp_path, lines)
    (first, *_) = found.findings
    assert found.parts[0].candidates[0].name == "kserve"
    assert (found.exit_code, first.key) == (1, "format")
    assert "requests and responses" in first.remedy


def test_bentoml_without_its_schema_asks_for_it(tmp_path: Path) -> None:
    data = {path: lines for path, lines in written.bentoml(CALLS).items() if "/data/" in path}
    lines = [json.loads(line) for each in data.values() for line in each]
    kept = [
        json.dumps({k: v for k, v in line.items() if k not in ("churns", "probability")}).encode() for line in lines
    ]
    found = diagnosed(tmp_path, kept)
    assert found.exit_code == 1


def test_a_data_file_of_bentoml_brings_its_schema_folder(tmp_path: Path) -> None:
    write(tmp_path, written.bentoml(CALLS))
    found = diagnose([sample_of(tmp_path / "monitoring/v1/data/data.1.log")], 1.9e9)
    assert found.parts[0].sample.pattern == str(tmp_path / "monitoring/v1/*/*.log")
    assert {each.version for each in found.readings[0].predictions} == {"v1"}
    assert "timezone" in found.yaml


def test_a_version_in_the_path_is_found(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in native_predictions(CALLS)]
    nameless = [json.dumps({k: v for k, v in line.items() if k != "version"}).encode() for line in lines]
    found = diagnosed(tmp_path, {"canary/a.jsonl": nameless[:40], "stable/a.jsonl": nameless[40:]})
    assert {each.version for each in found.readings[0].predictions} == {"canary", "stable"}
    assert "roles: {stable: baseline, canary: canary}" in found.yaml
    assert replayed(found, tmp_path)[0] == ROWS


@pytest.mark.parametrize("paths", [["/log/a.jsonl"], ["/log/v1/a.jsonl", "/log/b.jsonl"], ["/log/v1/a", "/log/blue/a"]])
def test_paths_that_do_not_tell_the_version(paths: list[str]) -> None:
    assert version_pattern(paths) is None


def test_a_format_can_be_forced(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, events.kserve_binary(CALLS, events.tensors), forced="oip-v2")
    assert [each.name for each in found.parts[0].candidates] == ["oip-v2"]


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("features", [{"age": 41, "plan": "a"}, {}])
def test_a_native_log_whose_scores_are_percents_stays_native(
    features: dict[str, object], inline: bool, tmp_path: Path
) -> None:
    lines = []
    for i in range(60):
        row = {"id": f"r{i}", "ts": NOW - 300 + i, "model": "churn", "version": f"v{1 + i % 2}", "score": 20.5 + i}
        label = {"label": i % 2}
        lines.append({**row, **({"features": features} if features else {}), **(label if inline else {})})
        lines += [] if inline else [{"kind": "label", "id": f"r{i}", "ts": NOW - 100 + i, **label}]
    found = diagnosed(tmp_path, records(lines))
    (part,) = found.parts
    assert part.chosen is not None
    assert part.chosen.name == "native"
    assert "refuses the score of 60 rows" in part.chosen.reason
    told = [finding for finding in found.findings if finding.key == "score"]
    assert [(each.level, each.what, each.remedy) for each in told] == [
        (
            "impossible",
            "60 scores lie outside 0..1, such as 20.5: every prediction",
            "log the probability, not percents: the score divided by 100",
        )
    ]
    assert not keys(found, "missing") & {"id", "labels"}
    assert "format: native" in found.yaml
    assert "mapping" not in found.yaml
    assert found.exit_code == 1


def test_rows_that_native_would_misread_stay_with_the_mapping(tmp_path: Path) -> None:
    lines = [
        {
            "req": f"r{i}",
            "event_time": NOW - 300 + i,
            "release": "v1",
            "inputs": {"age": i, "plan": "a"},
            "score": 50 + i,
        }
        for i in range(50)
    ]
    (part,) = diagnosed(tmp_path, records(lines)).parts
    assert part.chosen is not None
    assert part.chosen.name == "mapping"
