"""Which columns are no features: ids and times in many shapes, against features that only resemble them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from mlcanary.doctor.table_columns import (
    all_different,
    maybe_labels,
    maybe_scores,
    mixed,
    thousands_columns,
)
from mlcanary.doctor.table_columns import why_no_feature as why
from mlcanary.measures.profiling import present_values

N = 400
OWN = "nearly every row has its own"


def scattered(i: int) -> int:
    """Different for each i below 10,007, in no order."""
    return i * 7919 % 10_007


@pytest.mark.parametrize(
    ("name", "column", "found"),
    [
        ("a", [f"u{i}" for i in range(N)], OWN),
        ("a", [f"u{min(i, N - 20)}" for i in range(N)], OWN),
        ("a", [f"u{min(i, N - 21)}" for i in range(N)], None),
        ("a", [None, *(f"u{i}" for i in range(N))], OWN),
        ("a", [f"u{i}" for i in range(99)], None),
        ("customer_id", [float(scattered(i)) for i in range(N)], OWN),
        ("customerId", [scattered(i) for i in range(N)], OWN),
        ("Unnamed: 0", [scattered(i) for i in range(N)], OWN),
        ("a", [7 + i for i in range(N)], OWN),
        ("a", [2 * i for i in range(N)], None),
        ("paid", [scattered(i) for i in range(N)], None),
        ("customer_id", [scattered(i) + 0.5 for i in range(N)], None),
        ("income", [*(scattered(i) for i in range(N)), "unknown"], None),
        ("user_id", [i % 50 for i in range(N)], None),
        ("a", [i % 2 == 0 for i in range(N)], None),
        ("a", [None] * N, None),
        ("a", [[1]] * N, None),
        ("a", ["2026-11-26T10:05:07Z", None], "times"),
        ("a", ["2026-11-26"] * N, "times"),
        ("a", ["26.11.2026 10:05"] * N, "times"),
        ("a", [*["2026-11-26"] * N, *["never"] * 10], "times"),
        ("a", [*["2026-11-26"] * N, *["never"] * 40], None),
        ("a", [date(2026, 11, 26), datetime(2026, 11, 26, 10)], "times"),
        ("a", [1_747_487_112_000 + 7 * i for i in range(N)], "times"),
        ("a", [1_747_487_112.25 + i for i in range(N)], "times"),
        ("created_at", [1_747_487_112] * 3, "times"),
        ("gtin", [4_006_381_333_931 + i % 30 for i in range(N)], None),
        ("income", [1000.0 * i for i in range(N)], None),
        ("version", ["1.2.3", "1.2.4"] * N, None),
    ],
)
def test_ids_and_times_are_told_from_features(name: str, column: list[Any], found: str | None) -> None:
    assert why(name, present_values(column)) == found
    assert why(name, present_values([None, *column, float("nan")])) == found


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([scattered(i) for i in range(N)], True),
        ([scattered(i) for i in range(N)] + [0], False),
        ([scattered(i) for i in range(99)], False),
        ([scattered(i) + 0.5 for i in range(N)], False),
        ([], False),
    ],
)
def test_all_different(column: list[Any], found: bool) -> None:
    assert all_different(column) == found


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([1, 2.5, "x"], (2, 3, "x")),
        ([1, "x"], None),
        ([1, 2], None),
        (["x", "y"], None),
        ([True, True, "x"], None),
        ([], None),
    ],
)
def test_mixed_columns_hold_mostly_numbers(column: list[Any], found: tuple[int, int, str] | None) -> None:
    assert mixed(column) == found


def test_thousands_scores_and_labels() -> None:
    columns: dict[str, list[Any]] = {
        "grouped": ["28,561.83", 999.0, " 1,234", None],
        "rare": [*["a"] * 20, "1,234"],
        "p": [0.0, 0.25, 1, None],
        "flag": [True, False],
        "label": [0.0, 1.0, None],
        "constant": [0, 0],
        "count": [0, 1, 2],
        "void": [None],
    }
    columns = {name: present_values(column) for name, column in columns.items()}
    assert thousands_columns(columns) == {"grouped": "28,561.83"}
    assert list(maybe_scores(columns)) == ["p"]
    assert list(maybe_labels(columns)) == ["flag", "label"]
