"""Paths into a JSON document, compiled once: dots, indices, one `[*]` for the rows of a batch.

Guarantee: finding never raises on any document: what is not there is `None`. A text on the way that holds JSON is
decoded and gone through, because several writers put the payload into a string. Not jmespath: it cannot go through such
a string, and it is slower than the few lines here.
Syntax: `a.b`, `a[0]`, `a[-1]`, `a["key with. dots"]`, `a[*].b`; a leading `$.` is allowed, `$` alone is the document.
Cost: one look-up per step; a nested text is decoded once per document, however many paths go through it.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mlcanary.formats.rows import Rejected

_TOKEN = re.compile(r"""\.?([^.\[\]"'*$]+)|\[(-?\d+)\]|\[\*\]()|\["([^"]+)"\]|\['([^']+)'\]""")
_NO_NUMBER = re.compile("NaN|Infinity")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_ALLOWED = """a path such as `a.b`, `a[0].b`, `a["odd key"]` or `a[*].b`, with one `[*]` at most"""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxtuple = 10
_SHORT.maxlevel = 3

Step = str | int


class _Each:
    """The step `[*]`."""


_EACH: Final = _Each()


class Document:
    """A decoded line, and the nested texts of it that were decoded on the way."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._nested: dict[str, Any] = {}

    def nested(self, text: str) -> Any:
        """What a text holds as JSON; None if it is none."""
        if text not in self._nested:
            try:
                self._nested[text] = decode(text)
            except (Rejected, msgspec.MsgspecError, RecursionError, UnicodeError):
                self._nested[text] = None
        return self._nested[text]

    def opened(self, value: Any) -> Any:
        """A payload that was written as a text, or as a list of texts; anything else as it is."""
        if isinstance(value, str):
            return self.nested(value)
        if isinstance(value, list):
            return [
                each if not isinstance(each, str) or (found := self.nested(each)) is None else found for each in value
            ]
        return value


@dataclass(frozen=True)
class JsonPath:
    """A compiled path. `text` is how it was written, `starred` whether it has one value per row of a batch."""

    text: str
    before: tuple[Step, ...]
    after: tuple[Step, ...]
    starred: bool

    def find(self, document: Document) -> Any:
        """The value at the path, None if there is none; with `[*]` a list with one value per row."""
        found = _walk(document, document.root, self.before)
        if not self.starred:
            return found
        if isinstance(found, str):
            found = document.nested(found)
        if not isinstance(found, list):
            return None
        return [_walk(document, each, self.after) for each in found] if self.after else found


def compile_path(text: str) -> JsonPath:
    """The path that `text` spells. Raises ValueError, which says what is allowed.

    >>> compile_path("a[*].b").find(Document({"a": '[{"b": 1}, {"c": 2}]'}))
    [1, None]
    """
    steps: list[Step | _Each] = []
    rest = text.removeprefix("$")
    at = 0
    while at < len(rest):
        token = _TOKEN.match(rest, at)
        if token is None or (at == 0 and rest is text and rest.startswith(".")):
            raise ValueError(f"found {shown(text)}; allowed: {_ALLOWED}")
        name, index, each, double, single = token.groups()
        steps.append(int(index) if index is not None else _EACH if each is not None else name or double or single)
        at = token.end()
    stars = [i for i, step in enumerate(steps) if isinstance(step, _Each)]
    if len(stars) > 1 or not text:
        raise ValueError(f"found {shown(text)}; allowed: {_ALLOWED}")
    plain = [[step for step in part if not isinstance(step, _Each)] for part in _parts(steps, stars)]
    return JsonPath(text, tuple(plain[0]), tuple(plain[1]), bool(stars))


def shown(value: Any) -> str:
    """A wrong value for a message: few aliases of YAML are enough for one that no memory holds when it is written out.

    >>> shown(["a", 1])
    "['a', 1]"
    """
    return _SHORT.repr(value)


def decode(text: bytes | str) -> Any:
    """JSON, also with the bare `NaN` and `Infinity` that Python's own writer puts for a missing number: null here.

    Raises Rejected, msgspec.DecodeError, UnicodeError or RecursionError.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        written = text.decode() if isinstance(text, bytes) else text
        if _NO_NUMBER.search(written) is None:
            raise
        try:
            found = json.loads(written, parse_constant=_none, parse_float=_finite, parse_int=_whole)
        except ValueError:
            raise Rejected("json", str(error)) from error
        if _HALF_CHARACTER.search(written) is not None:
            json.dumps(found, ensure_ascii=False).encode()  # half a character could never be written to a page
        return found


def _none(_name: str) -> None:
    return None


def _whole(digits: str) -> int | float | None:
    return int(digits) if len(digits) < 19 else _finite(digits)


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def _parts(steps: list[Step | _Each], stars: list[int]) -> tuple[list[Step | _Each], list[Step | _Each]]:
    return (steps[: stars[0]], steps[stars[0] + 1 :]) if stars else (steps, [])


def _walk(document: Document, value: Any, steps: tuple[Step, ...]) -> Any:
    for step in steps:
        if isinstance(value, str):
            value = document.nested(value)
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        elif isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value
