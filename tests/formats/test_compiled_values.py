"""Single values of the compiled core, its errors, and what it keeps."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import random
import struct
import sys
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary import compiled
from mlcanary.formats import rows
from mlcanary.formats.rows import Rejected

# Where it could be built and is not, test_compiled_lines.py fails.
if compiled.CORE is None:
    pytest.skip(compiled.way_in_use(), allow_module_level=True)
core: Any = compiled.CORE


def bits(value: float) -> bytes:
    """Of a double."""
    return struct.pack(">d", value)


def texts_of_numbers(chance: random.Random, count: int) -> list[str]:
    """Numbers as writers spell them, near the edges of every way to read them."""
    found = []
    for i in range(count):
        digits = str(chance.randrange(10 ** chance.randint(1, 22)))
        match i % 6:
            case 0:
                found.append(repr(struct.unpack(">d", chance.randbytes(8))[0]))
            case 1:
                found.append(f"{chance.choice(['', '-'])}{digits}e{chance.randint(-60, 60)}")
            case 2:
                found.append(f"0.{'0' * chance.randrange(6)}{digits}")
            case 3:
                found.append(f"{digits[:3].lstrip('0') or '0'}.{digits[3:] or '0'}")
            case 4:
                found.append(digits)
            case _:  # halfway between two doubles, and a digit beside it
                half = chance.randrange(2**53, 2**54) | 1
                text = str(half << chance.randrange(9))
                found.append(text[:-2] + "." + text[-2:] if i % 12 == 5 else text)
    return [text for text in found if "n" not in text]


def check_numbers(texts: Sequence[str]) -> int:
    """Compare each with Python's own reading; how many were read."""
    read = 0
    for text in texts:
        value = core.number(text.encode())
        assert value is None or bits(value) == bits(float(text)), text
        read += value is not None
        shown = abs(float(text))
        if value is None and len(text) < 25:
            assert not math.isfinite(shown) or shown < sys.float_info.min, text
    return read


def test_doubles_are_those_of_python_to_the_bit() -> None:
    texts = texts_of_numbers(random.Random(7), 30_000)
    assert check_numbers(texts) > 0.9 * len(texts)


@pytest.mark.parametrize(
    "text", ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "NaN", "1_0", "0x1", "1e999", "-0", "1e-320", "١", "1" * 65]
)
def test_what_is_no_plain_number_is_left(text: str) -> None:
    assert core.number(text.encode()) is None


@given(
    st.datetimes(),
    st.sampled_from(["", "Z", "+02:00", "-11:30", "+23:59", "+24:00", " Z", "+0200", "z"]),
    st.integers(0, 9),
)
@settings(max_examples=400)
def test_times_are_those_of_python_to_the_bit(when: Any, zone: str, digits: int) -> None:
    text = when.strftime("%Y").zfill(4) + when.strftime("-%m-%dT%H:%M:%S")
    text += ("." + f"{when.microsecond:06d}123"[:digits] if digits else "") + zone
    found = core.seconds(text.encode())
    if found is not None:
        assert bits(found) == bits(rows.seconds(text))
    elif zone in ("", "Z", "+02:00", "-11:30", "+23:59"):
        assert not 1970 <= when.year <= 2250


def test_a_day_that_is_not_there_is_left() -> None:
    for text in ("2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-04-31T00:00:00Z"):
        assert core.seconds(text.encode()) is None
        with pytest.raises(Rejected):
            rows.seconds(text)
    assert core.seconds(b"2000-02-29T23:59:59Z") == rows.seconds("2000-02-29T23:59:59Z")


def test_users_are_hashed_as_hashlib_does() -> None:
    chance = random.Random(3)
    users = [chance.randbytes(n) for n in (*range(1, 140), 255, 256, 257, 1000)]
    block = b"".join(users)
    lengths = np.array([*map(len, users), 0, -1], dtype=np.int32)
    starts = np.array([0, *np.cumsum(lengths[:-1])], dtype=np.int32)
    for key in (b"", b"k", b"salt" * 4, bytes(range(64))):
        found = np.frombuffer(core.hash_users(block, starts, lengths, key), dtype=np.uint64).tolist()
        expected = [hashlib.blake2b(user, digest_size=8, key=key).digest() for user in users]
        assert found == [*(int.from_bytes(digest, "little") for digest in expected), 0, 0]
    assert rows.user_hash("u-7", b"salt") == int.from_bytes(
        bytes(core.hash_users(b"u-7", np.array([0], np.int32), np.array([3], np.int32), b"salt")), sys.byteorder
    )


def test_wrong_use_is_an_error_and_no_crash() -> None:
    plan = core.Plan((b"a",), (b"b",), (), ())
    for arguments in ((b"", 1, 1), (b"", -1, 1), (b"", 0, 0), (b"", 0, 1 << 40)):
        with pytest.raises((ValueError, OverflowError)):
            plan.parse(*arguments)
    with pytest.raises(TypeError):
        plan.parse("{}", 0, 1)
    for names in (((b"a",), (b"a",), (), ()), ((b"a" * 600,), (), (), ()), ((), (), (), (b"score",))):
        with pytest.raises(ValueError, match="key"):
            core.Plan(*names)
    with pytest.raises(TypeError):
        core.Plan(("a",), (), (), ())
    one = np.array([0], np.int32)
    for starts, lengths, key in (
        (one, one + 9, b""),
        (one - 1, one + 1, b""),
        (one, one, b"k" * 65),
        (one, one[:0], b""),
    ):
        with pytest.raises(ValueError, match=r"user|key"):
            core.hash_users(b"user", starts, lengths, key)


def test_nothing_is_kept_that_was_given_back() -> None:
    line = {"id": "r", "ts": 1.5, "model": "m", "score": 0.5, "user": "u", "features": {"age": 1, "plan": "p"}}
    block = json.dumps(line).encode() + b'\n{"kind":"label","id":"r","label":1}\nbroken\n'

    def rounds(count: int) -> None:
        for _ in range(count):
            plan = core.Plan((b"age",), (b"plan",), (b"new",), (b"other",))
            for _ in range(3):
                assert plan.parse(block, 0, 100)[:4] == (3, 1, 1, 1)
            with pytest.raises(ValueError, match="no such lines"):
                plan.parse(block, -1, 100)
            with pytest.raises(ValueError, match="key"):
                core.Plan((b"age",), (b"age",), (), ())
            with pytest.raises(ValueError, match="outside"):
                core.hash_users(b"user", np.array([9], np.int32), np.array([9], np.int32), b"")
            core.hash_users(b"user", np.array([0], np.int32), np.array([4], np.int32), b"key")

    rounds(50)
    gc.collect()
    tracemalloc.start()
    try:
        rounds(200)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 20_000


@given(st.lists(st.sampled_from([b"a", b"\n", b"\0", b"\xff", b"\r"]), max_size=50).map(b"".join))
def test_line_feeds_are_counted(block: bytes) -> None:
    assert core.line_feeds(block) == block.count(b"\n")
