"""`mlcanary profile`: the same reference from every kind of table, and errors that say what to do."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from mlcanary.cli.profile import command
from mlcanary.errors import ConfigError
from mlcanary.formats.profile import read_profile
from mlcanary.measures.reference import CategoricalReference, NumericReference

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    random = np.random.default_rng(3)
    made: Rows = []
    for i in range(1000):
        made.append(
            {
                "age": int(random.integers(18, 90)),
                "balance": None if i % 50 == 0 else round(float(random.lognormal()), 4),
                "plan": str(random.choice(["free", "pro"])),
                "active": None if i % 70 == 0 else bool(random.random() < 0.3),
                "score": round(float(random.random()), 5),
                "label": int(random.random() < 0.2),
            }
        )
    return made


def run(table: Path, *flags: str) -> Result:
    return CliRunner().invoke(command, [str(table), "-o", str(table.with_name("profile.json")), *flags])


def profiled(table: Path, *flags: str) -> str:
    result = run(table, *flags)
    assert result.exit_code == 0, result.output
    return table.with_name("profile.json").read_text()


def write_csv(path: Path, rows: Rows) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_every_kind_of_table_gives_the_same_profile(tmp_path: Path, rows: Rows) -> None:
    write_csv(tmp_path / "t.csv", rows)
    write_csv(tmp_path / "t.csv.gz", rows)
    (tmp_path / "plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = ("age", "balance", "plan", "active")
    records = [
        {"id": str(i), "features": {n: row[n] for n in names}, "score": row["score"], "prediction": 1}
        for i, row in enumerate(rows)
    ]
    labels = [{"kind": "label", "id": str(i), "label": 1} for i in range(10)]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*records, *labels]))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    found = {
        name: profiled(tmp_path / name) for name in ("t.csv", "t.csv.gz", "plain.jsonl", "records.jsonl", "t.parquet")
    }
    assert len(set(found.values())) == 1


def test_columns_become_numeric_or_categorical_and_the_label_stays_out(tmp_path: Path, rows: Rows) -> None:
    write_csv(tmp_path / "t.csv", rows)
    reference = read_profile(profiled(tmp_path / "t.csv", "--categorical", "age"), "profile.json")
    assert set(reference.features) == {"age", "balance", "plan", "active"}
    assert isinstance(reference.features["age"], CategoricalReference)
    balance = reference.features["balance"]
    assert isinstance(balance, NumericReference)
    assert (balance.missing, float(balance.counts.sum())) == (20.0, 980.0)
    assert reference.score is not None
    assert len(reference.score.counts) == 52  # below and above all scores there is one more each
    assert reference.rows == 1000


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["True", "False", ""], True),
        ([" true", "FALSE ", "true"], True),
        (["TRUE", "TRUE", "NA"], True),
        (["True", "False", "maybe"], False),
        (["true", "1", "false"], False),
        (["yes", "no", "yes"], False),
    ],
)
def test_a_csv_has_booleans_where_all_cells_are_true_or_false_in_any_case(
    tmp_path: Path, cells: list[str], numeric: bool
) -> None:
    (tmp_path / "t.csv").write_text("x,flag\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells * 40)))
    found = read_profile(profiled(tmp_path / "t.csv"), "profile.json").features["flag"]
    assert isinstance(found, NumericReference) == numeric
    if isinstance(found, NumericReference):
        assert (found.min, found.max) == (min(float("u" in c.lower()) for c in cells if c not in {"", "NA"}), 1.0)
    named = read_profile(profiled(tmp_path / "t.csv", "--categorical", "flag"), "profile.json").features["flag"]
    assert isinstance(named, CategoricalReference)
    assert set(named.categories) <= ({"0", "1"} if numeric else set(cells))


def test_the_task_says_what_the_output_is(tmp_path: Path) -> None:
    rows: Rows = [{"x": i % 50, "prediction": 2.0 * i, "label": i % 5} for i in range(100)]
    write_csv(tmp_path / "t.csv", rows)
    regression = read_profile(profiled(tmp_path / "t.csv", "--model.task", "regression"), "profile.json")
    assert set(regression.features) == {"x"}
    assert isinstance(regression.prediction, NumericReference)
    assert (regression.prediction.min, regression.prediction.max, regression.target_mean) == (0.0, 198.0, 2.0)
    multiclass = read_profile(profiled(tmp_path / "t.csv", "--model.task", "multiclass"), "profile.json")
    assert isinstance(multiclass.prediction, CategoricalReference)
    assert (multiclass.prediction.counts.sum(), multiclass.target_mean) == (75.0, None)  # 25 rows chose the classes
    binary = read_profile(profiled(tmp_path / "t.csv"), "profile.json")
    assert (binary.prediction, binary.score, binary.output) == (None, None, None)


def test_a_regression_model_predicts_numbers(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"x": 1, "prediction": "high"}])
    result = run(tmp_path / "t.csv", "--model.task", "regression")
    assert str(result.exception) == "column prediction: found 'high'; allowed: numbers, as the task is regression"


def test_a_feature_of_too_many_names_is_told(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"id": f"user {i}", "plan": "pro"} for i in range(10_060)])
    result = run(tmp_path / "t.csv", "--categorical", "id")
    assert "note: more than 10,000 further names, so unseen ones are not told apart: id" in result.output
    reference = read_profile((tmp_path / "profile.json").read_text(), "profile.json")
    found = reference.features["id"]
    assert isinstance(found, CategoricalReference)
    assert (len(found.categories), len(found.tail), found.complete) == (50, 10_000, False)


def test_features_are_named_and_columns_that_tell_rows_apart_are_left_out(tmp_path: Path) -> None:
    rows = "".join(f"{i},{20 + i % 50},{i * 0.37},p{i % 3},u{i}@example.org\n" for i in range(300))
    (tmp_path / "t.csv").write_text(f",age,weight,plan,email\n{rows}")
    said = CliRunner().invoke(command, [str(tmp_path / "t.csv"), "--output", str(tmp_path / "p.json")]).output
    assert "  numeric: age, weight\n  categorical: plan\n" in said
    assert "note: left out: email (nearly every row has its own); keep one by --categorical or --numeric\n" in said
    assert "note: left out the index of pandas, which has no name: write files with index=False" in said


def test_the_summary_names_every_feature_on_lines_that_can_be_read(tmp_path: Path) -> None:
    names = [f"a_feature_with_a_name_of_length_{i:02}" for i in range(40)]
    rows = "".join(",".join(str((i + j) % 7) for j in range(40)) + "\n" for i in range(30))
    (tmp_path / "t.csv").write_text(f"{','.join(names)}\n{rows}")
    said = CliRunner().invoke(command, [str(tmp_path / "t.csv"), "--output", str(tmp_path / "p.json")]).output
    told = said[said.index("  numeric: ") :].partition("note:")[0]
    assert " ".join(told.split()) == f"numeric: {', '.join(names)}"
    assert max(map(len, told.splitlines())) <= 116


def test_the_help_says_what_is_stored() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "the least and the greatest value" in text
    assert "names of up to 10,000 more" in text


def test_broken_rows_are_left_out_and_told(tmp_path: Path, rows: Rows) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"age": \n\n'
    (tmp_path / "t.jsonl").write_text(text)
    result = run(tmp_path / "t.jsonl")
    assert result.exit_code == 0
    assert "1,000 rows" in result.output
    assert "note: 1 broken rows left out" in result.output


@pytest.mark.parametrize(
    ("name", "text", "flags", "message"),
    [
        ("t.csv", "a,score\n1,7\n", (), "column score: found a value outside 0..1; allowed: probabilities"),
        ("t.csv", "a,b\n", (), "the file has no rows"),
        ("t.csv", "a,b\n1,2\n", ("--exclude", "c"), "no column c; allowed: a, b"),
        ("t.xlsx", "", (), "t.xlsx: found .xlsx; allowed: .csv, .csv.gz, .jsonl, .jsonl.gz, .parquet"),
        ("t.jsonl", '{"a": [1]}\n', (), "column a: found a list or an object; allowed: numbers, texts and booleans"),
        ("t.parquet", "no parquet", (), "t.parquet: not a Parquet file"),
        ("t.csv", "a,p\n1,.5\n", ("--score.column", "q"), "--score.column: found no column 'q'; allowed: a, p"),
        ("t.csv", "a,p\n1,.5\n", ("--label.column", "b"), "--label.column: found no column 'b'; allowed: a, p"),
        (
            "t.csv",
            "a,b\n1,x\n",
            ("--numeric", "b"),
            "column b: found 'x' and no number; allowed: numbers, as --numeric",
        ),
        (
            "t.csv",
            "a\n1\n",
            ("--numeric", "a", "--categorical", "a"),
            "found a as categorical and as numeric; allowed:",
        ),
        ("t.csv", "a,b\n1,x\n", ("--numeric", "c"), "no column c; allowed: a, b"),
        ("t.csv", 'a,b\n1,"1,234.5"\n', (), "found numbers with a comma in b (1,234.5); allowed: no comma between"),
    ],
)
def test_errors_say_what_was_found_and_what_is_allowed(
    tmp_path: Path, name: str, text: str, flags: tuple[str, ...], message: str
) -> None:
    (tmp_path / name).write_text(text)
    result = run(tmp_path / name, *flags)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_times_of_a_parquet_file_are_left_out_and_other_types_are_named(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 26, 10, 5, 7, 250, tzinfo=UTC)
    columns: dict[str, Any] = {
        "naive": pyarrow.array([1_747_487_112_000_000_001] * 20, pyarrow.timestamp("ns")),
        "zoned": pyarrow.array([moment] * 20, pyarrow.timestamp("us", "Mars/Olympus")),
        "day": [moment.date()] * 20,
        "price": pyarrow.array([Decimal(i) / 4 for i in range(20)], pyarrow.decimal128(9, 2)),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    result = run(tmp_path / "t.parquet")
    assert "note: left out: naive (times), zoned (times), day (times); keep one by" in result.output
    (price,) = read_profile((tmp_path / "profile.json").read_text(), "profile.json").features.values()
    assert isinstance(price, NumericReference)
    assert (price.min, price.max, price.mean) == (0.0, 4.75, 2.375)
    kept = run(tmp_path / "t.parquet", "--categorical", "day")
    assert isinstance(kept.exception, ConfigError)
    assert str(kept.exception) == "column day: found a time; allowed: numbers, texts and booleans"
    assert kept.exception.hint == "write it as one of these, or leave it out: --exclude day"
    parquet.write_table(pyarrow.table({"raw": [b"x"]}), tmp_path / "t.parquet")
    assert str(run(tmp_path / "t.parquet").exception).startswith("column raw: found a value of the type bytes; allowed")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere.csv")
    assert str(result.exception) == f"{tmp_path}/nowhere.csv: cannot be read: No such file or directory"


def test_semicolons_are_read_and_decimal_commas_are_refused_with_the_call_that_mends_them(tmp_path: Path) -> None:
    table = tmp_path / "german.csv"
    table.write_text("age;plan;score\n" + "".join(f"{20 + i};ab;0.{i:02}\n" for i in range(60)))
    assert "1 numeric and 1 categorical features, output in" in run(table).output
    table.write_text("age;amount;score\n" + "".join(f"{20 + i};1.234,{i:02};0.{i:02}\n" for i in range(60)))
    found = run(table)
    assert isinstance(found.exception, ConfigError)
    assert "found numbers with a comma in amount (1.234,00); allowed: a decimal point" in str(found.exception)
    assert "decimal='.'" in found.exception.hint
    assert run(table, "--exclude", "amount").exit_code == 0
