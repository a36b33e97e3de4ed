"""Lines that are cut lazily are the lines that cutting gives."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.formats.lines import Lines

PIECES = st.lists(st.sampled_from([b"\n", b"{", b"}", b"\r", b"{}", b"a", b"\xff\x00"]), max_size=30).map(b"".join)


def cut(block: bytes) -> list[bytes]:
    """What `Lines` stands for."""
    lines = block.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@given(PIECES)
def test_lines_are_those_of_split(block: bytes) -> None:
    lines, expected = Lines(block), cut(block)
    assert list(lines) == [lines[i] for i in range(len(lines))] == lines[:] == expected
    assert len(lines) == len(expected)


@given(PIECES)
def test_one_object_each_asks_both_ends_of_every_line(block: bytes) -> None:
    lines = cut(block)
    whole = all(line.startswith(b"{") and line.endswith((b"}", b"\r")) for line in lines)
    assert Lines(block).one_object_each == (whole and bool(lines))


@given(PIECES, st.integers(1, 10))
def test_stretches_hold_every_line_once_and_no_more_bytes_than_asked(block: bytes, most: int) -> None:
    lines = Lines(block)
    stretches = list(lines.stretches(most))
    assert list(chain.from_iterable(stretches)) == list(range(len(lines)))
    for stretch in stretches:
        found = bytes(lines.between(stretch))
        assert found == b"\n".join(lines[i] for i in stretch)
        assert len(stretch) == 1 or len(found) <= most


def test_a_line_that_is_not_there_is_an_error() -> None:
    with pytest.raises(IndexError):
        Lines(b"{}\n")[1]
