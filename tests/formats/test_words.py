"""Columns of names: numbers that mean what the names meant, in vocabularies that stay small."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.formats.layout import Layout
from mlcanary.words import MOST_CHARACTERS, MOST_WORDS, TextColumn, Words, joined_texts
from monitored_traffic import reference

NAMES = st.lists(st.none() | st.sampled_from(["a", "b", "", "None", "ä"]), max_size=20)


@given(NAMES, NAMES)
def test_a_column_means_its_values(one: list[str | None], other: list[str | None]) -> None:
    words = Words()
    column = joined_texts([TextColumn.of(one, words), TextColumn.of(other, words)])
    values = [*one, *other]
    assert column.values() == values
    assert column.counts() == Counter(values)
    assert column.present == len(values) - values.count(None)
    rows = np.arange(len(values))[::-2]
    assert column.take(rows).values() == values[::-2]
    assert words.packed(values) == column.codes.tobytes()


def test_a_vocabulary_with_many_or_long_names_is_full() -> None:
    many, long = Words(), Words()
    many.packed([str(i) for i in range(MOST_WORDS)])
    long.packed(["x" * MOST_CHARACTERS])
    assert not many.full
    assert not long.full
    many.code("one more")
    long.code("y")
    assert many.full
    assert long.full


def test_names_that_never_end_do_not_stay_in_memory() -> None:
    layout = Layout({"m": reference()})
    name = layout.texts[0]
    seen = set()
    for block in range(20):
        rows = [msgspec.convert({name: f"{block}-{i}"}, layout.type) for i in range(1000)]
        column = layout.columns(rows).texts()[name]
        seen.add(id(column.words))
        assert len(column.words.names) <= MOST_WORDS + 1000
        assert column.values() == [f"{block}-{i}" for i in range(1000)]
    assert len(seen) > 1
