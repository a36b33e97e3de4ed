"""The configuration loads, whatever the log holds: its names and values are text, never YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.samples import diagnosed, records, replayed
from formats.same_traffic import NOW
from mlcanary.doctor.advice import comment, flow, scalar
from mlcanary.doctor.diagnosis import diagnose
from mlcanary.doctor.sample import Sample, SampledLog
from mlcanary.documents import load_document
from mlcanary.settings import ExporterDocument

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HOSTILE = (
    "a\"b'c",
    "x: y",
    "- z",
    "#",
    "a #b",
    "1.10",
    "no",
    "~",
    "{",
    "[a]",
    "a\nb: c",
    "\x1b[31m",
    "😀",
    "\u2028",
    " ",
)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_a_text_is_read_back_as_itself(text: str) -> None:
    assert yaml.safe_load(scalar(text)) == text
    assert yaml.safe_load(f"a: {scalar(text)}   # {comment(text)}") == {"a": text}
    assert yaml.safe_load(flow({text: [text, 1.5]})) == {text: [text, 1.5]}


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_a_log_are_no_yaml(text: str, tmp_path: Path) -> None:
    lines = records(
        {"rid": f"{text}{i}", "ts": NOW - i, "release": f"{text}{i % 2}", "x": {f"f{text}": i, "g": 1}, "score": i / 30}
        for i in range(30)
    )
    native = records(
        {"id": str(i), "ts": NOW - i, "model": text, "version": f"{text}{i % 2}", "features": {text: i}, "score": 0.5}
        for i in range(30)
    )
    found = diagnosed(tmp_path, lines, native)
    assert {part.chosen.name for part in found.parts if part.chosen} == {"mapping", "native"}
    predictions, _, rejects = replayed(found, tmp_path)
    assert (predictions, rejects) == (60, 0)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, width=32) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.fixed_dictionaries({"score": st.floats(0, 1)}, optional={"id": TEXTS, "x": VALUES}), max_size=5))
@settings(max_examples=40, deadline=None)
def test_any_log_gives_a_configuration_that_loads_or_none(documents: list[Any]) -> None:
    log = SampledLog("/log.jsonl", tuple(records(documents)), None, complete=True)
    found = diagnose([Sample("/log.jsonl", (log,), 1)], NOW)
    if found.yaml:
        assert len(load_document(found.yaml, "it", ExporterDocument).sources) == 1
    assert found.yaml or found.exit_code == 1
