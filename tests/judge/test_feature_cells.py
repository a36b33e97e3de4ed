"""Bins of a feature as the judge names them: a frequent value of the profile by itself, edges as people write them."""

from __future__ import annotations

import pytest

from mlcanary.judge.contract import Structure
from mlcanary.judge.measures.feature_group import MISSING, _cell
from mlcanary.measures.reference import NumericReference, numeric_reference
from mlcanary.stats.feature_evidence import Guilty


def names(reference: NumericReference, *, is_edge: bool) -> list[str]:
    """What each bin, or each edge, of a profile is called."""
    cells = (*(str(edge) for edge in reference.edges.tolist()), "+Inf", MISSING)
    structure = Structure(cells, (), "numeric", ())
    places = range(len(reference.edges) + (not is_edge))
    return [_cell(Guilty(is_edge, place, 0.1, 0.2, 1.0), structure) for place in places]


@pytest.mark.parametrize("value", [7.0, 0.0, -3.5, 0.1, 1e6, 1 / 3])
def test_a_frequent_value_is_named_alone_and_parts_the_numbers_beside_it(value: float) -> None:
    reference = numeric_reference([value] * 500 + [value + step / 10 for step in range(-100, 100) if step], 8)
    shown = f"{value:g}"
    assert f"exactly {shown}" in names(reference, is_edge=False)
    assert sum(name.endswith(f", under {shown}") for name in names(reference, is_edge=False)) == (value != 1 / 3)
    assert f"at most {shown}" in names(reference, is_edge=True)


def test_booleans_are_exactly_0_and_1() -> None:
    reference = numeric_reference([0.0] * 60 + [1.0] * 40, 20)
    assert {"exactly 0", "exactly 1"} <= {*names(reference, is_edge=False)}
    assert not any(
        "e-" in name or "999" in name for is_edge in (True, False) for name in names(reference, is_edge=is_edge)
    )


def test_other_edges_are_told_in_six_digits() -> None:
    cells = ("1.2345678901234567", "2.5", "+Inf", MISSING)
    structure = Structure(cells, (), "numeric", ())
    found = [_cell(Guilty(False, place, 0.1, 0.2, 1.0), structure) for place in range(4)]
    assert found == ["over -Inf, at most 1.23457", "over 1.23457, at most 2.5", "over 2.5, at most Inf", MISSING]
