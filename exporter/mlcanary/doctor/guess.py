"""A `mapping:` for lines that no format knows, guessed from names and values, with a word where a person must decide.

Guarantee: what is proposed can be loaded, and only names values that the sample holds; nothing is hidden: each guess
says why. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from mlcanary.doctor.guessed_answers import TRUTH, Claims, answers, features
from mlcanary.doctor.paths import Outline, Place, is_time, mostly, outline_of
from mlcanary.doctor.tables import Oddity, table_of, time_format, time_oddity
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.json_path import decode
from mlcanary.formats.mapping import MappingFormat
from mlcanary.formats.rows import Rejected

_MOST_DOCUMENTS = 300
_OWNERS = frozenset(
    {"user", "customer", "account", "session", "model", "version", "deployment", "endpoint", "client"}
) | {
    *("served", "device", "host", "pod", "span", "parent", "process", "thread", "tenant", "worker"),
}
_ID_ENDS = ("id", "uuid", "guid")
_ENOUGH = 10
_ONE_NAME = re.compile(r"""\["([^"]+)"\]|\['([^']+)'\]""")
_DURATIONS = ("latency", "duration", "elapsed", "responsetime", "executiontime")
_ID_WORDS = ("prediction", "inference", "request", "correlation", "transaction", "event", "call", "row", "record")


@dataclass(frozen=True)
class Guess:
    """A proposed mapping: entries in their order, and why each of them; `oddities`: what of the lines is unusual."""

    mapping: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_csv: bool = False
    oddities: tuple[Oddity, ...] = ()


def guess_mapping(lines: Sequence[bytes]) -> Guess | None:
    """A mapping for these lines; None if they are neither JSON nor CSV or hold nothing to measure."""
    documents = _json(lines[:_MOST_DOCUMENTS])
    if documents:
        return _guess(outline_of(documents), {}, {})
    table = table_of(lines[:_MOST_DOCUMENTS])
    if table is None:
        return None
    head: dict[str, Any] = {"csv": list(table.columns)}
    why = {"csv": "the first line"}
    if not table.named:
        why["csv"] = "decide: the lines have no names, these are by the look of the values"
    if table.delimiter != ",":
        head["delimiter"] = table.delimiter
    if table.comma:
        head["decimal"] = ","
        why["decimal"] = "numbers have a decimal comma"
    return _guess(outline_of(table.rows), head, why, table.oddities)


def _guess(
    outline: Outline, head: dict[str, Any], why: dict[str, str], oddities: tuple[Oddity, ...] = ()
) -> Guess | None:
    claims = Claims(outline)
    for key, pick in _PICKS:
        claims.take(key, pick(claims))
    answers(claims)
    features(claims, columns="csv" in head)
    if "ts" in claims.mapping:
        times = outline.places[claims.paths["ts"]]
        if (odd := time_oddity(times.path, times.plain)) is not None:
            oddities = (*oddities, odd)
            layout, either = time_format(times.plain) or ("", False)
            claims.mapping["ts"] = {"path": times.path, "format": layout}
            claims.why["ts"] += "; decide: day or month first" if either else ""
    if "ts" in claims.mapping and _naive(outline, claims.paths["ts"]):
        claims.mapping["timezone"] = "UTC"
        claims.why["timezone"] = "decide: the times name no zone; this one, or the server's such as Europe/Berlin"
    told = claims.mapping.keys()
    if not told & {"features", "score", "prediction", "scores", "label", "response", "event"}:
        return None
    if "id" in told and told & {"label", "event"} and not told & {"score", "prediction", "features", "response"}:
        claims.mapping = {"kind": {"const": "label"}, **claims.mapping}
        claims.why["kind"] = "no answers in it: these lines are outcomes"
    mapping = {**head, **claims.mapping}
    if "csv" in head:  # a column's name is no path, whatever it holds
        mapping = {key: _columns(value) if key not in head else value for key, value in mapping.items()}
    try:
        MappingFormat(FormatOptions("mapping", mapping=mapping))
    except ValueError:
        return None
    return Guess(mapping, {**why, **claims.why}, tuple(claims.notes), "csv" in head, oddities)


def _columns(entry: Any) -> Any:
    """Paths of one name as that name."""
    if isinstance(entry, str):
        alone = _ONE_NAME.fullmatch(entry)
        return entry if alone is None else alone[1] or alone[2]
    if isinstance(entry, list):
        return [_columns(each) for each in entry]
    if isinstance(entry, dict) and "path" in entry:
        return {**entry, "path": _columns(entry["path"])}
    return entry


def _best(claims: Claims, test: Callable[[Place], int | None]) -> Place | None:
    """The free place with the lowest rank that `test` gives; of equal ones that with most values, then the shortest."""
    ranked = [
        (rank, -len(place.plain), len(place.path), place.path, place)
        for place in claims.free()
        if place.plain and (rank := test(place)) is not None
    ]
    return min(ranked)[-1] if ranked else None


def _id(claims: Claims) -> tuple[Place, str] | None:
    """What differs from line to line, and from one prediction to the next where lines of outcomes repeat it."""
    places = claims.outline.places.values()
    outcomes = {number for place in places if set(place.words) & (TRUTH | {"event"}) for number, _ in place.values}

    def rank(place: Place) -> int | None:
        values, words = place.plain, place.words
        if not place.scalar or not all(isinstance(v, str | int) and not isinstance(v, bool) for v in values):
            return None
        different = len({(number in outcomes, value) for number, value in place.values if value not in (None, "")})
        if different < 0.9 * len(values) or mostly(map(is_time, values)):
            return None
        if words in (("id",), ("uuid",)):
            return 0 if not place.parent else 3
        run = "".join(words)
        if run.endswith(_ID_ENDS):
            owned = any(run.startswith(owner) for owner in _OWNERS)
            return None if owned else 1 if run.startswith(_ID_WORDS) else 4 if words[0] == "trace" else 2
        keyed = all(isinstance(v, str) and len(v) < 64 and not set(v) & set(" {[") for v in values)
        return 5 if keyed and len(values) >= _ENOUGH and different == len(values) else None

    place = _best(claims, rank)
    if place is None:
        return None
    doubt = "" if "".join(place.words).endswith(_ID_ENDS) else "decide: the name does not say so; "
    twice = "; lines of outcomes repeat them" if place.different < 0.9 * len(place.plain) else ""
    return place, f"{doubt}{place.different} different values in {len(place.plain)}{twice}"


def _ts(claims: Claims) -> tuple[Place, str] | None:
    def rank(place: Place) -> int | None:
        if not place.scalar or not (mostly(map(is_time, place.plain)) or time_format(place.plain)):
            return None
        words = set(place.words)
        if words & {"received", "recorded", "logged", "logging", "created", "ingested", "updated", "end", "finished"}:
            return 2
        if words & {"time", "timestamp", "ts", "date", "datetime", "at", "when", "occurred", "start", "started"}:
            return 0 if words & {"event", "request", "inference", "prediction", "ts", "timestamp"} else 1
        run = "".join(place.words)
        named = "time" in run or "stamp" in run or "date" in run
        return 3 if named or all(isinstance(value, str) for value in place.plain) else None

    place = _best(claims, rank)
    return None if place is None else (place, f"for example {place.plain[0]}")


def _named(
    names: set[str], *, texts: bool, most: int, exact: bool = False
) -> Callable[[Claims], tuple[Place, str] | None]:
    def pick(claims: Claims) -> tuple[Place, str] | None:
        def rank(place: Place) -> int | None:
            words = place.words
            fits = bool(set(words) & names) if not exact else "_".join(words) in names
            if not fits or not place.scalar or place.different > most:
                return None
            if texts and not all(isinstance(value, str) for value in place.plain):
                return None
            return 0 if words and words[-1] in names else 1

        place = _best(claims, rank)
        return None if place is None else (place, f"for example {place.plain[0]}")

    return pick


def _latency(claims: Claims) -> tuple[Place, str] | None:
    def rank(place: Place) -> int | None:
        words, run = set(place.words), "".join(place.words)
        named = words & {"took", "runtime", "ms", "millis", "ns", "time"} or run.startswith(_DURATIONS)
        return 0 if named and place.numeric and min(place.numbers) >= 0 else None

    place = _best(claims, rank)
    if place is None:
        return None
    unit, said = _unit(place)
    claims.units[place.path] = unit
    return place, said


def _unit(place: Place) -> tuple[str, str]:
    words = set(place.words)
    for unit, names in (
        ("ms", {"ms", "millis", "milliseconds"}),
        ("us", {"us", "micros", "microseconds"}),
        ("ns", {"ns", "nanos", "nanoseconds"}),
        ("s", {"s", "sec", "secs", "seconds"}),
    ):
        if words & names:
            return unit, f"for example {place.plain[0]}"
    middle = sorted(place.numbers)[len(place.numbers) // 2]
    unit = "s" if middle < 5 and any(not number.is_integer() for number in place.numbers) else "ms"
    return unit, f"the name tells no unit; {middle:g} looks like {unit}: decide (s, ms, us, ns)"


def _status(claims: Claims) -> tuple[Place, str] | None:
    def rank(place: Place) -> int | None:
        if not set(place.words) & {"status", "code"} or not place.numeric:
            return None
        return 0 if all(number.is_integer() and 100 <= number < 600 for number in place.numbers) else None

    place = _best(claims, rank)
    return None if place is None else (place, "HTTP; any but 200 counts as an error")


def _user(claims: Claims) -> tuple[Place, str] | None:
    def rank(place: Place) -> int | None:
        words = place.words
        fits = len(words) == 2 and words[0] in ("user", "customer", "account", "client") and words[1] == "id"
        return 0 if place.scalar and (fits or words in (("user",), ("uid",))) else None

    place = _best(claims, rank)
    return None if place is None else (place, "hashed while it is read; leave it out if users do not matter")


_PICKS: tuple[tuple[str, Callable[[Claims], tuple[Place, str] | None]], ...] = (
    ("id", _id),
    ("ts", _ts),
    ("latency_ms", _latency),
    ("status", _status),
    ("version", _named({"version", "release", "revision", "variant", "arm", "deployment"}, texts=False, most=20)),
    ("model", _named({"model", "model_name", "model_id", "endpoint", "service"}, texts=True, most=20, exact=True)),
    ("user", _user),
)


def _naive(outline: Outline, path: str) -> bool:
    texts = [value for value in outline.places[path].plain if isinstance(value, str)]
    try:
        return any(datetime.fromisoformat(text).tzinfo is None for text in texts)
    except ValueError:
        found = time_format(texts)
        return found is not None and "%z" not in found[0]


def _json(lines: Sequence[bytes]) -> list[Any]:
    """The documents, if at least half of the lines are JSON objects."""
    found = []
    for line in lines:
        try:
            document = decode(line)
        except (Rejected, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue
        if isinstance(document, dict):
            found.append(document)
    return found if 2 * len(found) >= len(lines) else []
