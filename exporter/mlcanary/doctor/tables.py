"""Lines of CSV as a table, and what other programs make of such lines that no reader expects.

An index without a name (pandas, R), numbers with a decimal comma, and times that are no ISO 8601: each is told with its
column and an example, and with what to write in the mapping or how to export it otherwise. Pure.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, pairwise
from typing import Any

from mlcanary.doctor.paths import is_time, mostly
from mlcanary.formats.mapped_fields import cell, pointed
from mlcanary.formats.mapping import csv_cells
from mlcanary.formats.rows import Rejected

_DELIMITERS = ",;\t|"
_FITTING = 0.9
_REEXPORTED = re.compile(r"Unnamed: 0(\.\d+)?")
_COMMA = re.compile(r"\s*[+-]?\d[\d.]*,\d+([eE][+-]?\d+)?\s*", re.ASCII)
_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*", re.ASCII)
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?\s*", re.ASCII)
_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_ROW_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_DATE = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?!\d)(.*)", re.ASCII | re.DOTALL)
_TIMES_OF_DAY = tuple(
    separator + clock
    for separator in (" ", "T", ", ")
    for clock in ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S%z")
)
_LOOKED_AT = 100
_EXAMPLES = 4


@dataclass(frozen=True)
class Oddity:
    """Something in a table that stops readers. `doubt`: a person must decide, or export it otherwise."""

    what: str
    costs: str
    remedy: str
    doubt: bool = False


@dataclass(frozen=True)
class Table:
    """Lines as cells. `named`: the first line names the columns. `rows`: what they hold, without row numbers.

    `comma`: numbers have a decimal comma.
    """

    columns: tuple[str, ...]
    delimiter: str
    rows: tuple[dict[str, Any], ...]
    named: bool
    comma: bool
    oddities: tuple[Oddity, ...]


def table_of(lines: Sequence[bytes]) -> Table | None:
    """The lines as a table; None if they are no CSV."""
    texts = _texts(lines)
    if texts is None:
        return None
    for delimiter in _delimiters(texts[0]):
        cells = _cells(texts, delimiter)
        if cells is not None:
            return _table(cells, delimiter)
    return None


def broken_table(lines: Sequence[bytes]) -> Oddity | None:
    """Why lines that look like CSV are no table: their number of cells is not that of the first line."""
    texts = _texts(lines)
    if texts is None:
        return None
    delimiter = _delimiters(texts[0])[0]
    try:
        rows = [csv_cells(text, delimiter) for text in texts]
    except Rejected:
        return None
    named, (width, often) = len(rows[0]), Counter(map(len, rows[1:])).most_common(1)[0]
    if named < 2 or width <= named or not any(len(row) > named for row in rows[1:]):
        return None
    what = f"the first line has {named} cells, {often} of {len(rows) - 1} others have {width}: {texts[1][:80]!r}"
    if width == named + 1 and often == len(rows) - 1:
        remedy = (
            "the first cell is an index without a name, as R's write.table makes it: write.csv(..., row.names = FALSE)"
        )
    elif delimiter == ",":
        remedy = (
            "numbers with a decimal comma between commas cannot be told from two cells: export with a point, "
            "df.to_csv(PATH, index=False), or with another delimiter, sep=';', and `decimal: \",\"` in the mapping"
        )
    else:
        remedy = "put texts that hold the delimiter in quotes: df.to_csv(PATH, index=False) does"
    return Oddity(what, "nothing can be measured", remedy, doubt=True)


def time_format(values: Iterable[object]) -> tuple[str, bool] | None:
    """The strptime format of times that are no ISO 8601, and whether day and month could be the other way round.

    >>> time_format(["26.11.2026 10:05", "01.12.2026 23:59"]), time_format(["2026-11-26"]), time_format(["11/26/2026"])
    (('%d.%m.%Y %H:%M', False), None, ('%m/%d/%Y', False))
    """
    texts = [value for value in values if isinstance(value, str)][:_LOOKED_AT]
    first = _DATE.fullmatch(texts[0].strip()) if texts else None
    if first is None or all(map(is_time, texts)):
        return None
    head, separator, _, tail, rest = first.groups()
    year = "%Y" if 4 in (len(head), len(tail)) else "%y"
    orders = [["%Y", "%m", "%d"]] if len(head) == 4 else [["%d", "%m", year], ["%m", "%d", year]]
    days = [separator.join(order) for order in orders]
    formats = [day + clock for day in days for clock in (_TIMES_OF_DAY if rest else ("",))]
    fitting = [layout for layout in formats if all(_fits(text, layout) for text in texts)]
    if not fitting:
        return None
    return fitting[0], separator == "/" and len({layout[:2] for layout in fitting}) > 1


def time_oddity(name: str, values: Sequence[object]) -> Oddity | None:
    """What to do about such times; None where they are ISO 8601, or no times."""
    found = time_format(values)
    if found is None:
        return None
    layout, either = found
    doubt = "; day and month may be the other way round: decide" if either else ""
    day_first = ", dayfirst=True" if layout.startswith("%d") else ""
    return Oddity(
        f"{name}: times such as {str(values[0])[:40]!r} are no ISO 8601; they fit {layout}{doubt}",
        "without a `format` such lines are rejected",
        f"`ts: {{path: {name}, format: '{layout}'}}` in the mapping; or export them as ISO 8601: "
        f'pd.to_datetime(df["{name}"]{day_first}).dt.strftime("%Y-%m-%dT%H:%M:%SZ"), in UTC',
        doubt=either,
    )


def comma_columns(columns: Mapping[str, Sequence[object]]) -> dict[str, str]:
    """Columns of texts that are numbers with a decimal comma, with an example; whole numbers may be among them."""
    found = {}
    for name, values in columns.items():
        texts = [value for value in values if isinstance(value, str) and value]
        commas = [text for text in texts if _COMMA.fullmatch(text) and pointed(text) != text]
        numbers = len(commas) + sum(_WHOLE.fullmatch(text) is not None for text in texts if text not in commas)
        numbers += sum(isinstance(value, int | float) for value in values)
        if commas and numbers >= 0.95 * sum(value not in (None, "") for value in values):
            found[name] = commas[0].strip()
    return found


def thousands(text: str) -> bool:
    """Whether a text is a number with commas between its thousands.

    >>> thousands("28,561.83"), thousands("1,234,567"), thousands("0,123"), thousands("1234.5")
    (True, True, False, False)
    """
    return _THOUSANDS.fullmatch(text) is not None


def _table(cells: Sequence[Sequence[str]], delimiter: str) -> Table:
    first = cells[0]
    named = len(set(first)) == len(first) and all(
        isinstance(cell(each), str) and not is_time(each) and time_format([each]) is None if each else i == 0
        for i, each in enumerate(first)
    )
    columns = [name or _unused("index", first) for name in first] if named else _names(cells)
    texts = {name: [row[i] for row in cells[named:]] for i, name in enumerate(columns)}
    oddities = []
    for place, name in enumerate(first if named else ()):
        if not name or _REEXPORTED.fullmatch(name):
            numbers = texts[columns[place]]
            counted = _are_row_numbers(numbers)
            oddities.append(_index(name, columns[place], numbers, place, counted=counted))
            if counted:
                del texts[columns[place]]
    comma, told = _commas(texts)
    oddities += told
    read: Callable[[str], Any] = (lambda text: cell(pointed(text))) if comma else cell
    values = {name: list(map(read, column)) for name, column in texts.items()}
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return Table(tuple(columns), delimiter, tuple(rows), named, comma, tuple(oddities))


def _index(name: str, here: str, values: Sequence[str], place: int, *, counted: bool) -> Oddity:
    called = f"is called {name!r}" if name else f"has no name, and is called {here} here"
    what = f"column {place + 1} {called}: the index that pandas writes, such as {(values or [''])[0][:20]!r}"
    kept = f"as it is, {here} stays in `csv` so that the columns fit"
    if counted:
        costs = "row numbers are left out: they are neither an id nor a feature"
        return Oddity(what, costs, f"export with df.to_csv(PATH, index=False); {kept}")
    return Oddity(what, "", f"export with df.to_csv(PATH, index_label='id'), if it is one; {kept}")


def _are_row_numbers(values: Sequence[str]) -> bool:
    """Whether every value is the one before it plus one; a log begins anywhere."""
    if not values or not all(_ROW_NUMBER.fullmatch(value) for value in values):
        return False
    return all(int(b) == int(a) + 1 for a, b in pairwise(values))


def _unused(name: str, names: Sequence[str]) -> str:
    return next(each for i in count() if (each := f"{name}{i or ''}") not in names)


def _commas(texts: Mapping[str, Sequence[str]]) -> tuple[bool, list[Oddity]]:
    """Whether the numbers of a table have a decimal comma; and what is to be said of commas in numbers."""
    found = comma_columns(texts)
    if not found:
        return False, []
    points = [name for name, column in texts.items() if name not in found and _all_match(_POINT, column)]
    grouped = all(_all_match(_THOUSANDS, [text for text in texts[name] if "," in text]) for name in found)
    named = ", ".join(f"{name} ({example})" for name, example in list(found.items())[:_EXAMPLES])
    remedy = "export with a point: df.to_csv(PATH, index=False, decimal='.')"
    if grouped:
        what = f"numbers with a comma before three digits, thousands or decimals: {named}"
        return False, [Oddity(what, "they are read as texts", f'{remedy}; `decimal: ","` if it is one', doubt=True)]
    if points:
        what = f"decimal commas in {named}, but points in {', '.join(points[:_EXAMPLES])}"
        return False, [Oddity(what, "the columns with commas are read as texts", remedy, doubt=True)]
    costs = "without `decimal` they are texts: scores are rejected, features have no distribution"
    return True, [Oddity(f"decimal commas: {named}", costs, f'`decimal: ","` in the mapping; or {remedy}')]


def _all_match(pattern: re.Pattern[str], texts: Iterable[str]) -> bool:
    found = [text for text in texts if text]
    return bool(found) and all(map(pattern.fullmatch, found))


def _texts(lines: Sequence[bytes]) -> list[str] | None:
    try:
        texts = [line.decode() for line in lines]
    except UnicodeDecodeError:
        return None
    return None if len(texts) < 2 or texts[0].lstrip().startswith(("{", "[")) else texts


def _delimiters(text: str) -> list[str]:
    return sorted(_DELIMITERS, key=lambda mark: -text.count(mark))


def _cells(texts: Sequence[str], delimiter: str) -> list[list[str]] | None:
    """The cells, if nearly all lines have as many as the first, and more than one."""
    try:
        rows = [csv_cells(text, delimiter) for text in texts]
    except (Rejected, csv.Error):
        return None
    width = len(rows[0])
    fitting = [row for row in rows if len(row) == width]
    return fitting if width > 1 and len(fitting) >= _FITTING * len(rows) else None


def _names(table: Sequence[Sequence[str]]) -> list[str]:
    """Names of columns that have none, by their look: a time, an id, a share; the others are counted."""
    names = [f"column{i}" for i in range(1, len(table[0]) + 1)]
    free: dict[str, Callable[[list[Any]], bool]] = {
        "ts": lambda values: mostly(map(is_time, values)) or time_format(values) is not None,
        "id": lambda values: all(isinstance(v, str) for v in values) and len(set(values)) == len(values),
        "score": lambda values: all(isinstance(v, float) and 0 <= v <= 1 for v in values),
    }
    for i in range(len(names)):
        values = [cell(row[i]) for row in table]
        found = next((name for name, fits in free.items() if fits(values)), None)
        if found is not None:
            names[i] = found
            del free[found]
    return names


def _fits(text: str, layout: str) -> bool:
    try:
        datetime.strptime(text.strip(), layout)
    except ValueError:
        return False
    return True
