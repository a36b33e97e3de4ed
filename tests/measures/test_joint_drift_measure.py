"""Joint drift over a monitor's life: samples in profiles, checkpoints, another sample, and none at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from mlcanary.cli.profile import command
from mlcanary.errors import ConfigError
from mlcanary.formats.profile import read_profile, write_profile
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.joint_drift import JointDriftMeasure, frame_of
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import SAMPLE_FEATURES, Reference
from mlcanary.records import ModelKey, Prediction, Sample
from nasty_streams import STREAMS, categories, numbers

KEY = ModelKey("m", "v")


def columns(rows: int, seed: int = 1) -> dict[str, list[Any]]:
    """Income goes with age."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, rows)
    income = 100 * age + rng.normal(0, 1000, rows)
    plans = rng.choice(["free", "pro"], rows).tolist()
    return {"age": age.tolist(), "income": income.tolist(), "plan": plans, "tenure": rng.random(rows).tolist()}


def reference(sample: int = 1000, seed: int = 1) -> Reference:
    """A profile with a sample."""
    return profile_columns(columns(2000, seed), ProfileOptions(bins=10, sample_rows=sample))


def requests(rows: int, *, mixed_up: bool = False, seed: int = 7) -> list[Prediction]:
    """One a second."""
    of = columns(rows, seed)
    if mixed_up:
        of["income"] = of["income"][::-1]
    return [Prediction(KEY, float(i), None, {n: column[i] for n, column in of.items()}) for i in range(rows)]


def shown(measure: JointDriftMeasure) -> list[Sample]:
    """Everything."""
    return [*measure.counters(), *measure.facts(0.0), *measure.gauges(60.0)]


def gauges(measure: JointDriftMeasure) -> dict[str, float]:
    """Gauges by name and own labels."""
    return {" ".join([s.name.removeprefix("mlcanary_window_"), *s.labels]): s.value for s in measure.gauges(60.0)}


def fed(rows: list[Prediction], measure: JointDriftMeasure | None = None) -> JointDriftMeasure:
    """After these requests."""
    measure = measure or JointDriftMeasure(ModelPlan(reference=reference()))
    measure.on_predictions(rows)
    return measure


def test_a_mixed_up_column_is_seen_and_named() -> None:
    healthy, broken = gauges(fed(requests(2000))), gauges(fed(requests(2000, mixed_up=True)))
    assert healthy["c2st_auc_ratio"] < healthy["c2st_auc_critical_ratio"]
    assert broken["c2st_auc_ratio"] > broken["c2st_auc_critical_ratio"]
    driving = [name for name in broken if name.startswith("c2st_shift")][:2]
    assert set(driving) == {"c2st_shift_stddevs age", "c2st_shift_stddevs income"}


def test_names_without_an_order_are_seen_where_they_no_longer_belong_to_their_rows() -> None:
    """Twelve professions, told apart by age and income but not by how frequent they are."""
    rng = np.random.default_rng(4)

    def made(rows: int) -> dict[str, list[Any]]:
        job = rng.integers(0, 12, rows)
        age, income = rng.normal((5 * job) % 12, 6.0), rng.normal((7 * job) % 12, 6.0)
        return {"job": [f"j{i:02d}" for i in job], "age": age.tolist(), "income": income.tolist()}

    given, live = profile_columns(made(5000), ProfileOptions(sample_rows=2000)), made(2000)
    for names, seen in ((live["job"], False), (live["job"][::-1], True)):
        of = {**live, "job": names}
        rows = [Prediction(KEY, float(i), None, {n: column[i] for n, column in of.items()}) for i in range(2000)]
        found = gauges(fed(rows, JointDriftMeasure(ModelPlan(reference=given))))
        assert (found["c2st_auc_ratio"] > found["c2st_auc_critical_ratio"]) is seen


@pytest.mark.parametrize("given", [None, reference(0), reference(3)], ids=["no reference", "no sample", "three rows"])
def test_without_a_sample_nothing_is_measured_and_the_page_says_why(given: Reference | None) -> None:
    measure = fed(requests(300), JointDriftMeasure(ModelPlan(reference=given)))
    assert measure.parts == {}
    assert measure.sketches == {}
    assert shown(measure) == [Sample("mlcanary_window_undefined", "", ("c2st_auc", "no_reference_sample"), 1.0)]


def test_the_first_block_only_trains() -> None:
    measure = fed(requests(100))
    assert gauges(measure) == {"undefined c2st_auc too_few_rows": 1.0}
    assert gauges(fed(requests(1), measure))["c2st_rows"] == 1.0


def test_a_restart_goes_on_bit_for_bit_from_a_small_checkpoint() -> None:
    rows = requests(1700)
    measure, restored = fed(rows[:1234]), JointDriftMeasure(ModelPlan(reference=reference()))
    for kept, fresh in ((measure.parts, restored.parts), (measure.sketches, restored.sketches)):
        for name, part in kept.items():
            written = msgspec.msgpack.encode(part.dump())
            assert len(written) < 2000
            fresh[name].load(msgspec.msgpack.decode(written))
    assert shown(fed(rows[1234:], restored)) == shown(fed(rows[1234:], measure))


def test_a_checkpoint_over_another_sample_is_left_and_training_begins_anew() -> None:
    other = JointDriftMeasure(ModelPlan(reference=reference(seed=2)))
    other.sketches["past"].load(fed(requests(500)).sketches["past"].dump())
    assert gauges(fed(requests(100), other)) == {"undefined c2st_auc too_few_rows": 1.0}


def test_another_sample_over_the_same_edges_keeps_the_counters() -> None:
    measure, plan = fed(requests(500)), ModelPlan(reference=reference(800))
    before, trained = list(measure.counters()), measure.sketches["past"]
    measure.replan(ModelPlan(reference=reference()))
    assert measure.sketches["past"] is trained, "the same sample, read again"
    measure.replan(plan)
    assert list(measure.counters()) == before
    assert list(fed(requests(100), measure).counters()) == before, "a first block again"
    assert fed(requests(100), measure).parts["placements"].rows == before[0].value + 100
    measure.replan(ModelPlan(reference=reference(0)))
    assert {s.name for s in shown(measure)} >= {s.name for s in before}


def test_versions_share_one_frame() -> None:
    shared = reference()
    first, second = JointDriftMeasure(ModelPlan(reference=shared)), JointDriftMeasure(ModelPlan(reference=shared))
    assert frame_of(shared) is frame_of(shared)
    assert first.sketches["past"].halves is second.sketches["past"].halves
    assert frame_of(reference()) is not frame_of(shared)


def test_features_above_the_cap_are_left_out_and_told() -> None:
    wide = {f"f{i:02d}": [float(i + j) for j in range(50)] for i in range(SAMPLE_FEATURES + 2)}
    profiled = profile_columns(wide, ProfileOptions(sample_rows=50))
    assert list(profiled.sample or ()) == list(wide)[:SAMPLE_FEATURES]
    by_hand = replace(profiled, sample=dict.fromkeys(wide, np.zeros(50, dtype=np.int32)))
    measure = JointDriftMeasure(ModelPlan(reference=by_hand))
    assert measure.take_folded() == {("joint_features", name) for name in list(wide)[SAMPLE_FEATURES:]}


@pytest.mark.parametrize("stream", STREAMS)
def test_bins_are_those_that_drift_counts(stream: str) -> None:
    given = profile_columns({"x": numbers("ties"), "c": categories("ties")}, ProfileOptions(bins=7))
    rows = [{"x": x, "c": c} for x, c in zip(numbers(stream), categories(stream), strict=True)]
    rows += [{"x": 10**400, "c": [1]}, {"x": True, "c": 2}, {"x": "7", "c": None}]
    measure = FeatureMeasure(ModelPlan(reference=given))
    measure.on_predictions([Prediction(KEY, 0.0, None, row) for row in rows])
    for name, feature in given.features.items():
        found = feature.bin_numbers([row[name] for row in rows])
        counts = np.bincount(found[found >= 0], minlength=len(feature.counts))
        assert counts.tolist() == measure.parts[f"bins {name}"].values.tolist()


def test_a_sample_reads_back_and_holds_no_values() -> None:
    given = reference(200)
    text = write_profile(given).decode()
    assert repr(columns(2000)["age"][0]) not in text
    found = read_profile(text, "p.json").sample
    assert found is not None
    assert given.sample is not None
    assert {n: c.tolist() for n, c in found.items()} == {n: c.tolist() for n, c in given.sample.items()}
    assert {len(column) for column in found.values()} == {200}
    assert read_profile(write_profile(reference(0)).decode(), "p.json").sample is None
    without = json.loads(text)
    del without["sample"]
    assert read_profile(json.dumps(without), "p.json").sample is None


def test_a_sample_is_drawn_alike_every_time_and_without_replacement() -> None:
    rows = 500
    numbered = profile_columns({"row": [float(i) for i in range(rows)]}, ProfileOptions(bins=200, sample_rows=rows))
    again = profile_columns({"row": [float(i) for i in range(rows)]}, ProfileOptions(bins=200, sample_rows=9999))
    assert numbered.sample is not None
    assert again.sample is not None
    column, counts = numbered.sample["row"], numbered.features["row"].counts
    assert column.tolist() == again.sample["row"].tolist()
    assert np.bincount(column, minlength=len(counts)).tolist() == counts.tolist()
    assert column.tolist() != sorted(column.tolist())


def broken() -> Iterator[tuple[dict[str, str], str]]:
    """Samples that cannot be, and a word of the complaint."""
    yield {"age": "0 1", "income": "0"}, "1 rows"
    yield {"age": "0 x"}, "bin numbers"
    yield {"age": "0 12"}, "-1 (missing) to 11"
    yield {"age": "-2"}, "-1 (missing) to 11"
    yield {"age": "99999999999"}, "bin numbers"
    yield {"height": "0"}, "age, income, plan, tenure"


@pytest.mark.parametrize(("sample", "word"), list(broken()))
def test_a_broken_sample_is_refused_in_words(sample: dict[str, str], word: str) -> None:
    document = json.loads(write_profile(reference(10)))
    document["sample"] = sample
    with pytest.raises(ConfigError) as caught:
        read_profile(json.dumps(document, indent=1), "p.json")
    assert word in str(caught.value)


def test_the_command_takes_a_sample_and_says_so(tmp_path: Path) -> None:
    table, output = tmp_path / "rows.jsonl", tmp_path / "profile.json"
    of = {**columns(300), **{f"more{i}": [float(i)] * 300 for i in range(SAMPLE_FEATURES)}}
    table.write_text("".join(json.dumps({n: c[i] for n, c in of.items()}) + "\n" for i in range(300)))
    done = CliRunner().invoke(command, [str(table), "-o", str(output), "--sample.rows", "250"])
    assert done.exit_code == 0, done.output
    left_out = ", ".join(list(of)[SAMPLE_FEATURES:])
    assert f"sample for joint drift: 250 rows of bin numbers over 30 features; for want of room without {left_out}" in (
        done.output
    )
    found = read_profile(output.read_text(), str(output)).sample
    assert found is not None
    assert len(found["age"]) == 250
