"""What unknown JSON or CSV lines hold: values by path, and objects by the names in them.

Guarantee: paths are those that `formats.json_path` reads, through texts that hold JSON, with one `[*]` at most. Pure.
Cost: linear in the values of the sampled documents, at most `_MOST_PATHS` paths.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlcanary.formats.json_path import Document

_MOST_PATHS = 2000
_DEEPEST = 12
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_EPOCHS = ((9e8, 4.2e9), (9e11, 4.2e12), (9e14, 4.2e15), (9e17, 4.2e18))


@dataclass
class Place:
    """The values at one path, with the number of their document. `row`: below `[*]`, so one value for each row."""

    path: str
    key: str
    parent: str
    row: bool
    values: list[tuple[int, Any]] = field(default_factory=list)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its name, in lower case."""
        return words_of(self.key)

    @property
    def plain(self) -> list[Any]:
        """Its values that are there."""
        return [value for _, value in self.values if value is not None and value != ""]

    @property
    def numbers(self) -> list[float]:
        """Those of its values that are numbers."""
        return [float(v) for v in self.plain if isinstance(v, int | float) and not isinstance(v, bool)]

    @property
    def scalar(self) -> bool:
        """Whether no value is a list."""
        return not any(isinstance(value, list) for value in self.plain)

    @property
    def numeric(self) -> bool:
        """Whether every value that is there is a number."""
        return bool(self.plain) and len(self.numbers) == len(self.plain)

    @property
    def different(self) -> int:
        """How many different values there are."""
        return len({value if isinstance(value, Hashable) else repr(value) for value in self.plain})

    @property
    def lists(self) -> list[list[Any]]:
        """Its values that are lists."""
        return [value for value in self.plain if isinstance(value, list)]


@dataclass
class Outline:
    """Every place of some documents, by path; `objects`: the keys that objects have, by path. "" is the document."""

    documents: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    objects: dict[str, Counter[str]] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)

    def children(self, path: str) -> list[Place]:
        """The places directly below an object."""
        return [place for place in self.places.values() if place.parent == path]


def outline_of(documents: Sequence[Any]) -> Outline:
    """The places of these documents."""
    out = Outline(len(documents))
    for number, root in enumerate(documents):
        _walk(out, number, Document(root), root, path="", key="", parent="", row=False, depth=0)
    return out


def words_of(name: str) -> tuple[str, ...]:
    """The words that a name is made of.

    >>> words_of("requestId"), words_of("execution_duration_ms"), words_of("HTTPStatus")
    (('request', 'id'), ('execution', 'duration', 'ms'), ('http', 'status'))
    """
    return tuple(word.lower() for word in _WORDS.findall(name))


def is_time(value: Any) -> bool:
    """Whether a value looks like a point in time between 1998 and 2103."""
    if isinstance(value, str):
        try:
            return len(value) >= 10 and datetime.fromisoformat(value).year > 1997
        except ValueError:
            return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return any(low <= value <= high for low, high in _EPOCHS)


def mostly(values: Iterable[bool], share: float = 0.95) -> bool:
    """Whether nearly all of at least one are true."""
    found = list(values)
    return bool(found) and sum(found) >= share * len(found)


def _walk(
    out: Outline,
    number: int,
    document: Document,
    value: Any,
    *,
    path: str,
    key: str,
    parent: str,
    row: bool,
    depth: int,
) -> None:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        value = value if (nested := document.nested(value)) is None else nested
    if isinstance(value, dict) and depth < _DEEPEST:
        out.objects.setdefault(path, Counter()).update(map(str, value))
        for name, each in value.items():
            if not name or ('"' in name and "'" in name):
                continue  # no path can name it
            below = _below(path, name)
            _walk(out, number, document, each, path=below, key=name, parent=path, row=row, depth=depth + 1)
        return
    if isinstance(value, list) and value and not row and all(isinstance(each, dict | list) for each in value):
        out.rows.setdefault(path, []).append(len(value))
        for each in value:
            _walk(out, number, document, each, path=f"{path or '$'}[*]", key=key, parent=parent, row=True, depth=depth)
        return
    if path not in out.places:
        if len(out.places) >= _MOST_PATHS:
            return
        out.places[path] = Place(path, key, parent, row)
    out.places[path].values.append((number, value))


def _below(path: str, name: str) -> str:
    if _PLAIN.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}['{name}']" if '"' in name else f'{path}["{name}"]'
