"""Features of a share of the rows: their counts are those of the chosen rows alone, every other figure is exact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import msgspec
import numpy as np
import pytest

from mlcanary.catalog import BY_NAME
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.joins.pages import StoredJoin
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, Prediction, Record
from mlcanary.stats.row_choice import chosen
from monitored_traffic import START, plan, traffic, value

RECORDS = traffic(1500)
END = START + 1000.0
BINS = "mlcanary_feature_bin_total"
OF_FEATURES = ("mlcanary_feature_", "mlcanary_c2st_", "mlcanary_sampling_ratio")
Counts = dict[tuple[str, str, tuple[str, ...]], float]


def shared(share: float, **more: Any) -> MonitorPlan:
    """The plan of the traffic, its model looking at a share of the rows."""
    whole = plan(**more)
    return replace(whole, models={name: replace(each, feature_share=share) for name, each in whole.models.items()})


def counters(monitor: Monitor) -> Counts:
    """Everything but the gauges of windows."""
    return {s[:3]: s.value for s in monitor.samples(END) if "window" not in BY_NAME[s.name].labels}


def of_features(counts: Counts, *, wanted: bool) -> Counts:
    return {key: v for key, v in counts.items() if key[0].startswith(OF_FEATURES) == wanted}


def fed(records: Sequence[Record], the_plan: MonitorPlan, batch: int = 100) -> Monitor:
    monitor = Monitor(the_plan, START)
    for i in range(0, len(records), batch):
        monitor.feed(records[i : i + batch], START)
    monitor.advance(END, END)
    return monitor


def as_lines(records: Sequence[Record]) -> list[bytes]:
    """The same as a native log."""
    found = []
    for r in records:
        if isinstance(r, Label):
            line = {"kind": "label", "id": r.id, "ts": r.ts, "model": r.model, "label": int(r.label or 0),
                    "event": r.event, "value": r.value}  # fmt: skip
        else:
            line = {"id": r.id, "ts": r.ts, "model": r.key.model, "version": r.key.version, "features": r.features,
                    "prediction": r.predicted and int(r.predicted), "score": r.score,
                    "latency_ms": r.latency and r.latency * 1000, "status": r.error and int(r.error)}  # fmt: skip
        found.append(json.dumps({k: v for k, v in line.items() if v is not None}).encode() + b"\n")
    return found


def from_log(lines: Sequence[bytes], the_plan: MonitorPlan, share: float, size: int, *, columns: bool) -> Monitor:
    """What the exporter does to a log, `size` lines at a time, while it sheds."""
    decoder, monitor = NativeFormat(RowReader(the_plan.model), columns=columns), Monitor(the_plan, START)
    decoder.share = share
    monitor.look_at(share, joint=False)
    for i in range(0, len(lines), size):
        found = decoder.decode_block(b"".join(lines[i : i + size]), START + 900)
        assert not found.rejects
        monitor.feed(found.records, START, found.predictions, found.labels)
    monitor.advance(END, END)
    return monitor


@pytest.mark.parametrize("with_reference", [True, False])
def test_the_counts_are_those_of_the_chosen_rows_and_all_others_are_exact(with_reference: bool) -> None:
    found = counters(fed(RECORDS, shared(0.25, with_reference=with_reference)))
    whole = counters(fed(RECORDS, plan(with_reference=with_reference)))
    rows = [r for r in RECORDS if isinstance(r, Prediction)]
    few = [r for r, yes in zip(rows, chosen([r.id or "" for r in rows], 0.25), strict=True) if yes]
    alone = counters(fed(few, shared(1.0, with_reference=with_reference)))
    exact = of_features(whole, wanted=False)
    assert of_features(found, wanted=False) == pytest.approx(exact)
    ratio = ("mlcanary_sampling_ratio", "", ("churn", "features"))
    assert found.pop(ratio) == 0.25
    found.pop(("mlcanary_sampling_ratio", "", ("churn", "joint_drift")))
    expected = {key: v for key, v in of_features(alone, wanted=True).items() if "ratio" not in key[0]}
    told = {key: v for key, v in of_features(found, wanted=True).items() if "ratio" not in key[0]}
    assert told == pytest.approx(expected)
    answered = sum(r.error is None for r in few)
    assert sum(v for key, v in found.items() if key[0] == "mlcanary_feature_rows_total") == answered > 0


def test_records_and_columns_in_blocks_of_any_size_give_the_same_counts() -> None:
    the_plan, lines = plan(), as_lines(RECORDS)
    whole = counters(from_log(lines, the_plan, 1 / 8, 10_000, columns=False))
    for size, columns in ((97, True), (1000, True), (97, False)):
        found = counters(from_log(lines, the_plan, 1 / 8, size, columns=columns))
        assert found == pytest.approx(whole), (size, columns)
    exact = counters(from_log(lines, the_plan, 1.0, 1000, columns=True))
    assert of_features(whole, wanted=False) == pytest.approx(of_features(exact, wanted=False))


def test_a_restart_and_rows_without_ids_change_nothing() -> None:
    rows = [msgspec.structs.replace(r, id=None) for r in RECORDS if isinstance(r, Prediction)]
    the_plan = shared(0.5)
    whole, first = fed(rows, the_plan), fed(rows[:700], the_plan)
    second = Monitor(the_plan, START)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump()))
    assert second.load(state, StoredJoin(), START) == []
    second.feed(rows[700:], START)
    same = {k: v for k, v in counters(second).items() if not k[0].startswith("mlcanary_label")}
    assert same == {k: pytest.approx(v) for k, v in counters(whole).items() if not k[0].startswith("mlcanary_label")}
    looked = value(whole.samples(END), "feature_rows_total", "churn", "v1")
    assert looked is not None
    assert 400 < looked < 700


def test_joint_drift_rests_and_features_go_on() -> None:
    monitor = Monitor(plan(sample=400), START)
    monitor.look_at(1.0, joint=False)
    monitor.feed(RECORDS[:500], START)
    samples = list(monitor.samples(END))
    assert value(samples, "c2st_rows_total", "churn", "v1") == 0.0
    assert value(samples, "sampling_ratio", "churn", "joint_drift") == 0.0
    assert value(samples, "window_sampling_error_ratio", "churn", "v1", "5m") == 0.0
    monitor.look_at(1.0, joint=True)
    monitor.feed(RECORDS[500:], START)
    assert (value(monitor.samples(END), "c2st_rows_total", "churn", "v1") or 0.0) > 0.0


def test_shares_of_bins_lie_within_the_error_that_is_shown() -> None:
    """Five releases, two versions, all bins: less than 5 % of the shares lie outside, as the error is for the worst."""
    outside = inside = 0
    for seed in range(5):
        records = traffic(600, seed=seed)
        renamed = [msgspec.structs.replace(r, id=f"{seed}/{r.id}") for r in records]
        few, whole = (list(fed(renamed, each, batch=600).samples(END)) for each in (shared(0.25), plan()))
        for version in ("v1", "v2"):
            error = value(few, "window_sampling_error_ratio", "churn", version, "5m")
            n, all_rows = (value(each, "feature_rows_total", "churn", version) for each in (few, whole))
            assert error is not None
            assert n is not None
            assert all_rows is not None
            assert error == pytest.approx(1.96 * sqrt(0.25 / n * (1 - n / all_rows)), rel=1e-3)
            bins = [
                np.array([s.value for s in each if s.name == BINS and s.labels[1:3] == (version, "balance")])
                for each in (few, whole)
            ]
            outside += int(np.sum(np.abs(bins[0] / bins[0].sum() - bins[1] / bins[1].sum()) > error))
            inside += len(bins[0])
    assert inside > 50
    assert outside <= 0.05 * inside
