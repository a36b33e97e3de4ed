"""The same traffic gives the same counters, whatever format tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from formats import event_traffic as events
from formats.same_traffic import (
    FEATURES,
    START,
    Call,
    Tells,
    assert_same_counters,
    native_labels,
    native_predictions,
    renamed,
    traffic,
)
from mlcanary.formats.contract import FormatOptions

CALLS = traffic()
ALL = Tells()
NO_CLASS = Tells(prediction=False)
NO_LATENCY = Tells(latency=False)
NEITHER = Tells(latency=False, prediction=False)
NAMES = {"feature_names": list(FEATURES)}


@dataclass(frozen=True)
class Telling:
    """One way to tell the calls: lines, the format that reads them, and what they do not tell."""

    name: str
    format: str
    lines: Sequence[bytes]
    tells: Tells = ALL
    mapping: dict[str, Any] | None = None
    calls: Sequence[Call] = CALLS


TELLINGS = (
    Telling("native", "native", native_predictions(CALLS)),
    Telling("native events", "cloudevents", events.native_events(CALLS)),
    Telling("binary, tensors", "kserve", events.kserve_binary(CALLS, events.tensors)),
    Telling("binary, nested tensors", "cloudevents", events.kserve_binary(CALLS, events.nested_tensors)),
    Telling("binary, instances", "kserve", events.kserve_binary(CALLS, events.instances), NO_CLASS, NAMES),
    Telling(
        "binary, instances without names",
        "kserve",
        events.kserve_binary(CALLS, events.instances),
        NO_CLASS,
        calls=renamed(CALLS, ("f0", "f1", "f2")),
    ),
    Telling("structured, named instances", "kserve", events.kserve_structured(CALLS, events.named_instances), NO_CLASS),
    Telling("structured, split", "cloudevents", events.kserve_structured(CALLS, events.dataframe_split)),
    Telling("structured, records", "kserve", events.kserve_structured(CALLS, events.dataframe_records), NO_CLASS),
    Telling("structured, columns", "kserve", events.kserve_structured(CALLS, events.columns), NO_CLASS),
    Telling("batches", "kserve", events.batches(events.kserve_structured(CALLS, events.tensors))),
    Telling("blob store", "kserve", events.kserve_stored(CALLS, events.tensors)),
    Telling("blob store, batches", "kserve", events.batches(events.kserve_stored(CALLS, events.tensors))),
    Telling("Seldon", "seldon1", events.seldon_kafka(CALLS, events.seldon_message), NEITHER),
    Telling("Seldon, tensors", "cloudevents", events.seldon_kafka(CALLS, events.tensors), NO_LATENCY),
    Telling("MLServer", "mlserver", events.mlserver_kafka(CALLS, events.tensors), NO_LATENCY),
    Telling("both halves", "oip-v2", events.both_halves(CALLS, events.tensors)),
    Telling("both halves, instances", "oip-v2", events.both_halves(CALLS, events.named_instances), NO_CLASS),
)


@pytest.mark.parametrize("telling", TELLINGS, ids=lambda telling: telling.name)
def test_the_same_traffic_gives_the_same_counters(telling: Telling) -> None:
    options = FormatOptions(telling.format, mapping=telling.mapping)
    assert_same_counters(telling.calls, telling.lines, options, telling.tells)


def test_labels_of_feedback_events_are_those_of_native_label_lines() -> None:
    whole = [call for call in CALLS if all(row.label is not None for row in call.rows)]
    parts = [
        replace(call, rows=tuple(replace(row, label=None) for row in call.rows)) if call not in whole else call
        for call in CALLS
    ]
    lines = events.seldon_kafka(parts, events.seldon_message) + events.seldon_feedback(parts)
    assert len(native_labels(parts)) > 30
    assert_same_counters(parts, lines, FormatOptions("seldon1"), NEITHER, labels=())


def test_bodies_without_envelope_count_at_the_time_of_arrival() -> None:
    calls = [replace(call, ts=START + 7200.0) for call in CALLS]
    assert_same_counters(calls, events.bodies_alone(calls, events.tensors), FormatOptions("oip-v2"), NO_LATENCY)
