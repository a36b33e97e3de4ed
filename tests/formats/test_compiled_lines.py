"""The compiled core changes nothing but the time: the same block gives the same, with it and without it."""

from __future__ import annotations

import hashlib
import json
import random
import re
import struct
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.test_native_columns import EVERY_KEY, LINE, NOW, WARM, plan_of
from fuzz.mutations import mutated
from mlcanary import compiled
from mlcanary.formats.contract import Decoded
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Record
from mlcanary.words import MOST_WORDS
from monitored_traffic import reference

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from hatch_build import SOURCES, NoCore, compiler  # noqa: E402  # at the root, where the build looks for it


def can_be_built() -> bool:
    """Whether the set-up had what it takes."""
    try:
        return bool(compiler()) and (Path(sysconfig.get_path("include")) / "Python.h").exists()
    except NoCore:
        return False


if compiled.CORE is None and not (can_be_built() and "switched off" not in compiled.MISSING):
    pytest.skip(compiled.way_in_use(), allow_module_level=True)
core: Any = compiled.CORE
KNOWN = frozenset(reference().features)


def test_the_core_is_built_from_the_sources_beside_it() -> None:
    assert core is not None, f"{compiled.way_in_use()}; run: python hatch_build.py"
    for source, module in zip(SOURCES, (core, compiled.ID_TABLE, compiled.ARRAY_MEMORY), strict=True):
        digest = hashlib.sha256((ROOT / source).read_bytes()).hexdigest()
        assert digest == module.SOURCE, f"the binary is of another {source.name}; run: python hatch_build.py"


class Both:
    """A decoder with the core and one without it, which have seen the same lines."""

    def __init__(self, share: float = 1.0) -> None:
        self.used = 0
        self.decoders = [NativeFormat(RowReader(plan_of), compiled=each) for each in (True, False)]
        for each in self.decoders:
            for line in [*WARM, EVERY_KEY, *WARM]:
                each.decode_block(json.dumps(line).encode() + b"\n", NOW)
            each.share = share

    def told(self, block: bytes, now: float = NOW) -> tuple[Any, Any]:
        """What they make of a block, comparable in any order."""
        one, other = (comparable(each.decode_block(block, now)) for each in self.decoders)
        return one, other


_KEPT: list[Both] = []


def some_both(used: int = 40) -> Both:
    """One that has seen the lines of some examples before these: making one takes longer than an example."""
    if not _KEPT or _KEPT[0].used >= used:
        _KEPT[:] = [Both()]
    _KEPT[0].used += 1
    return _KEPT[0]


def comparable(found: Decoded) -> dict[str, Any]:
    """Everything that a block gave; doubles by their bits."""
    return {
        "records": Counter(bare(record) for record in found.every_record()),
        "rejects": sorted(found.rejects),
        "lines": found.lines,
        "times": sorted(struct.pack(">d", each) for each in found.times),
        "dropped": found.client_dropped,
        "strange": strange(found),
    }


def bare(record: Record) -> str:
    """A record without what columns do not keep: names beside the reference, nulls, order of names, 3 from 3.0."""
    if not isinstance(record, Prediction):
        return repr(record)
    features = [
        (name, float(value) if type(value) is int and abs(value) < 2**1000 else value)
        for name, value in sorted(record.features.items())
        if name in KNOWN and value is not None
    ]
    return repr((msgspec.structs.replace(record, features={}), features))


def strange(found: Decoded) -> Counter[str]:
    """Rows that had each name beside those of the reference."""
    counts = sum((batch.features.strange for batch in found.predictions), Counter[str]())
    for record in found.records:
        if isinstance(record, Prediction):
            counts.update(record.features.keys() - KNOWN)
    return counts


def spelt(line: dict[str, Any], chance: random.Random) -> bytes:
    """A line as one of several writers would have it: keys in any order, other spaces, text beyond ASCII as it is."""
    keys = list(line)
    chance.shuffle(keys)
    separators = chance.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
    ending = chance.choice(["", "", "", "\r", "  "])
    text = json.dumps({k: line[k] for k in keys}, separators=separators, ensure_ascii=chance.random() < 0.3) + ending
    return text.encode()


SPELT = st.builds(spelt, LINE, st.randoms(use_true_random=False))
NAMES = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["é", "日本", "🙂", "a\\b", 'a"b', "\x7f", "pro"]))
NUMBERS = st.one_of(
    st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**20), 10**20), st.just(-0.0)
)
PLAIN = st.fixed_dictionaries(
    {"ts": st.one_of(st.floats(0, NOW), st.datetimes().map(lambda t: t.isoformat() + "Z")), "score": st.floats(0, 1)},
    optional={
        "id": st.one_of(st.text(max_size=5), st.integers(-(10**19), 10**19)),
        "user": NAMES,
        "user_id": st.one_of(st.none(), st.integers(-(10**19), 10**19)),
        "model": st.sampled_from(["m", "many", None]),
        "version": st.one_of(NAMES, NUMBERS),
        "prediction": st.one_of(NAMES, NUMBERS, st.booleans()),
        "label": st.one_of(NAMES, NUMBERS, st.booleans()),
        "kind": st.sampled_from(["label", "prediction"]),
        "latency_ms": NUMBERS,
        "features": st.fixed_dictionaries(
            {}, optional={"age": NUMBERS, "balance": NUMBERS, "plan": NAMES, "new": NUMBERS}
        ),
        "unknown key": st.recursive(NUMBERS | NAMES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)),
    },
)


@given(st.lists(SPELT | st.builds(spelt, PLAIN, st.randoms(use_true_random=False)), max_size=12))
@settings(max_examples=200)
def test_a_block_gives_the_same_with_and_without_the_core(lines: list[bytes]) -> None:
    one, other = some_both().told(b"\n".join(lines) + b"\n")
    assert one == other


@given(st.lists(SPELT, min_size=1, max_size=8), st.integers(0, 2**32), st.booleans())
@settings(max_examples=150)
def test_a_changed_block_gives_the_same(lines: list[bytes], seed: int, complete: bool) -> None:
    seeds = [b"\n".join(lines) + b"\n" * complete]
    chance, both = random.Random(seed), some_both()
    for _ in range(8):
        one, other = both.told(mutated(seeds[0], chance, seeds))
        assert one == other


@given(st.lists(SPELT, max_size=12), st.sampled_from([1 / 2, 1 / 8]))
@settings(max_examples=30)
def test_the_same_rows_are_looked_at(lines: list[bytes], share: float) -> None:
    named = [line for line in lines if b'"id"' in line and b'"id":null' not in line.replace(b" ", b"")]
    one, other = Both(share).told(b"".join(line + b"\n" for line in named))
    assert one == other


def test_lines_in_other_chunks_give_the_same() -> None:
    lines = [
        {"id": str(i), "score": 0.5, "user": f"u{i}", "features": {"age": i, "plan": f"p{i % 7}"}, "ts": NOW - i}
        if i % 3
        else {"kind": "label", "id": str(i), "label": i % 2, "ts": NOW - i}
        for i in range(500)
    ]
    block = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    both = Both()
    decoder: Any = both.decoders[0]
    whole, other = both.told(block)
    decoder._compiled._most_lines = 7
    assert comparable(decoder.decode_block(block, NOW)) == whole == other
    assert not whole["rejects"]
    assert whole["records"].total() == 500


def test_what_the_core_takes_it_takes() -> None:
    """Nothing of a log as servers write it is left to the slower ways."""
    line = {
        "id": "r-1", "ts": "2026-11-01T10:00:00.123456Z", "model": "m", "version": 2, "user": 7,
        "score": 0.1234567890123456, "prediction": True, "latency_ms": 12, "status": 200,
        "features": {"age": 1e-7, "balance": None, "plan": "größe"},
    }  # fmt: skip
    label = {"kind": "label", "id": 17, "ts": 1_793_527_260_123, "label": 1.0, "model": None}
    lines = [json.dumps(each, ensure_ascii=False).encode() for each in (line, label)]
    decoder: Any = Both().decoders[0]
    for separated in (b"\n".join(lines), b"\r\n".join(lines) + b"\n"):
        found = Decoded()
        left = decoder._compiled.take(separated, NOW, found)
        assert left == (b"", 2)
        assert sum(map(len, found.predictions)) == sum(map(len, found.labels)) == 1


def test_many_names_do_not_stay() -> None:
    decoder: Any = Both().decoders[0]
    for start in range(0, 4 * MOST_WORDS, 1000):
        lines = [
            {"model": "m", "score": 0.5, "version": f"v{i % 50}", "prediction": f"c{i}", "features": {"plan": f"p{i}"}}
            for i in range(start, start + 1000)
        ]
        decoder.decode_block(b"".join(json.dumps(line).encode() + b"\n" for line in lines), NOW)
    assert len(decoder._compiled._tokens) < 2 * MOST_WORDS + 2500
    assert len(decoder._compiled._words.names) < MOST_WORDS + 2500


def test_many_spellings_of_one_name_do_not_stay() -> None:
    decoder: Any = Both().decoders[0]
    word = "abcdefghijklmnopq"
    for start in range(0, 40_000, 1000):
        names = [
            "".join(f"\\u{ord(c):04x}" if i >> j & 1 else c for j, c in enumerate(word))
            for i in range(start, start + 1000)
        ]
        lines = [f'{{"model":"m","score":0.5,"features":{{"plan":"{name}"}}}}\n' for name in names]
        (batch,) = decoder.decode_block("".join(lines).encode(), NOW).predictions
        assert set(batch.features.texts.values("plan")) == {word}
    assert len(decoder._compiled._word_codes) < 2 * MOST_WORDS + 2500


@pytest.mark.parametrize("cut", [0, 1])
def test_no_piece_of_a_line_does_harm(cut: int) -> None:
    line = spelt(
        {**EVERY_KEY, "unknown key": {"a": [1, "é", {"b": None}], "c": {}}, "features": {"age": 1}}, random.Random(1)
    )
    both = Both()
    for at in range(len(line) + 1):
        piece = line[at:] if cut else line[:at]
        one, other = both.told(piece + b"\n")
        assert one == other, piece
    deep = b'{"score":1,"unknown key":' + b"[" * 5000 + b"]" * 5000 + b"}\n"
    assert both.told(deep)[0]["lines"] == 1


def test_names_that_cannot_be_keys_are_left_to_the_other_ways() -> None:
    base = reference()
    long = ModelPlan(reference=type(base)(features={"x" * 600: base.features["age"]}))
    decoder: Any = NativeFormat(RowReader(lambda _model: long))
    lines = [
        {"score": 0.5, "features": {"x" * 600: 1}},
        {"score": 0.5, "y" * 600: 1, "\ud800": 1, "": 1},
        {"score": 0.5},
    ]
    for line in lines * 2:
        found = decoder.decode_block(json.dumps(line).encode() + b"\n", NOW)
    assert decoder._compiled is not None
    assert sum(map(len, found.predictions)) == 1


def test_the_place_of_rejects_is_that_of_their_lines() -> None:
    good = json.dumps({"id": "a", "model": "m", "score": 0.5, "features": {"age": 1}})
    lines = [good, '{"score": 7, "model": "m"}', good, "broken", good, '{"score": 8, "model": "m"}']
    decoder = Both().decoders[0]
    found = decoder.decode_block("\n".join(lines).encode(), NOW)
    assert [reject.excerpt for reject in found.rejects] == [lines[1], lines[3], lines[5]]
    assert sum(map(len, found.predictions)) == 3


def test_the_way_in_use_is_told() -> None:
    assert re.match("compiled core$|Python: compiled core (not built|switched off)", compiled.way_in_use())
