"""What every measure owes the catalogue, the windows and the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import pytest

from mlcanary.catalog import BY_NAME, CATALOG, Group, Kind
from mlcanary.measures.contract import Labeled, Measure
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.registry import MEASURES
from mlcanary.records import ModelKey, Prediction, Sample
from monitored_traffic import reference

PLAN = ModelPlan(reference=reference())
EVERY = pytest.mark.parametrize("kind", MEASURES, ids=lambda kind: kind.__name__)


def predictions(n: int, offset: int = 0) -> list[Prediction]:
    """Requests with every trait that a measure looks at."""
    key = ModelKey("m", "v")
    return [
        Prediction(
            key,
            float(i),
            None,
            {"age": None if i % 3 == 0 else "old" if i % 5 == 0 else 20.0 + i, "plan": "pro", "balance": 3},
            str(i % 2) if i % 4 else None,
            (i % 11) / 10,
            i / 100,
            "500" if i % 7 == 0 else None,
        )
        for i in range(offset, offset + n)
    ]


def labeled(n: int, offset: int = 0) -> list[Labeled]:
    """Labelled predictions of both classes, some without a score."""
    return [
        Labeled(str(i % 2), str(i % 3 % 2), None if i % 9 == 0 else (i % 13) / 12, i % 2 == 1, float(i))
        for i in range(offset, offset + n)
    ]


def feed(measure: Measure, n: int, offset: int = 0, batch: int = 1000) -> Measure:
    """Give a measure everything it can take in."""
    requests, outcomes = predictions(n, offset), labeled(n, offset)
    for i in range(0, n, batch):
        measure.on_predictions(requests[i : i + batch])
        measure.on_labeled(outcomes[i : i + batch])
    if isinstance(measure, OutcomeMeasure):
        for i in range(offset, offset + n):
            measure.count_join("matched")
            measure.count_duplicate()
            measure.count_event(f"event{i % 2}", float(i) - 5.0)
    return measure


def emitted(measure: Measure, seconds: float = 60.0) -> Iterator[Sample]:
    """Everything a measure shows."""
    yield from measure.counters()
    yield from measure.gauges(seconds)


def own_labels(sample: Sample) -> int:
    """Labels that the measure itself must give: the catalogue's without model, version and window."""
    spec = BY_NAME[sample.name]
    common = 3 if spec.group is Group.WINDOW else 2
    return len(spec.labels) - common + (sample.suffix == "_bucket")


@EVERY
def test_a_measure_emits_all_families_it_declares_and_no_other(kind: type[Measure]) -> None:
    measure = feed(kind(PLAN), 60)
    assert {sample.name for sample in emitted(measure)} == set(kind.families)


def test_every_contract_family_about_a_version_has_exactly_one_owner() -> None:
    owned = [family for kind in MEASURES for family in kind.families]
    assert len(owned) == len(set(owned))
    by_monitor = {
        "mlcanary_model_info",
        "mlcanary_label_join_pending",
        "mlcanary_last_prediction_timestamp_seconds",
        "mlcanary_last_label_timestamp_seconds",
    }
    per_version = {
        row.name
        for row in CATALOG
        if row.group in {Group.CONTRACT, Group.WINDOW} and row.labels[:2] == ("model", "version")
    }
    assert set(owned) | by_monitor == per_version


@EVERY
def test_samples_fit_the_catalogue(kind: type[Measure]) -> None:
    measure = feed(kind(PLAN), 60)
    for sample in measure.counters():
        spec = BY_NAME[sample.name]
        assert spec.kind in {Kind.COUNTER, Kind.HISTOGRAM, Kind.SUMMARY}
        assert (sample.suffix != "") == (spec.kind is not Kind.COUNTER)
        assert len(sample.labels) == own_labels(sample)
    for sample in measure.gauges(60.0):
        assert BY_NAME[sample.name].group is Group.WINDOW
        assert len(sample.labels) == own_labels(sample)
    keys = [(s.name, s.suffix, s.labels) for s in emitted(measure)]
    assert len(keys) == len(set(keys)), "a series comes twice"


@EVERY
def test_batches_of_any_size_give_the_same_counts(kind: type[Measure]) -> None:
    for plan in (PLAN, ModelPlan()):
        whole = list(feed(kind(plan), 60).counters())
        for batch in (1, 7, 59):
            found = list(feed(kind(plan), 60, batch=batch).counters())
            assert {s[:3] for s in found} == {s[:3] for s in whole}
            values = {s[:3]: s.value for s in found}
            assert all(values[s[:3]] == pytest.approx(s.value, rel=1e-12) for s in whole)


@EVERY
def test_counters_never_fall(kind: type[Measure]) -> None:
    measure = kind(PLAN)
    before: dict[tuple[str, str, tuple[str, ...]], float] = {}
    for offset in range(0, 80, 20):
        feed(measure, 20, offset)
        now = {s[:3]: s.value for s in measure.counters()}
        assert before.keys() <= now.keys()
        assert all(now[key] >= value for key, value in before.items())
        before = now


@EVERY
def test_a_dump_restores_every_part_bit_for_bit_and_counting_goes_on(kind: type[Measure]) -> None:
    original, restored = feed(kind(PLAN), 40), kind(PLAN)
    for name, part in original.parts.items():
        restored.parts[name].load(msgspec.msgpack.decode(msgspec.msgpack.encode(part.dump())))
    assert list(emitted(restored)) == list(emitted(original))
    assert list(emitted(feed(restored, 30, 40))) == list(emitted(feed(original, 30, 40)))


@EVERY
def test_minus_a_former_state_shows_only_what_came_since(kind: type[Measure]) -> None:
    measure = feed(kind(PLAN), 40)
    before = measure.copy()
    feed(measure, 60, 40)
    window = {s[:3]: s.value for s in measure.minus(before).counters()}
    alone = {s[:3]: s.value for s in feed(kind(PLAN), 60, 40).counters()}
    assert all(window[key] == pytest.approx(value, abs=1e-9) for key, value in alone.items())
    assert all(value == pytest.approx(0, abs=1e-9) for key, value in window.items() if key not in alone)


@EVERY
def test_what_is_undefined_is_absent(kind: type[Measure]) -> None:
    def zero_is_a_fact(name: str) -> bool:
        return name in {
            "mlcanary_window_predictions",
            "mlcanary_window_labels",
            "mlcanary_window_predictions_per_second",
        }

    untouched = kind(PLAN)
    assert [s for s in untouched.gauges(60.0) if not zero_is_a_fact(s.name)] == []
    used = feed(kind(PLAN), 40)
    quiet = used.minus(used.copy())
    assert [s for s in quiet.gauges(60.0) if not zero_is_a_fact(s.name)] == []
    assert all(math.isfinite(s.value) for measure in (untouched, used, quiet) for s in emitted(measure))
