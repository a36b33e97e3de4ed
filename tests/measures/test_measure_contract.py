"""What every measure owes the catalogue, the windows and the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from measure_inputs import LEARNING, feed, plan_of, plans_of
from mlcanary.catalog import BY_NAME, CATALOG, Group, Kind
from mlcanary.measures.contract import Measure
from mlcanary.measures.registry import MEASURES
from mlcanary.records import Sample

EVERY = pytest.mark.parametrize("kind", MEASURES, ids=lambda kind: kind.__name__)


def emitted(measure: Measure, seconds: float = 60.0) -> Iterator[Sample]:
    """Everything a measure shows."""
    yield from measure.counters()
    yield from measure.facts(100.0)
    yield from measure.gauges(seconds)


def own_labels(sample: Sample) -> int:
    """Labels that the measure itself must give: the catalogue's without model, version and window."""
    spec = BY_NAME[sample.name]
    common = 3 if spec.group is Group.WINDOW else 2
    return len(spec.labels) - common + (sample.suffix == "_bucket")


@EVERY
def test_a_measure_emits_all_families_it_declares_and_no_other(kind: type[Measure]) -> None:
    seen: set[str] = set()
    for plan in plans_of(kind):
        seen |= {sample.name for measure in (feed(kind(plan), 400), kind(plan)) for sample in emitted(measure)}
    assert seen == set(kind.families)


def test_every_contract_family_about_a_version_has_exactly_one_owner() -> None:
    owned = [family for kind in MEASURES for family in kind.families if family != "mlcanary_window_undefined"]
    assert len(owned) == len(set(owned))
    by_monitor = {
        "mlcanary_model_info",
        "mlcanary_label_join_pending",
        "mlcanary_last_prediction_timestamp_seconds",
        "mlcanary_last_label_timestamp_seconds",
        "mlcanary_expected_share_ratio",
        "mlcanary_merged_daily_active_users",  # by the exposition: what several sidecars saw
    }
    per_version = {
        row.name
        for row in CATALOG
        if row.group in {Group.CONTRACT, Group.WINDOW} and row.labels[:2] == ("model", "version")
    }
    told_of_the_log = {"mlcanary_sampling_weight_total"}  # no rule compares it
    assert set(owned) - told_of_the_log | by_monitor | {"mlcanary_window_undefined"} == per_version


@EVERY
def test_samples_fit_the_catalogue(kind: type[Measure]) -> None:
    measure = feed(kind(plan_of(kind)), 400)
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
    for plan in (plan_of(kind), replace(plan_of(kind), reference=None)):
        whole = list(feed(kind(plan), 60).counters())
        for batch in (1, 7, 59):
            found = list(feed(kind(plan), 60, batch=batch).counters())
            assert {s[:3] for s in found} == {s[:3] for s in whole}
            values = {s[:3]: s.value for s in found}
            assert all(values[s[:3]] == pytest.approx(s.value, rel=1e-12) for s in whole)


@EVERY
def test_counters_never_fall(kind: type[Measure]) -> None:
    measure = kind(plan_of(kind))
    before: dict[tuple[str, str, tuple[str, ...]], float] = {}
    for offset in range(0, 80, 20):
        feed(measure, 20, offset)
        now = {s[:3]: s.value for s in measure.counters()}
        assert before.keys() <= now.keys()
        assert all(now[key] >= value for key, value in before.items())
        before = now


@EVERY
def test_a_dump_restores_every_part_bit_for_bit_and_counting_goes_on(kind: type[Measure]) -> None:
    original, restored = feed(kind(plan_of(kind)), 40), kind(plan_of(kind))
    restored.adopt(original.parts)
    for kept, fresh in ((original.parts, restored.parts), (original.sketches, restored.sketches)):
        for name, part in kept.items():
            fresh[name].load(msgspec.msgpack.decode(msgspec.msgpack.encode(part.dump())))
    original.take_slots()  # windows start anew after a restart, so nothing keeps them
    assert list(emitted(restored)) == list(emitted(original))
    assert list(emitted(feed(restored, 30, 40))) == list(emitted(feed(original, 30, 40)))


@EVERY
def test_minus_a_former_state_shows_only_what_came_since(kind: type[Measure]) -> None:
    measure = feed(kind(plan_of(kind)), 40)
    before = measure.copy()
    feed(measure, 60, 40)
    window = {s[:3]: s.value for s in measure.minus(before).counters()}
    fresh = before.minus(before) if kind.__name__ in LEARNING else kind(plan_of(kind))
    alone = {s[:3]: s.value for s in feed(fresh, 60, 40).counters()}
    assert all(window[key] == pytest.approx(value, abs=1e-9) for key, value in alone.items())
    assert all(value == pytest.approx(0, abs=1e-9) for key, value in window.items() if key not in alone)


@EVERY
def test_what_is_undefined_is_absent(kind: type[Measure]) -> None:
    def zero_is_a_fact(name: str) -> bool:
        return name.replace("_segment_", "_") in {
            "mlcanary_window_predictions",
            "mlcanary_window_labels",
            "mlcanary_window_predictions_per_second",
            "mlcanary_window_undefined",
        }

    untouched = kind(plan_of(kind))
    assert [s for s in untouched.gauges(60.0) if not zero_is_a_fact(s.name)] == []
    used = feed(kind(plan_of(kind)), 40)
    quiet = used.minus(used.copy())
    assert [s for s in quiet.gauges(60.0) if not zero_is_a_fact(s.name)] == []
    assert all(math.isfinite(s.value) for measure in (untouched, used, quiet) for s in emitted(measure))
