"""CSV as spreadsheets and pandas write it: what was seen is named, and the proposal reads every line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doctor.samples import diagnosed, records, replayed
from mlcanary.doctor.diagnosis import Diagnosis
from mlcanary.doctor.findings import Finding, Level
from mlcanary.doctor.tables import broken_table, comma_columns, time_format
from mlcanary.records import Prediction
from mlcanary.replay import replay
from mlcanary.settings import Flags, load_settings

ROWS = range(60)


def comma(number: float) -> str:
    """As a German spreadsheet writes it."""
    return f"{number:.4f}".replace(".", ",")


def table(head: str, row: Callable[[int], str]) -> list[bytes]:
    """A header and the lines under it."""
    return [head.encode(), *(row(i).encode() for i in ROWS)]


def iso(i: int) -> str:
    """A time as it should be."""
    return f"2026-10-31T10:{i:02}:00Z"


def told(found: Diagnosis) -> Finding:
    """The one thing that is said of the export."""
    (only,) = [each for each in found.findings if each.key == "export"]
    return only


PANDAS = table(",id,ts,age,score", lambda i: f"{i},r{i},{iso(i)},{20 + i},{i / 60:.4f}")
AGAIN = table("Unnamed: 0,id,ts,age,score", lambda i: f"{500 + i},r{i},{iso(i)},{20 + i},{i / 60:.4f}")


@pytest.mark.parametrize(("lines", "name"), [(PANDAS, "index"), (AGAIN, "Unnamed: 0")])
def test_row_numbers_of_pandas_are_named_and_left_out(lines: list[bytes], name: str, tmp_path: Path) -> None:
    found = diagnosed(tmp_path, lines)
    said = told(found)
    assert said.level is Level.NOTE
    assert "column 1 " in said.what
    assert "df.to_csv(PATH, index=False)" in said.remedy
    (reading,) = found.readings
    assert reading.options.mapping is not None
    assert reading.options.mapping["csv"] == [name, "id", "ts", "age", "score"]
    assert (reading.options.mapping["id"], reading.options.mapping["features"]) == ("id", ["age"])
    assert replayed(found, tmp_path) == (60, 0, 0)  # the header is no line that is rejected


def test_an_index_that_names_the_rows_is_their_id(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, table(",ts,age,score", lambda i: f"r{i},{iso(i)},{20 + i},{i / 60:.4f}"))
    assert "index_label='id'" in told(found).remedy
    (reading,) = found.readings
    assert {each.record.id for each in reading.predictions} == {f"r{i}" for i in ROWS}
    assert replayed(found, tmp_path) == (60, 0, 0)


@pytest.mark.parametrize("delimiter", [";", ","])
def test_decimal_commas_are_named_by_column_and_read(delimiter: str, tmp_path: Path) -> None:
    quote = '"' if delimiter == "," else ""

    def row(i: int) -> str:
        numbers = (f"{quote}{number}{quote}" for number in (f"1.234,5{i}", comma(i / 60)))
        return delimiter.join((f"r{i}", iso(i), *numbers))

    found = diagnosed(tmp_path, table(delimiter.join(("id", "ts", "amount", "score")), row))
    said = told(found)
    assert said.what == "decimal commas: amount (1.234,50), score (0,0000)"
    assert '`decimal: ","` in the mapping' in said.remedy
    assert "decimal='.'" in said.remedy
    (reading,) = found.readings
    predictions = [each.record for each in reading.predictions if isinstance(each.record, Prediction)]
    assert [each.features["amount"] for each in predictions][:12:11] == [1234.50, 1234.511]
    assert [each.score for each in predictions] == pytest.approx([i / 60 for i in ROWS], abs=1e-4)
    assert replayed(found, tmp_path) == (60, 0, 0)


def test_commas_that_may_be_thousands_are_left_to_a_person(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, table("id;ts;amount;prediction", lambda i: f"r{i};{iso(i)};{i + 1},250;{i % 2}"))
    said = told(found)
    assert said.level is Level.TRAP
    assert "thousands or decimals: amount (1,250)" in said.what
    assert "decimal:" not in found.yaml


def test_commas_beside_points_must_be_exported_otherwise(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, table("id;ts;amount;score", lambda i: f"r{i};{iso(i)};{comma(i % 9)};{i / 60:.4f}"))
    said = told(found)
    assert said.level is Level.TRAP
    assert said.what == "decimal commas in amount (0,0000), but points in score"
    assert "decimal:" not in found.yaml
    texts = [f for f in found.findings if f.key == "features" and "numbers with a comma: amount" in f.what]
    assert texts


def test_times_with_the_day_first_are_named_and_read(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, table("id,zeit,age,score", lambda i: f"r{i},31.10.2026 10:{i:02},{i},{i / 60:.4f}"))
    said = told(found)
    assert said.what == "zeit: times such as '31.10.2026 10:00' are no ISO 8601; they fit %d.%m.%Y %H:%M"
    assert 'pd.to_datetime(df["zeit"], dayfirst=True)' in said.remedy
    assert 'ts: {path: zeit, format: "%d.%m.%Y %H:%M"}' in found.yaml
    assert "timezone: UTC   # decide:" in found.yaml
    (reading,) = found.readings
    assert reading.predictions[7].record.ts == 1_793_440_800 + 7 * 60
    assert replayed(found, tmp_path) == (60, 0, 0)


def test_times_that_a_configured_mapping_cannot_read_are_told_with_their_format(tmp_path: Path) -> None:
    lines = records({"id": f"r{i}", "ts": f"31.10.2026 10:{i:02}", "version": "v1", "score": 0.5} for i in ROWS)
    found = diagnosed(tmp_path, lines, forced="native")
    (said,) = [f for f in found.findings if f.key == "time"]
    assert "they fit %d.%m.%Y %H:%M" in said.what


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["03/04/2026", "05/06/2026"], ("%d/%m/%Y", True)),
        (["03/04/2026", "13/06/2026"], ("%d/%m/%Y", False)),
        (["03/04/2026 1:05 PM", "05/16/2026 2:00 AM"], ("%m/%d/%Y %I:%M %p", False)),
        (["31-10-26", "01-11-26"], ("%d-%m-%y", False)),
        (["2026/10/31 08:00:00.5"], ("%Y/%m/%d %H:%M:%S.%f", False)),
        (["31.10.2026", "yesterday"], None),
        (["1.2.3", "1.2.4"], None),
        (["2026-10-31"], None),
        ([], None),
    ],
)
def test_the_format_of_times_is_that_of_all_of_them(texts: list[str], wanted: tuple[str, bool] | None) -> None:
    assert time_format(texts) == wanted


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            table("id,ts,amount,score", lambda i: f"r{i},{iso(i)},{comma(i)},{comma(i / 60)}"),
            "decimal comma between commas",
        ),
        (table("ts,age,score", lambda i: f"{i + 1},{iso(i)},{20 + i},0.5"), "row.names = FALSE"),
        (table("id;note;score", lambda i: f"r{i};a; b; c{i};0.5"), "in quotes"),
    ],
)
def test_a_table_whose_lines_have_too_many_cells_is_explained(lines: list[bytes], says: str, tmp_path: Path) -> None:
    found = diagnosed(tmp_path, lines)
    assert found.exit_code == 1
    assert found.findings[0].key == "format"
    assert "60 of 60 others have" in found.findings[0].what
    assert says in found.findings[0].remedy


def test_what_is_no_table_is_not_explained_as_one() -> None:
    assert broken_table([b'{"a": 1}', b'{"a": 1, "b": 2}']) is None
    assert broken_table([b"started", b"answered in 3 ms, fine"]) is None
    assert broken_table([b"\xff,a", b"b"]) is None


def test_versions_and_dates_are_no_numbers_with_a_comma() -> None:
    columns: dict[str, list[object]] = {
        "version": ["1.100", "1.200"],
        "day": ["31.10.2026", ""],
        "pair": ["a,b", "1,2"],
        "price": ["1,5", 3, ""],
    }
    assert comma_columns(columns) == {"price": "1,5"}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("no", "yes"), 'positive_class: "yes"   # decide: '),
        (("churned", "stayed"), "positive_class: stayed   # decide: "),
        (("0", "1"), ""),
    ],
)
def test_classes_of_labels_that_a_score_alone_does_not_have_are_proposed(
    names: tuple[str, str], wanted: str, tmp_path: Path
) -> None:
    head, row = "id,ts,version,age,score,label", lambda i: f"r{i},{iso(i)},v1,{i},{i / 60:.4f},{names[i % 2]}"
    found = diagnosed(tmp_path, table(head, row))
    assert (wanted in found.yaml) if wanted else ("positive_class" not in found.yaml)
    path = tmp_path / "mlcanary.yml"
    path.write_text(found.yaml)
    (figures,) = replay(load_settings(Flags(config_file=path)), found.now).versions.values()
    assert figures["accuracy"] == 0.5
    assert {"precision", "recall"} <= figures.keys()


def test_classes_that_never_meet_are_told(tmp_path: Path) -> None:
    lines = records(
        {"id": f"r{i}", "ts": iso(i), "version": "v1", "prediction": "AB"[i % 2], "label": "ab"[i % 2]} for i in ROWS
    )
    (said,) = [f for f in diagnosed(tmp_path, lines).findings if f.key == "classes"]
    assert said.what == "answers are called A, B, and labels a, b"
    assert said.level is Level.TRAP
