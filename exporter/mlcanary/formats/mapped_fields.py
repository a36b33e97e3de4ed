"""One entry of a `mapping:` section: where a value lies in a document, and what it is turned into.

Guarantee: an entry that can be compiled never raises while reading; what cannot be turned stays as it is, so that the
check of the row says what was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from mlcanary.formats.json_path import Document, JsonPath, compile_path, shown
from mlcanary.formats.rows import Row

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Parts of a second."""

FIELDS = tuple(key for key in Row.__struct_fields__ if key not in ("request_id", "timestamp", "user_id", "features"))
"""Keys of a row that a mapping may fill, beside its features."""

FRACTION = "fraction"
NUMBERS = ("score", "latency_ms", "queue_ms", "value", "weight")
"""Keys of a row that hold a number."""

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")

_COMMA_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+,[0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+(,[0-9]+)?)([eE][+-]?[0-9]+)?\s*", re.ASCII
)
_SOME_TIME = datetime(2026, 11, 26, 13, 14, 15)

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class MappedField:
    """The first of `paths` that gives something, else `constant`; through `convert`."""

    paths: tuple[JsonPath, ...]
    constant: Any = None
    convert: Convert | None = None

    def find(self, document: Document) -> tuple[Any, bool]:
        """The value, None if there is none; and whether it is a list with one value per row."""
        for path in self.paths:
            value = path.find(document)
            if value is None:
                continue
            if self.convert is None:
                return value, path.starred
            return ([*map(self.convert, value)] if path.starred else self.convert(value)), path.starred
        return self.constant, False


def compile_field(
    key: str, entry: Any, zone: tzinfo | None, columns: tuple[str, ...] | None = None, *, comma: bool = False
) -> MappedField:
    """What `key` of a row is read from. `columns`: those of a CSV line, which the document holds. Raises ValueError.

    `entry` is a path, a list of paths of which the first with a value counts, or an object with `path` or `const`, and
    `unit` for a time, a latency, or a weight, which may be given as the sampled fraction; a time that is no RFC 3339
    has its `format` instead. `comma`: numbers have a decimal comma.
    """
    if isinstance(entry, Mapping):
        allowed = {"path", "const"} | ({"unit"} if key in ("ts", "latency_ms", "queue_ms", "weight") else set())
        allowed |= {"format"} if key == "ts" else set()
        if not entry or entry.keys() - allowed:
            raise ValueError(f"{key}: found {sorted(map(str, entry))}; allowed: {', '.join(sorted(allowed))}")
        constant, unit, layout = entry.get("const"), entry.get("unit"), entry.get("format")
        paths = _paths(key, entry.get("path", []), columns)
        if not isinstance(constant, str | int | float | bool | None) or (not paths and constant is None):
            raise ValueError(f"{key}: found {shown(dict(entry))}; allowed: `path`, or `const` with a text or number")
    else:
        constant, unit, layout, paths = None, None, None, _paths(key, entry, columns)
        if not paths:
            raise ValueError(f"{key}: found {shown(entry)}; allowed: a path, a list of paths, or an object with `path`")
    units = (FRACTION,) if key == "weight" else tuple(UNITS)
    if unit is not None and unit not in units:
        raise ValueError(f"{key}.unit: found {shown(unit)}; allowed: {', '.join(units)}")
    if layout is not None:
        return MappedField(paths, constant, _laid_out(layout, unit, zone))
    convert = _convert(key, unit, zone, columns is not None)
    return MappedField(paths, constant, _pointing(key, convert) if comma else convert)


def time_zone(name: Any) -> tzinfo | None:
    """The zone of times that name none. Raises ValueError."""
    if name is None:
        return None
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ValueError(
            f"timezone: found {shown(name)}; allowed: a name of the time zone database such as Europe/Berlin"
        ) from error


def zoned(value: Any, zone: tzinfo | None) -> Any:
    """A time text without a zone as Unix seconds, read in `zone`; anything else as it is.

    An hour that the end of summer time repeats is read as its first one: the text does not tell.
    """
    if zone is None or not isinstance(value, str):
        return value
    try:
        when = datetime.fromisoformat(value)
        return value if when.tzinfo else when.replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return value


def number(value: Any) -> Any:
    """The number that a text spells; anything else as it is. No infinities, nothing but digits.

    >>> number("12"), number(" 0.5"), number("1e3"), number("nan"), number("1_0")
    (12, 0.5, 1000.0, 'nan', '1_0')
    """
    if not isinstance(value, str) or len(value) > 64 or _NUMBER.fullmatch(value) is None or not value.isascii():
        return value
    text = value.strip()
    return int(text) if text.lstrip("+-").isdigit() and len(text) < 18 else float(text)


def pointed(value: Any) -> Any:
    """A number with a decimal comma as one with a point; points are thousands separators. Anything else as it is.

    >>> pointed("0,53"), pointed("1.234,5"), pointed("1.234"), pointed("26.11.2026"), pointed("a,b"), pointed("12")
    ('0.53', '1234.5', '1234', '26.11.2026', 'a,b', '12')
    """
    if not isinstance(value, str) or len(value) > 64 or _COMMA_NUMBER.fullmatch(value) is None:
        return value
    return value.replace(".", "").replace(",", ".")


def cell(value: Any) -> Any:
    """A cell of a CSV line: a number, a truth value, a text, or None where it is empty."""
    if value in ("True", "true", "False", "false"):
        return value in ("True", "true")
    return None if value == "" else number(value)


def _paths(key: str, entry: Any, columns: tuple[str, ...] | None) -> tuple[JsonPath, ...]:
    texts: Iterable[Any] = [entry] if isinstance(entry, str) else entry if isinstance(entry, list) else ()
    found = []
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{key}: found {shown(text)}; allowed: a path")  # noqa: TRY004  # every bad option is one
        if columns is not None and text in columns:  # a column's name is no path, whatever it holds
            found.append(JsonPath(text, (text,), (), False))
            continue
        try:
            path = compile_path(text)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        if columns is not None and path.before[:1] and path.before[0] not in columns:
            raise ValueError(f"{key}: found {shown(text)}; allowed: a column of `csv`: {', '.join(columns)}")
        found.append(path)
    return tuple(found)


def _convert(key: str, unit: str | None, zone: tzinfo | None, cells: bool) -> Convert | None:
    if key == "ts":
        scale = None if unit is None else UNITS[unit]
        return lambda value: _time(number(value), scale, zone)
    if key in ("latency_ms", "queue_ms"):
        return _scaled(1e3 / UNITS[unit or "ms"])
    if key in NUMBERS:
        return _inverse if unit == FRACTION else number
    if cells and key in ("prediction", "label"):
        return cell
    if cells:
        return lambda value: None if value == "" else value
    return None


def _pointing(key: str, convert: Convert | None) -> Convert | None:
    """The same for numbers with a decimal comma; names, versions and ids stay as they are."""
    if convert is None or key not in (*NUMBERS, "ts", "prediction", "label"):
        return convert
    return lambda value: convert(pointed(value))


def _laid_out(layout: Any, unit: str | None, zone: tzinfo | None) -> Convert:
    """Texts of a time in a format of their own as Unix seconds. Raises ValueError for one that tells no day."""
    try:
        fits = unit is None and datetime.strptime(_SOME_TIME.strftime(layout), layout).date() == _SOME_TIME.date()
    except (ValueError, TypeError, re.error):
        fits = False
    if not fits:
        raise ValueError(
            f"ts.format: found {shown(layout)}; allowed: codes of Python's strptime for year, month and day, and no "
            "`unit`, such as '%d.%m.%Y %H:%M:%S'"
        )

    def read(value: Any) -> Any:
        try:
            when = datetime.strptime(value, layout)
            return (when if when.tzinfo else when.replace(tzinfo=zone or UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            return value

    return read


def _time(value: Any, scale: float | None, zone: tzinfo | None) -> Any:
    if scale is not None and isinstance(value, int | float):
        return value / scale
    return zoned(value, zone)


def _inverse(value: Any) -> Any:
    """The weight of a row of a log that keeps this fraction; what is no fraction stays, and is rejected."""
    found = number(value)
    return 1.0 / found if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= 1 else 0.0


def _scaled(factor: float) -> Convert:
    def scaled(value: Any) -> Any:
        found = number(value)
        return found * factor if isinstance(found, int | float) and not isinstance(found, bool) else found

    return scaled
