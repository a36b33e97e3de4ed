"""Decision records: whole, recomputed bit for bit, and every change is found and named."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import judge_views as views
from mlcanary.catalog import Family, Verdict
from mlcanary.errors import InputError
from mlcanary.judge.contract import Assessment, CanaryKey, Facts, Plan, Step, Structure
from mlcanary.judge.records import build_record, canonical, explain, read_record, record_hash

SAID = views.assessment(views.BAD, Verdict.HOLD)
HISTORY = Structure(cells=(), history=(9000.0, 11.0))


def steps(count: int = 40, seed: int = 7) -> list[Step]:
    """Traffic of two arms with errors."""
    random = np.random.default_rng(seed)
    made = []
    for k in range(count):
        arms = [(float(random.poisson(n)), float(random.poisson(n * rate))) for n, rate in ((60, 0.05), (540, 0.01))]
        made.append(
            Step(
                start=views.START + 30.0 * k,
                end=views.START + 30.0 * (k + 1),
                canary={"requests": arms[0], "log_loss": (arms[0][0], 0.1 * arms[0][0] + 0.07, 0.3)},
                baseline={"requests": arms[1]},
                born={"requests": HISTORY} if k == 0 else {},
                facts=Facts(expected_share=0.1, sources_broken=("sidecar-3",) if k == 5 else ()),
            )
        )
    return made


def fold(key: CanaryKey, plan: Plan, taken: Sequence[Step]) -> Assessment:
    """A judge of one measure that depends on every number of its input."""
    log_e, counts, judged, number = 0.0, np.zeros(4), key.start, 0
    for step in taken:
        c, b = (arm.get("requests", (0.0, 0.0)) for arm in (step.canary, step.baseline))
        counts += np.array([*c, *b])
        log_e += math.log1p(c[1] / (1.0 + sum(c))) - 0.7 * math.log1p(b[1] / (1.0 + sum(b))) - plan.alpha / 7.0
        judged, number = step.end, number + 1
    rates = (float(counts[1] / counts[:2].sum()), float(counts[3] / counts[2:].sum()))
    found = views.measure("errors", Family.ERRORS, rates, 0.003, log_e, trials=(float(counts[0]), float(counts[2])))
    verdict = Verdict.ROLLBACK if log_e > 1.0 else Verdict.HOLD
    families = views.families({Family.ERRORS: log_e}, plan)
    return views.assessment(key, verdict, judged=judged, steps=number, measures=(found,), families=families)


def record(seed: int = 7, previous: str = "") -> bytes:
    """A record as the judge makes it."""
    taken = steps(seed=seed)
    return build_record(views.BAD, views.PLAN, taken, fold(views.BAD, views.PLAN, taken), "0.1.0", previous)


def test_a_record_reads_back_as_it_was_made() -> None:
    found = read_record(record())
    assert (found.key, found.plan, list(found.steps)) == (views.BAD, views.PLAN, steps())
    assert found.assessment == fold(views.BAD, views.PLAN, steps())
    assert (found.mlcanary, found.previous, len(found.hash)) == ("0.1.0", "", 64)


def test_the_same_decision_gives_the_same_bytes() -> None:
    assert record() == record()
    assert record_hash(record()) == read_record(record()).hash


def test_the_hash_is_of_the_canonical_document_without_it() -> None:
    document = json.loads(record())
    own = document.pop("hash")

    def floats(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: floats(value[name]) for name in sorted(value)}
        return [floats(v) for v in value] if isinstance(value, list) else float(value) if type(value) is int else value

    text = json.dumps(floats(document), separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == own


def test_a_hundred_decisions_recompute_bit_for_bit() -> None:
    for seed in range(100):
        found = explain(read_record(record(seed)), fold)
        assert (found.equal, found.differences) == (True, [])
        assert canonical(msgspec.to_builtins(found.recomputed)) == canonical(
            msgspec.to_builtins(fold(views.BAD, views.PLAN, steps(seed=seed)))
        )


def test_a_record_survives_tools_that_rewrite_json() -> None:
    document = json.loads(record())

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: whole(inner) for name, inner in reversed(value.items())}
        if isinstance(value, list):
            return [whole(inner) for inner in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    for text in (json.dumps(document, indent=2, sort_keys=True), json.dumps(whole(document))):
        assert explain(read_record(text.encode()), fold).equal


def test_numbers_that_json_does_not_know_survive() -> None:
    odd = views.assessment(views.BAD, Verdict.HOLD, eta_seconds=math.inf, since=-math.inf, promote_threshold=math.nan)
    found = explain(read_record(build_record(views.BAD, views.PLAN, [], odd, "0.1.0", "")), lambda *_: odd)
    assert found.differences == ["steps: decided from 59, the record holds 0"]
    assert found.recomputed.eta_seconds == math.inf


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, -0.0, 5e-324, 1e308, 0.1 + 0.2])
def test_every_number_of_a_step_comes_back_with_its_bits(number: float) -> None:
    step = Step(0.0, number, {"feature/null": (number, 1.0)}, {}, facts=Facts(expected_share=number))
    (found,) = read_record(build_record(views.BAD, views.PLAN, [step], SAID, "0.1.0", "")).steps
    for value in (found.end, found.canary["feature/null"][0], found.facts.expected_share):
        assert isinstance(value, float)
        assert struct.pack("<d", value) == struct.pack("<d", number)


Change = Callable[[dict[str, Any]], None]


def _verdict(document: dict[str, Any]) -> None:
    document["assessment"]["verdict"] = "promote"


def _measure(document: dict[str, Any]) -> None:
    document["assessment"]["measures"][0]["log_e"] += 1e-12


def _plan(document: dict[str, Any]) -> None:
    document["plan"]["alpha"] = 0.05


def _key(document: dict[str, Any]) -> None:
    document["key"]["version"] = "v3"


def _count(document: dict[str, Any]) -> None:
    lines = zlib.decompress(base64.b64decode(document["steps"]["data"])).splitlines()
    step = json.loads(lines[9])
    step["canary"]["requests"][1] += 1.0
    lines[9] = json.dumps(step).encode()
    text = b"".join(line + b"\n" for line in lines)
    document["steps"]["data"] = base64.b64encode(zlib.compress(text)).decode()
    document["steps"]["sha256"] = hashlib.sha256(text).hexdigest()


def _drop(document: dict[str, Any]) -> None:
    lines = zlib.decompress(base64.b64decode(document["steps"]["data"])).splitlines()[:-1]
    text = b"".join(line + b"\n" for line in lines)
    document["steps"] = {
        "count": len(lines),
        "sha256": hashlib.sha256(text).hexdigest(),
        "data": base64.b64encode(zlib.compress(text)).decode(),
    }


PARTS: list[tuple[Change, str]] = [
    (_verdict, "assessment"),
    (_measure, "assessment"),
    (_plan, "plan"),
    (_key, "key"),
    (_count, "steps"),
    (_drop, "steps"),
]


@pytest.mark.parametrize(("change", "part"), PARTS)
def test_an_edited_part_is_named(change: Change, part: str) -> None:
    document = json.loads(record())
    change(document)
    with pytest.raises(InputError, match=f"decision record: {part}: does not fit its digest"):
        read_record(json.dumps(document).encode())


@pytest.mark.parametrize("name", ["hash", "previous", "mlcanary"])
def test_an_edited_head_is_found(name: str) -> None:
    document = json.loads(record())
    document[name] = "0" * 64
    with pytest.raises(InputError, match="decision record: hash: it says"):
        read_record(json.dumps(document).encode())


def forged(change: Change) -> bytes:
    """A record that was changed by somebody who made new digests and a new hash as well."""
    document = json.loads(record())
    change(document)
    for part in document["digests"]:
        document["digests"][part] = hashlib.sha256(canonical(document[part])).hexdigest()
    del document["hash"]
    return json.dumps({**document, "hash": hashlib.sha256(canonical(document)).hexdigest()}).encode()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_verdict, "verdict: recorded 'promote', recomputed "),
        (_measure, "measures.errors.log_e: recorded "),
        (_plan, "families.errors.threshold: recorded "),
        (_key, "key.version: recorded 'v2', recomputed 'v3'"),
        (_count, "measures.errors.log_e: recorded "),
        (_drop, "steps: recorded 40, recomputed 39"),
    ],
)
def test_a_forgery_with_new_digests_does_not_recompute(change: Change, named: str) -> None:
    found = explain(read_record(forged(change)), fold)
    assert not found.equal
    assert any(difference.startswith(named) for difference in found.differences), found.differences


def test_a_record_made_anew_is_no_longer_the_previous_of_the_next() -> None:
    first, second = record(1), record(2, previous=record_hash(record(1)))
    assert read_record(second).previous == read_record(first).hash
    assert record_hash(record(3)) != read_record(second).previous


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_byte_can_change_unnoticed(data: st.DataObject) -> None:
    whole = record()
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(32, 126).filter(lambda b: b != whole[place]))
    broken = whole[:place] + bytes([byte]) + whole[place + 1 :]
    try:
        found = read_record(broken)
    except InputError:
        return
    assert found == read_record(whole)  # as where 1e5 becomes 1E5: the same record in other words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"[1]", "found no schema"),
        (b'{"schema": 2}', "schema: found 2; allowed: 1"),
        (b'{"schema": 1}', "assessment: is missing"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_what_is_no_record_is_refused_in_words(text: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_record(text)


@pytest.mark.parametrize(
    ("steps_part", "message"),
    [
        ([], "found something else than count, sha256 and data"),
        ({"count": 0, "sha256": "", "data": "?"}, "cannot be unpacked"),
        ({"count": 0, "sha256": "", "data": "AAAA"}, "cannot be unpacked"),
        ({"count": 0, "sha256": "", "data": base64.b64encode(zlib.compress(b"{}" * 99)[:-6]).decode()}, "cut off"),
        (
            {"count": 0, "sha256": "", "data": base64.b64encode(zlib.compress(b"{}\n")).decode()},
            "do not fit their sha256",
        ),
    ],
)
def test_broken_steps_are_refused_in_words(steps_part: object, message: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["steps"] = steps_part

    with pytest.raises(InputError, match=message):
        read_record(forged(change))


def test_steps_that_cannot_be_judged_are_an_error_of_the_record() -> None:
    def strict(key: CanaryKey, plan: Plan, taken: Sequence[Step]) -> Assessment:
        raise ValueError("a step comes twice")

    with pytest.raises(InputError, match="steps: cannot be judged: a step comes twice"):
        explain(read_record(record()), strict)


def test_a_record_of_a_long_canary_stays_small() -> None:
    taken = steps(2880)  # a day at 30 s
    text = build_record(views.BAD, views.PLAN, taken, fold(views.BAD, views.PLAN, taken), "0.1.0", "")
    assert len(text) < 0.4 * sum(len(msgspec.json.encode(step)) for step in taken)
