"""Labels and predictions have a number beside their text, in new segments and out of old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import dataset, parquet

from mlcanary.catalog import Task
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import canonical_class
from mlcanary.store import labeled_rows
from mlcanary.store.class_numbers import NUMBER_OF, number_of, numbers_of
from mlcanary.store.layout import DATASETS, segments
from stored_log import NOW, REFERENCE, StoredLog, joined, rows

LABELS: tuple[tuple[Any, float | None], ...] = (
    *((1, 1.0), (0, 0.0), (True, 1.0), (False, 0.0), ("true", 1.0), (3, 3.0), (2.5, 2.5), ("-7", -7.0)),
    *(("churned", None), ("nan", None), ("1_0", None), (10**17, None)),
)
"""As a log has them, and their number."""


def written(path: Path, plan: ModelPlan | None = None, **given: Any) -> None:
    """A prediction for each label, every other label in a line of its own; two segments."""
    log = StoredLog(path, plan, **given)
    for half in (range(6), range(6, len(LABELS))):
        for i in half:
            own = {} if i % 2 else {"label": LABELS[i][0]}
            features = {"a": i / 10, "b": i, "city": "ulm"}
            log.take(
                [
                    {"id": f"r{i}", "ts": NOW + i, "model": "m", "version": "v1", "features": features, "score": 0.7}
                    | own
                ]
            )
            if i % 2:
                log.take([{"kind": "label", "id": f"r{i}", "ts": NOW + 60, "model": "m", "label": LABELS[i][0]}])
        log.store.finish()
        log.checkpoint()
    log.store.close()


def forget(path: Path, which: int) -> None:
    """Make segments of an earlier schema of the first `which` of each data set."""
    for name in DATASETS:
        for segment in sorted(segments(path, name))[:which]:
            table = (
                parquet.ParquetFile(segment.path)
                .read()
                .drop_columns([n for n in NUMBER_OF if n in columns(segment.path)])
            )
            parquet.write_table(table.replace_schema_metadata(None), segment.path)


def columns(path: Path) -> list[str]:
    """Those of a segment."""
    names: list[str] = parquet.ParquetFile(path).schema_arrow.names
    return names


@pytest.mark.parametrize("plan", [ModelPlan(), ModelPlan(reference=REFERENCE)], ids=["records", "columns"])
def test_segments_have_the_number_of_each_label_beside_its_text(tmp_path: Path, plan: ModelPlan) -> None:
    written(tmp_path, plan)
    found = {row["id"]: row for name in DATASETS for row in rows(tmp_path, name) if "label" in row}
    for i, (label, number) in enumerate(LABELS):
        assert found[f"r{i}"]["label"] == canonical_class(label)
        assert found[f"r{i}"].get("label_number") == number
    assert {row["prediction_number"] for row in rows(tmp_path, "predictions")} == {1.0}
    for name in DATASETS:
        for segment in segments(tmp_path, name):
            assert parquet.read_schema(segment.path).metadata[b"mlcanary.schema"] == b"2"


@pytest.mark.parametrize("old", [0, 1, 2])
def test_the_labelled_window_has_numbers_out_of_old_segments_too(old: int, tmp_path: Path) -> None:
    written(tmp_path)
    whole = joined(labeled_rows(tmp_path))
    forget(tmp_path, old)
    assert joined(labeled_rows(tmp_path)) == whole
    assert {row["id"]: row["label_number"] for row in whole} == {f"r{i}": n for i, (_, n) in enumerate(LABELS)}
    schema = next(iter(labeled_rows(tmp_path))).schema
    assert {schema.field(name).type for name in NUMBER_OF} == {pa.float64()}


def test_old_and_new_segments_are_one_data_set_for_other_readers(tmp_path: Path) -> None:
    written(tmp_path)
    forget(tmp_path, 1)
    files = [str(segment.path) for segment in sorted(segments(tmp_path, "outcomes"), reverse=True)]
    found = dataset.dataset(files, format="parquet").to_table().column("label_number")
    assert found.type == pa.float64()
    assert 0 < found.null_count < len(found)


def test_an_unlabelled_prediction_that_counts_as_negative_has_its_number(tmp_path: Path) -> None:
    written(tmp_path)
    found = joined(labeled_rows(tmp_path, maturity=30.0, as_of=NOW + 600, unlabeled="0"))
    assumed = [row for row in found if row["label_assumed"]]
    assert assumed
    assert {row["label_number"] for row in assumed} == {0.0}


def test_amounts_of_a_regression_are_numbers(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, ModelPlan(task=Task.REGRESSION))
    log.take([{"id": "r", "ts": NOW, "model": "m", "version": "v1", "prediction": 1234.5, "label": 1200}])
    log.end()
    (found,) = joined(labeled_rows(tmp_path))
    assert (found["prediction_number"], found["label_number"]) == (1234.5, 1200.0)


@given(st.lists(st.none() | st.text(max_size=6) | st.floats().map(str) | st.integers().map(str), max_size=20))
def test_any_text_has_a_finite_number_or_none(texts: list[str | None]) -> None:
    found = numbers_of(pa.array(texts, pa.string())).to_pylist()
    assert found == [number_of(text) for text in texts]
    assert all(value is None or abs(value) < float("inf") for value in found)
    exact = [(text, value) for text, value in zip(texts, found, strict=True) if value is not None]
    assert all(text.lower() in ("true", "false") or float(text) == value for text, value in exact if text is not None)
