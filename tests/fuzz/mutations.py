"""Inputs made out of good ones: bytes changed, lines moved, values of JSON documents replaced by hostile ones.

Everything comes from the generator that is handed in: the same seed gives the same inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

LONGEST = 1 << 16
"""Bytes of an input: as large as a block of lines needs to be, small enough for thousands a minute."""

_DEEP: Any = "x"
for _ in range(600):
    _DEEP = [_DEEP]

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e-320, 1e15, 1.0000001e15, 1e100, -1e308, 1.7e308),
    *(2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400),
    *(float("nan"), float("inf"), -float("inf"), 253402300800, -62135596801, 4102444800, 1e18),
    *(
        "",
        " ",
        "x" * 129,
        "x" * 5000,
        "\0",
        "\ud800",
        "\udfff\ud800",
        "\u2028",
        "é" * 128,
        "🙂",
        '"',
        "\\",
        "\n",
        "{",
        "[1",
    ),
    *(
        "NaN",
        "inf",
        "1e999",
        "-0",
        "1_0",
        "٣",
        "0x10",
        "200",
        "True",
        "null",
        "NaN\ud800",
        '{"a": NaN, "b": "\\ud800"}',
    ),
    *("1970-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30", "2026-W01", "24:00"),
    *([], {}, [[]], [None], [[], []], {"": None}, {"a": {"a": {}}}, [0.5], [[0.1, 0.9]], [1, "a", None, []]),
    *({"1": 0.5, "0": 0.5}, {"x" * 200: 1}, {"a": -1}, ["a"] * 300, [[0.5]] * 300, {str(i): i for i in range(300)}),
    _DEEP,
)
"""What somebody's logging may write where another value was meant."""

_BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b",",
    b"9",
    b"NaN",
)

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]


def mutated(data: bytes, chance: Random, seeds: Sequence[bytes], *, head: int = 0) -> bytes:
    """`data` changed in one to four places. The first `head` bytes, which choose what is tried, change rarely."""
    kept, rest = data[:head], data[head:]
    if head and chance.random() < 0.05:
        kept = chance.randbytes(head)
    pool = [seed[head:] for seed in seeds if seed[:head] == kept[:head]] or [seed[head:] for seed in seeds]
    for _ in range(chance.randint(1, 4)):
        rest = chance.choices(_MUTATIONS, _WEIGHTS)[0](rest, chance, pool)[:LONGEST]
    return kept + rest


def changed_bytes(data: bytes, chance: Random, _seeds: Sequence[bytes] = ()) -> bytes:
    """One place of a byte string flipped, cut out, doubled, overwritten or extended."""
    at = chance.randrange(len(data) + 1)
    to = min(len(data), at + chance.choice((1, 1, 2, 4, 8, 64, 1024)))
    match chance.randrange(5):
        case 0 if at < len(data):
            return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + data[to:]
        case 2:
            return data[:to] + data[at:]
        case 3:
            return data[:at] + chance.choice(_BYTES) * chance.choice((1, 1, 1, 200)) + data[at:]
        case _:
            return data[:at] + chance.randbytes(to - at) + data[to:]


def _cut(data: bytes, chance: Random, _seeds: Sequence[bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _moved_lines(data: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        case 1:
            other = chance.choice(seeds).split(b"\n")
            lines.insert(at, chance.choice(other))
        case 2:
            lines.pop(at)
        case _:
            chance.shuffle(lines)
    return b"\n".join(lines)


def _changed_values(data: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """One value or key of the JSON document on one line."""
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    try:
        document = json.loads(lines[at])
    except (ValueError, RecursionError):
        return changed_bytes(data, chance, seeds)
    lines[at] = json.dumps(_replaced(document, chance), ensure_ascii=chance.random() < 0.7).encode("utf-8", "replace")
    return b"\n".join(lines)


def _replaced(document: Any, chance: Random) -> Any:
    places = list(_places(document, 0))
    if not places or chance.random() < 0.02:
        return chance.choice(HOSTILE)
    owner, key = chance.choice(places)
    match chance.randrange(6):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            others = [k for _, k in places if isinstance(k, str)]
            name = chance.choice(others) if others and chance.random() < 0.7 else str(chance.choice(HOSTILE))[:300]
            owner[name] = owner.pop(key)
        case 2:
            inner, place = chance.choice(places)
            if inner is owner and place == key:
                owner[key] = [owner[key]] * chance.choice((1, 2, 50))
            else:
                owner[key] = json.loads(json.dumps(inner[place]))
        case 3 if not isinstance(owner[key], str):
            owner[key] = json.dumps(owner[key])
        case _:
            owner[key] = chance.choice(HOSTILE)
    return document


def _places(value: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    if depth > 50:
        return
    keys: Sequence[Any] = (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys[:400]:
        yield value, key
        yield from _places(value[key], depth + 1)


_MUTATIONS: tuple[Mutation, ...] = (_changed_values, _moved_lines, changed_bytes, _cut)
_WEIGHTS = (12, 5, 4, 1)
