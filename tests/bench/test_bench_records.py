"""What the benchmarks are fed with says what it claims: the truth beside the lines is the truth in the lines."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import bench_records
import numpy as np
import pytest
from bench_records import FEATURES, NUMBERS, PLAIN, VARIED, VERSIONS, Rows, Shape, blocks, lines, record_id
from ingest import Parts, typed_decoder
from peers import mtail_program
from traffic import Traffic

EDGES = np.array([-1.0, 0.0, 0.25])


def decoded(block: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Predictions and labels of a block."""
    found = [json.loads(line) for line in block.splitlines()]
    return [row for row in found if "label" not in row], [row for row in found if "label" in row]


@pytest.mark.parametrize("delay", [0, 70, 1200])
def test_labels_follow_their_predictions(delay: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_records, "CHUNK", 1000)
    order = [row for block in blocks(2100, 1_760_000_000.0, delay=delay) for row in map(json.loads, block.splitlines())]
    predictions = [row for row in order if "label" not in row]
    labels = [row for row in order if "label" in row]
    assert [row["id"] for row in predictions] == [record_id(i) for i in range(2100)]
    assert [row["id"] for row in labels] == [record_id(i) for i in range(2100 - delay)]
    actual = np.concatenate([Rows.random(n, (0, at)).actual for n, at in ((1000, 0), (1000, 1000), (100, 2000))])
    assert [row["label"] for row in labels] == actual[: len(labels)].tolist()
    assert predictions[-1]["ts"] == pytest.approx(1_760_000_002.099, abs=1e-6)
    place = {row["id"]: i for i, row in enumerate(order) if "label" not in row}
    assert all(place[row["id"]] < i for i, row in enumerate(order) if "label" in row)


def test_a_record_has_the_size_of_a_real_one() -> None:
    (block,) = blocks(10_000, 1_760_000_000.0, delay=10_000)
    predictions, _ = decoded(block)
    assert 660 < len(block) / len(predictions) < 720
    assert set(predictions[0]) == {
        "id",
        "ts",
        "model",
        "version",
        "user",
        "latency_ms",
        "score",
        "prediction",
        "features",
    }
    assert list(predictions[0]["features"]) == FEATURES
    assert {row["version"] for row in predictions} == set(VERSIONS)
    nulls = sum(value is None for row in predictions for value in row["features"].values())
    assert 0.004 < nulls / len(predictions) / len(NUMBERS) < 0.006
    assert len({row["features"]["merchant"] for row in predictions}) == 200


def test_varied_lines_change_their_order_and_leave_keys_out() -> None:
    predictions = [row for row in map(json.loads, lines(2000, 1_760_000_000.0, 1000)) if "label" not in row]
    assert len({tuple(row) for row in predictions}) > 50
    here = Counter(name for row in predictions for name in row["features"])
    assert all(0.87 < here[name] / 2000 < 0.93 for name in FEATURES)
    assert 0.87 < sum("user" in row for row in predictions) / 2000 < 0.93


@pytest.mark.parametrize("shape", [PLAIN, VARIED])
def test_traffic_counts_what_it_writes(shape: Shape) -> None:
    traffic = Traffic(200, 3, span_ms=250, shape=shape, kinds=4, edges=EDGES, feature="feature_05")
    start = 1_760_000_000_000
    found = b"".join(traffic.chunk(start + 250 * i) for i in range(11)) + traffic.rest(start + 250 * 11)
    predictions, labels = decoded(found)
    assert [row["id"] for row in predictions] == [record_id(i) for i in range(2200)]
    assert [row["ts"] for row in predictions] == sorted(row["ts"] for row in predictions)
    assert sorted(row["id"] for row in labels) == [record_id(i) for i in range(2200)]
    label = {row["id"]: row["label"] for row in labels}
    labeled = Counter((row["version"], label[row["id"]], row["prediction"]) for row in predictions)
    bins: Counter[tuple[str, int]] = Counter()
    for row in predictions:
        value = row["features"].get("feature_05")
        bins[row["version"], -1 if value is None else sum(value > edge for edge in EDGES)] += 1
    truth = traffic.truth
    for i, version in enumerate(VERSIONS):
        assert truth.predictions[i] == sum(count for key, count in labeled.items() if key[0] == version)
        assert truth.labeled[i].tolist() == [[labeled[version, a, p] for p in (0, 1)] for a in (0, 1)]
        assert truth.bins[i].tolist() == [bins[version, b] for b in range(4)]
        assert truth.missing[i] == bins[version, -1]


def test_decoding_alone_decodes_everything() -> None:
    (block,) = blocks(1500, 1_760_000_000.0, shape=VARIED)
    predictions, labels = decoded(block)
    rows = typed_decoder().decode_lines(block)
    assert len(rows) == len(predictions) + len(labels) == 2000
    first = next(row for row in rows if row.features is not None)
    assert {name: getattr(first.features, name) for name in predictions[0]["features"]} == predictions[0]["features"]
    assert [row.label for row in rows if row.kind == "label"] == [row["label"] for row in labels]


def test_the_parts_of_the_engine_are_still_where_they_are_timed() -> None:
    with Parts().watching():
        pass


def test_mtail_gets_as_many_metrics_as_it_is_said_to() -> None:
    program = mtail_program()
    assert sum(line.startswith(("counter ", "histogram ")) for line in program.splitlines()) == 22
