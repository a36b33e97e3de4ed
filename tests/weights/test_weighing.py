"""Logs that were sampled before: rows of unequal weights are made equally likely, and totals stay unbiased."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from exporter_process import parsed, total
from mlcanary.engine import Engine
from mlcanary.errors import ConfigError
from mlcanary.formats.contract import Decoded
from mlcanary.records import Label, ModelKey, Prediction, Record
from mlcanary.settings import Flags, load_settings
from mlcanary.weights import Weighing

NOW = 1_760_000_000.0
KEY = ModelKey("m", "v1")


def weighed(weights: Weighing, records: list[Record]) -> list[Record]:
    decoded = Decoded(records=records)
    weights.weigh(decoded)
    return decoded.records


def test_estimates_from_a_sampled_log_are_those_of_the_whole_log_within_their_bounds() -> None:
    """Errors are kept in full, one in twenty of the others: counted as they stand they are 17 times too frequent."""
    random = np.random.default_rng(5)
    requests, rate = 60_000, 0.01
    is_wrong = random.random(requests) < rate
    kept = is_wrong | (random.random(requests) < 0.05)
    log: list[Record] = [
        Prediction(KEY, NOW, f"r{i}", label="0" if wrong else "1", weight=1.0 if wrong else 20.0)
        for i, wrong in zip(np.flatnonzero(kept).tolist(), is_wrong[kept].tolist(), strict=True)
    ]
    rows = [r for r in weighed(Weighing(20.0), log) if isinstance(r, Prediction)]
    share, n = sum(r.label == "0" for r in rows) / len(rows), len(rows)
    assert sum(r.label == "0" for r in log if isinstance(r, Prediction)) / len(log) > 0.15
    truth = float(is_wrong.mean())
    assert abs(share - truth) < 3 * sqrt(truth * (1 - truth) / n)
    behind = sum(r.weight for r in rows)
    # The variance of the sum: of the sampling of the log, and of the thinning, each row of weight 20 or none.
    assert abs(behind - requests) < 3 * sqrt(requests * (20 - 1) + 20 * 20 * rate * requests)
    assert {r.weight for r in rows} == {20.0}


def test_a_label_that_carries_the_weight_stays_with_its_prediction_in_every_process() -> None:
    predictions: list[Record] = [Prediction(KEY, NOW, f"r{i}", weight=2.0) for i in range(400)]
    labels: list[Record] = [Label(f"r{i}", NOW, "m", "1", weight=2.0) for i in range(400)]
    stayed = [r.id for r in weighed(Weighing(8.0), predictions)]
    assert stayed == [r.id for r in weighed(Weighing(8.0), labels)]
    assert 60 < len(stayed) < 140
    untold: list[Record] = [Label(f"r{i}", NOW, "m", "1") for i in range(400)]
    assert weighed(Weighing(8.0), untold) == untold


def test_rows_without_an_id_go_on_after_a_restart() -> None:
    records: list[Record] = [Prediction(KEY, NOW + i, weight=2.0) for i in range(300)]
    whole, first, second = Weighing(8.0), Weighing(8.0), Weighing(8.0)
    expected = [r.ts for r in weighed(whole, records)]
    before = [r.ts for r in weighed(first, records[:111])]
    second.load(msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump())))
    assert before + [r.ts for r in weighed(second, records[111:])] == expected
    assert second.left_out == whole.left_out == 300 - len(expected)


def test_equal_weights_need_nothing_and_unequal_ones_are_said() -> None:
    weights = Weighing(None)
    weighed(weights, [Prediction(KEY, NOW, f"r{i}", weight=20.0) for i in range(9)])
    assert not weights.warning()
    weighed(weights, [Prediction(KEY, NOW, "s", weight=1.0), Label("s", NOW)])
    assert weights.unequal == 1
    assert "max_weight" in weights.warning()
    above = Weighing(8.0)
    (kept,) = weighed(above, [Prediction(KEY, NOW, "s", weight=16.0)])
    assert kept.weight == 16.0
    assert "raise it" in above.warning()


def exporter(directory: Path, lines: list[dict[str, Any]], sampling: str) -> Engine:
    log, config = directory / "log.jsonl", directory / "exporter.yml"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config.write_text(f"sources: [{{path: {log}, sampling: {sampling}}}]\n")
    engine = Engine(load_settings(Flags(config_file=config)), clock=lambda: NOW)
    while engine.read_some():
        pass
    engine.publish()
    return engine


def row(i: int, **more: Any) -> dict[str, Any]:
    return {"id": f"r{i}", "ts": NOW - 1, "model": "m", "version": "v1", "score": 0.9, **more}


def test_the_page_tells_what_the_rows_stand_for(tmp_path: Path) -> None:
    engine = exporter(tmp_path, [row(i, weight=4 if i % 2 else 1) for i in range(1000)], "{max_weight: 4}")
    page = parsed(engine.page.text.decode())
    rows = total(page, "mlcanary_predictions_total")
    assert abs(rows - 625) < 4 * sqrt(500 * 0.25 * 0.75)
    assert total(page, "mlcanary_sampling_left_out_total") == 1000 - rows
    assert total(page, "mlcanary_sampling_weight_total") == 4 * rows
    assert total(page, "mlcanary_window_sampling_weight_ratio", window="5m") == 4.0
    assert not [w for w in engine.page.warnings if "weight" in w]


def test_unequal_weights_without_a_greatest_one_are_a_warning(tmp_path: Path) -> None:
    bad = row(7, weight=0.5)
    engine = exporter(tmp_path, [*(row(i, weight=1 + i % 2) for i in range(6)), bad, row(8, weight="2")], "{}")
    page = parsed(engine.page.text.decode())
    assert total(page, "mlcanary_predictions_total") == 6.0
    assert total(page, "mlcanary_log_parse_errors_total", reason="type") == 2.0
    assert total(page, "mlcanary_sampling_unequal_weights_total") == 3.0
    assert total(page, "mlcanary_sampling_weight_total") == 9.0
    assert [w for w in engine.page.warnings if "unequal weights" in w]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sampling: {features: 0}", "sampling.features"),
        ("sampling: {features: 1.5}", "sampling.features"),
        ("shedding: {lag_bytes: 5}", "shedding.lag_bytes"),
        ("models: [{name: m, sampling: {feature: 1}}]", "models.0.sampling"),
        ("sources: [{path: x, sampling: {max_weight: 0.5}}]", "max_weight"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, text: str, told: str) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text(text + "\n")
    with pytest.raises(ConfigError, match=told):
        load_settings(Flags(log_paths=("x",) if "sources" not in text else (), config_file=config))


def test_the_share_of_a_model_wins_over_that_of_all(tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text("sampling: {features: 0.25}\nmodels: [{name: m, sampling: {features: 0.5}}, {name: n}]\n")
    plan = load_settings(Flags(log_paths=("x",), config_file=config)).plan
    assert [plan.model(name).feature_share for name in ("m", "n", "other")] == [0.5, 0.25, 0.25]


def test_the_sampling_fraction_of_a_databricks_table_is_a_weight(tmp_path: Path) -> None:
    call = {
        "request_time": "2025-10-09T08:00:00Z",
        "request": json.dumps({"dataframe_split": {"columns": ["age"], "data": [[41], [42]]}}),
        "response": json.dumps({"predictions": [0.7, 0.1]}),
    }
    lines = [{**call, "client_request_id": f"r-{n}", "sampling_fraction": n} for n in (0.25, 0, 2)]
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, call]))
    config = tmp_path / "exporter.yml"
    config.write_text(f"sources: [{{path: {tmp_path}/table.jsonl, format: databricks}}]\n")
    engine = Engine(load_settings(Flags(config_file=config)), clock=lambda: NOW)
    while engine.read_some():
        pass
    engine.publish()
    page = parsed(engine.page.text.decode())
    assert total(page, "mlcanary_predictions_total") == 4.0
    assert total(page, "mlcanary_sampling_weight_total") == 4.0 + 4.0 + 1.0 + 1.0
    assert total(page, "mlcanary_log_parse_errors_total", reason="type") == 4.0
