"""The guide on log formats: its configuration loads, its records are read, its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

from guides import blocks, guide
from mlcanary.documents import load_document
from mlcanary.formats.calls import CallMapping
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import FORMATS, make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey
from mlcanary.settings import ExporterDocument
from mlcanary.source_settings import origins_of

GUIDE = guide("formats")


def test_every_source_of_the_examples_can_be_opened() -> None:
    for text in blocks(GUIDE, "yaml"):
        document = load_document(text, "formats.md", ExporterDocument)
        assert (
            len(origins_of(document.sources, FormatOptions(), Path(), text, "formats.md")) == len(document.sources) > 0
        )


def test_the_pair_of_events_is_one_prediction() -> None:
    block = next(block for block in blocks(GUIDE, "json") if "kubeflow" in block)
    decoded = make_format(FormatOptions("kserve", mapping={"feature_names": ["age", "plan"]}), lambda _m: ModelPlan())
    (record,) = decoded.decode_block(block.encode(), 1793527300.0).every_record()
    assert (record.id, record.ts) == ("5f0c", 1793527200.12)
    assert getattr(record, "key", None) == ModelKey("churn", "canary")
    assert getattr(record, "features", None) == {"age": 41, "plan": "pro"}


def test_every_format_and_every_key_of_the_mapping_is_in_a_table() -> None:
    named = set(re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", GUIDE, flags=re.MULTILINE))))
    assert named >= set(FORMATS)
    assert named >= set(CallMapping.__struct_fields__)
