"""Columns of names: numbers that mean what the names meant, in vocabularies that stay small."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.formats.layout import Layout
from mlcanary.words import MOST_CHARACTERS, MOST_WORDS, Texts, Words, joined_texts
from monitored_traffic import reference

NAMES = st.none() | st.sampled_from(["a", "b", "", "None", "ä"])
ROWS = st.lists(st.tuples(NAMES, NAMES), max_size=20)


@given(ROWS, ROWS)
def test_columns_mean_their_values(one: list[tuple[str | None, str | None]], other: list[Any]) -> None:
    words, rows = Words(), [*one, *other]
    columns = {"b": [row[0] for row in rows], "a": [row[1] for row in rows]}
    parts = [Texts.of({"b": [row[0] for row in part], "a": [row[1] for row in part]}, words) for part in (one, other)]
    assert parts[0].alike(parts[1])
    texts = joined_texts(parts)
    assert {name: texts.values(name) for name in texts.names} == columns
    assert texts.counts() == {name: Counter(column) for name, column in columns.items()}
    assert texts.present() == {name: len(column) - column.count(None) for name, column in columns.items()}
    places = np.arange(len(rows))[::-2]
    assert texts.take(places).values("a") == columns["a"][::-2]
    assert texts.only({"a"}).values("a") == columns["a"]
    assert [texts.row(i) for i in range(len(rows))] == [
        {name: value for name, value in zip(("b", "a"), row, strict=True) if value is not None} for row in rows
    ]
    assert words.packed(columns["a"]) == texts.column("a").tobytes()


def test_texts_over_other_vocabularies_are_not_joined() -> None:
    assert not Texts.of({"a": ["x"]}).alike(Texts.of({"a": ["x"]}))
    words = Words()
    assert not Texts.of({"a": ["x"]}, words).alike(Texts.of({"b": ["x"]}, words))


def test_a_vocabulary_with_many_or_long_names_is_full() -> None:
    many, long = Words(), Words()
    many.packed([str(i) for i in range(MOST_WORDS)])
    long.packed(["x" * MOST_CHARACTERS])
    before = (many.full, long.full)
    many.code("one more")
    long.code("y")
    assert (before, many.full, long.full) == ((False, False), True, True)


def test_names_that_never_end_do_not_stay_in_memory() -> None:
    layout = Layout({"m": reference()})
    name = layout.texts[0]
    seen = set()
    for block in range(20):
        rows = [msgspec.convert({name: f"{block}-{i}"}, layout.type) for i in range(1000)]
        texts = layout.columns(rows).texts()
        seen.add(id(texts.words))
        assert len(texts.words.names) <= MOST_WORDS + 1000
        assert texts.values(name) == [f"{block}-{i}" for i in range(1000)]
    assert len(seen) > 1
