"""What `mlcanary profile` leaves out by itself and says of columns: exact words, and silence where all is well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mlcanary.cli.profile import command
from mlcanary.formats.profile import read_profile
from mlcanary.measures.reference import CategoricalReference, NumericReference, Reference

ROWS = 600
GOOD: dict[str, list[Any]] = {
    "age": [20 + i % 50 for i in range(ROWS)],
    "income": [i * 0.37 for i in range(ROWS)],
    "plan": [f"p{i % 3}" for i in range(ROWS)],
    "score": [i / ROWS for i in range(ROWS)],
    "label": [i % 2 for i in range(ROWS)],
}


def run(directory: Path, columns: Mapping[str, Sequence[Any]], *flags: str) -> tuple[list[str], Reference]:
    """The notes, without their first word, and the profile of columns that are written as JSON lines."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    (directory / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(command, [str(directory / "t.jsonl"), "-o", str(directory / "p.json"), *flags])
    assert result.exit_code == 0, (result.output, result.exception)
    said = [line.removeprefix("note: ") for line in result.output.splitlines() if line.startswith("note: ")]
    return said, read_profile((directory / "p.json").read_text(), "p.json")


def csv_notes(directory: Path, header: str, rows: Sequence[str], *flags: str) -> tuple[list[str], Reference]:
    """The same of CSV lines."""
    (directory / "t.csv").write_text("\n".join([header, *rows, ""]))
    result = CliRunner().invoke(command, [str(directory / "t.csv"), "-o", str(directory / "p.json"), *flags])
    assert result.exit_code == 0, (result.output, result.exception)
    said = [line.removeprefix("note: ") for line in result.output.splitlines() if line.startswith("note: ")]
    return said, read_profile((directory / "p.json").read_text(), "p.json")


def test_a_good_table_has_no_notes(tmp_path: Path) -> None:
    notes, reference = run(tmp_path, GOOD)
    assert notes == []
    assert set(reference.features) == {"age", "income", "plan"}


def test_ids_and_times_are_left_out_unless_a_flag_keeps_them(tmp_path: Path) -> None:
    more: dict[str, list[Any]] = {
        "customer_id": [f"c{min(i, ROWS - 10)}" for i in range(ROWS)],
        "signup": [1_747_487_112_000 + 1000 * i for i in range(ROWS)],
        "since": ["2026-11-26 10:05:07"] * ROWS,
    }
    notes, reference = run(tmp_path, {**GOOD, **more})
    assert notes == [
        "left out: customer_id (nearly every row has its own), signup (times), since (times); "
        "keep one by --categorical or --numeric"
    ]
    assert set(reference.features) == {"age", "income", "plan"}
    assert "c1" not in (tmp_path / "p.json").read_text()
    flags = ("--categorical", "customer_id", "--categorical", "since", "--numeric", "signup")
    notes, reference = run(tmp_path, {**GOOD, **more}, *flags)
    assert notes == ["the same value in all rows that have one: since (2026-11-26 10:05:07)"]
    assert set(reference.features) == {"age", "income", "plan", *more}


def test_whole_numbers_that_may_be_amounts_are_kept_and_told(tmp_path: Path) -> None:
    notes, reference = run(tmp_path, {**GOOD, "balance": [(i * 7919) % 10_007 for i in range(ROWS)]})
    assert notes == ["every row has its own whole number, kept as a feature: balance; if it is an id: --exclude"]
    assert "balance" in reference.features
    assert run(tmp_path, {**GOOD, "balance": [None, *((i * 7919) % 10_007 for i in range(1, ROWS))]})[0] == []


@pytest.mark.parametrize(("others", "verb"), [(1, "1 is"), (3, "3 are")])
def test_texts_among_numbers_are_told_and_numeric_takes_the_numbers(tmp_path: Path, others: int, verb: str) -> None:
    ages: list[Any] = list(GOOD["age"])
    ages[5 : 5 + others] = ["unknown"] * others
    ages[0] = None
    notes, reference = run(tmp_path, {**GOOD, "age": ages})
    assert notes == [
        f"age: {599 - others} of 599 values are numbers, {verb} not, such as 'unknown': taken as categories; "
        "--numeric age takes the numbers, and counts texts as missing, in the log as mistyped too"
    ]
    assert isinstance(reference.features["age"], CategoricalReference)
    notes, reference = run(tmp_path, {**GOOD, "age": ages}, "--numeric", "age", "--sample.rows", "600")
    age = reference.features["age"]
    assert notes == []
    assert isinstance(age, NumericReference)
    assert (age.counts.sum(), age.missing, age.min, age.max) == (599.0 - others, 1.0 + others, 20.0, 69.0)
    assert reference.sample is not None
    assert (reference.sample["age"] == -1).sum() == 1 + others
    assert run(tmp_path, {**GOOD, "age": ages}, "--categorical", "age")[0] == []


def test_other_names_of_score_and_label_are_guessed(tmp_path: Path) -> None:
    columns = {"p" if name == "score" else "churned" if name == "label" else name: v for name, v in GOOD.items()}
    score = "no column 'score': AUC will use logit-spaced bins, score drift is not measured"
    label = "no column 'label'; only 0 and 1, and features now: churned; if one is the label: --label.column"
    found = f"{score}; within 0..1, and features now: p; if one is the score: --score.column"
    assert run(tmp_path, columns)[0] == [found, label]
    assert run(tmp_path, columns, "--score.column", "p", "--label.column", "churned")[0] == []
    assert run(tmp_path, columns, "--exclude", "p", "--label.column", "churned")[0] == [score]
    assert run(tmp_path, GOOD, "--exclude", "score")[0] == [score]
    empty = score.replace("no column", "no value in the column")
    missing = "score: 600 of 600 values are missing"
    assert run(tmp_path, {**GOOD, "score": [None] * ROWS})[0] == [empty, missing]


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_a_model_without_its_predictions_is_told(tmp_path: Path, task: str) -> None:
    note = "no values in a column 'prediction': drift of what the model gives is not measured"
    assert run(tmp_path, GOOD, "--model.task", task)[0] == [note]
    assert run(tmp_path, {**GOOD, "prediction": GOOD["age"]}, "--model.task", task)[0] == []
    assert run(tmp_path, GOOD, "--model.task", "ranking")[0] == []


def test_too_few_rows_and_too_few_values_are_told(tmp_path: Path) -> None:
    costs = "healthy traffic may then look like drift; take some thousand rows"
    assert run(tmp_path, {name: column[:499] for name, column in GOOD.items()})[0] == [f"fewer than 500 rows: {costs}"]
    assert run(tmp_path, {name: column[:500] for name, column in GOOD.items()})[0] == []
    income = [None if i < 101 else value for i, value in enumerate(GOOD["income"])]
    scores = [None if i < 300 else value for i, value in enumerate(GOOD["score"])]
    assert run(tmp_path, {**GOOD, "income": income, "score": scores})[0] == [
        f"fewer than 500 values: income (499), score (300): {costs}",
        "score: 300 of 600 values are missing",
    ]


def test_columns_without_a_value_with_one_value_and_with_infinities_are_told(tmp_path: Path) -> None:
    rows = [f"{20 + i % 50},7,,{'-inf' if i % 60 == 0 else i / 7},{i / ROWS},{i % 2}" for i in range(ROWS)]
    notes, reference = csv_notes(tmp_path, "age,const,void,rate,score,label", rows)
    assert notes == [
        "no feature, since no row has a value: void",
        "the same value in all rows that have one: const (7.0)",
        "infinite values count as missing: rate (10)",
    ]
    assert set(reference.features) == {"age", "const", "rate"}
    assert reference.features["rate"].missing == 10.0
