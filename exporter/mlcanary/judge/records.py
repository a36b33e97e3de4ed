"""Decision records: one JSON document that says what was decided and holds everything that it was decided from.

Guarantee: a change is found. A part that was edited no longer fits its digest: `read_record` names it. Where somebody
made new digests as well, the steps give other evidence: `explain` names every number. Where steps and evidence were
both made anew, the record no longer is the `previous` of the one after it.

    schema      1
    mlcanary    version that decided
    key         the canary                 plan       what it was judged by
    steps       count, sha256 and data: the steps as JSON lines, packed by zlib, in base64
    assessment  verdict, reason, evidence
    previous    hash of the record before this one, "" for the first
    digests     SHA-256 of key, plan, steps and assessment, each in canonical JSON
    hash        SHA-256 of all of the above in canonical JSON

Canonical JSON is UTF-8 without blanks, keys sorted, every number a float in its shortest form: a record survives `jq`,
pretty-printing and a store that sorts keys. JSON knows no infinity and no NaN: they are the texts "inf", "-inf", "nan".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mlcanary.errors import InputError
from mlcanary.judge.contract import Assessment, CanaryKey, Plan, Step

SCHEMA = 1
MAX_STEPS_BYTES = 1 << 30
"""Unpacked; a record is somebody else's file, and a small one could unpack to fill the memory."""

_PARTS = ("key", "plan", "steps", "assessment")
_FIELDS = frozenset({"schema", "mlcanary", "previous", "digests", "hash", *_PARTS})

Fold = Callable[[CanaryKey, Plan, Sequence[Step]], Assessment]
"""Judges steps from the start: `canary.fold`."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """A record that is whole: every digest fits."""

    mlcanary: str
    key: CanaryKey
    plan: Plan
    steps: tuple[Step, ...]
    assessment: Assessment
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What came out when the steps of a record were judged again. `differences`: place, recorded, recomputed."""

    equal: bool
    recomputed: Assessment
    differences: list[str]


def build_record(
    key: CanaryKey, plan: Plan, steps: Iterable[Step], assessment: Assessment, version: str, previous_hash: str
) -> bytes:
    """The record. `version`: of mlcanary; `previous_hash`: "" for the first record of a chain.

    Cost: 0.3 ms and 2 kB for a step of 40 inputs: about 1 s and 6 MB for a day at 30 s.
    """
    lines = [_line(step) for step in steps]
    text = b"".join(line + b"\n" for line in lines)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "mlcanary": version,
        "key": _plain(key),
        "plan": _plain(plan),
        "steps": {
            "count": len(lines),
            "sha256": hashlib.sha256(text).hexdigest(),
            "data": base64.b64encode(zlib.compress(text, 3)).decode(),
        },
        "assessment": _plain(assessment),
        "previous": previous_hash,
    }
    document["digests"] = {part: _digest(document[part]) for part in _PARTS}
    document["hash"] = _digest(document)
    return msgspec.json.encode(document)  # not canonical: the head comes first, for people


def record_hash(record: bytes) -> str:
    """The hash that a record says of itself: `previous_hash` of the next one. Raises InputError."""
    return _text(_document(record), "hash")


def read_record(record: bytes) -> Record:
    """A record, checked. Raises InputError that names the part that is wrong or was changed."""
    document = _document(record)
    for part in _PARTS:
        if _digest(document[part]) != document["digests"].get(part):
            raise InputError(
                f"decision record: {part}: does not fit its digest",
                hint=f"{part} was changed after the record was made; ask the judge for the record again",
            )
    own = {name: value for name, value in document.items() if name != "hash"}
    if (found := _digest(own)) != document["hash"]:
        raise InputError(
            f"decision record: hash: it says {document['hash']!r}, its content gives {found}",
            hint="the head, the digests or the hash were changed after the record was made",
        )
    return Record(
        mlcanary=_text(document, "mlcanary"),
        key=_typed(document, "key", CanaryKey),
        plan=_typed(document, "plan", Plan),
        steps=tuple(_steps(document["steps"])),
        assessment=_typed(document, "assessment", Assessment),
        previous=_text(document, "previous"),
        hash=_text(document, "hash"),
    )


def explain(record: Record, fold: Fold) -> Explanation:
    """Judge the steps again and compare every word and every number, bit for bit.

    Raises InputError if the steps cannot be judged at all, as when they are not in the order of time.
    """
    try:
        recomputed = fold(record.key, record.plan, record.steps)
    except (ValueError, LookupError) as error:
        raise InputError(f"decision record: steps: cannot be judged: {error}") from error
    differences = list(_differences("", _plain(record.assessment), _plain(recomputed)))
    if record.assessment.key != record.key:
        differences.append("key: the assessment is of another canary than the record")
    if record.assessment.steps != len(record.steps):
        differences.append(f"steps: decided from {record.assessment.steps}, the record holds {len(record.steps)}")
    return Explanation(not differences, recomputed, differences)


def canonical(value: object) -> bytes:
    """Canonical JSON of plain values."""
    return msgspec.json.encode(_floats(value), order="sorted")


def _line(step: Step) -> bytes:
    """A step as one line; unsorted, since sums go by the order of the inputs. The usual one has finite numbers only."""
    line = msgspec.json.encode(step)
    nothing = (step.facts.expected_share is None) + (step.facts.aa_passed is None)
    if line.count(b"null") == nothing:  # more: a number that JSON does not know, or a name with null in it
        return line
    return msgspec.json.encode(_plain(step))


def _digest(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _floats(value: object) -> object:
    """Every number as a float: what rewrites JSON may turn 20.0 into 20."""
    if isinstance(value, dict):
        return {name: _floats(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_floats(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _plain(value: object) -> Any:
    """Dictionaries, lists, texts and numbers of a struct; numbers that JSON does not know as texts."""
    return _finite(msgspec.to_builtins(value, str_keys=True))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _document(record: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(record)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"decision record: not JSON: {error}") from error
    if not isinstance(document, dict) or "schema" not in document:
        raise InputError("decision record: found no schema; allowed: a record as the judge writes it")
    if document["schema"] != SCHEMA:
        raise InputError(
            f"decision record: schema: found {document['schema']!r}; allowed: {SCHEMA}",
            hint="another version of mlcanary wrote it; use that one",
        )
    if wrong := sorted(_FIELDS ^ document.keys()):
        state = "is missing" if wrong[0] in _FIELDS else "is unknown"
        raise InputError(f"decision record: {wrong[0]}: {state}")
    if not isinstance(document["digests"], dict):
        raise InputError("decision record: digests: found no object")
    return document


def _typed(document: Mapping[str, Any], part: str, kind: type[T]) -> T:
    try:
        return msgspec.convert(document[part], kind, strict=False)  # not strict: "inf" is a float
    except msgspec.ValidationError as error:
        raise InputError(f"decision record: {part}: {error}") from error


def _text(document: Mapping[str, Any], part: str) -> str:
    if not isinstance(found := document[part], str):
        raise InputError(f"decision record: {part}: found no text")
    return found


def _steps(packed: object) -> Iterator[Step]:
    if not isinstance(packed, dict) or packed.keys() != {"count", "sha256", "data"}:
        raise InputError("decision record: steps: found something else than count, sha256 and data")
    text = _unpacked(packed["data"])
    if hashlib.sha256(text).hexdigest() != packed["sha256"]:
        raise InputError("decision record: steps: the data do not fit their sha256")
    lines = text.splitlines()
    if len(lines) != packed["count"]:
        raise InputError(f"decision record: steps: found {len(lines)}, the record says {packed['count']}")
    for number, line in enumerate(lines):
        try:
            yield msgspec.json.decode(line, type=Step, strict=False)
        except msgspec.MsgspecError as error:
            raise InputError(f"decision record: step {number}: {error}") from error


def _unpacked(data: object) -> bytes:
    try:
        packed = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, MAX_STEPS_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InputError(f"decision record: steps: cannot be unpacked: {error}") from error
    if not unpacking.eof:
        raise InputError("decision record: steps: cut off, or larger than 1 GiB")
    return text


def _differences(place: str, recorded: object, recomputed: object) -> Iterator[str]:
    """Where two plain values differ; members of lists go by their name."""
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for name in dict.fromkeys([*recorded, *recomputed]):
            inner = f"{place}.{name}" if place else name
            yield from _differences(inner, recorded.get(name, _ABSENT), recomputed.get(name, _ABSENT))
    elif isinstance(recorded, list) and isinstance(recomputed, list):
        yield from _differences(place, _by_name(recorded), _by_name(recomputed))
    elif _bits(recorded) != _bits(recomputed):
        yield f"{place}: recorded {_show(recorded)}, recomputed {_show(recomputed)}"


_ABSENT = object()


def _by_name(values: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, value in enumerate(values):
        name = _name(value, index)
        found[str(index) if name in found else name] = value
    return found


def _name(value: object, index: int) -> str:
    found = (value.get("name") or value.get("gate")) if isinstance(value, dict) else None
    return found if isinstance(found, str) else str(index)


def _bits(value: object) -> object:
    """What two values are compared by: floats by their bits, so that -0.0 is not 0.0, nor 1 the same as true."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def _show(value: object) -> str:
    return "nothing" if value is _ABSENT or value is None else repr(value)
