"""A YAML or JSON document checked against a typed schema, with errors a person can act on.

Guarantee: `load_document` returns an instance of the schema or raises one `ConfigError` whose text reads

    FILE:LINE: KEY: found WHAT; allowed: WHAT

and names the first wrong key in document order. Unknown keys are errors, never ignored: a misspelt limit
that is silently dropped is a limit that does not protect.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from mlcanary.errors import ConfigError

T = TypeVar("T")
Token = str | int
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_DURATION_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+|\.\.\.)\]")


class Seconds(float):
    """A duration. In documents: `0`, `90s`, `5m`, `1h30m`, `7d`, `250ms`; in code: seconds as float."""

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Seconds of a duration text. Raises ValueError that says what is allowed."""
        if value in (0, "0") and not isinstance(value, bool):  # YAML reads `no` and `off` as false
            return cls(0.0)
        found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
        if found is None:
            raise ValueError("Expected `duration such as 30s, 5m, 1h30m or 7d`")
        return cls(sum(float(n) * s for n, s in zip(found.groups(), _DURATION_SECONDS, strict=True) if n))


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every configuration section: immutable, closed, keyword-only."""


def load_document(text: str, source: str, schema: type[T]) -> T:
    """Parse `text` (YAML, of which JSON is a part) and check it against `schema`.

    `source` is the file name for messages. Raises ConfigError.
    """
    document = _json(text)
    if document is None:
        document = _yaml(text, source)
    try:
        return msgspec.convert(document, schema, dec_hook=_decode)
    except (msgspec.ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise ConfigError(f"{source}: not YAML: it contains itself or is nested too deeply") from error
        text_of_error, tokens = _locate(str(error), document, schema)
        key = ".".join(str(t) for t in tokens) or "(top level)"
        place = f"{source}:{_line(_compose(text), tokens)}: {key}: "
        raise ConfigError(place + text_of_error) from error


def read_text(path: Path) -> str:
    """A whole file of UTF-8 text. Raises ConfigError: it cannot be read, or is no such text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}", hint="check the path and its permissions") from error


def error_at(
    text: str, source: str, tokens: Sequence[Token], found: str, allowed: str, *, hint: str = ""
) -> ConfigError:
    """The same error for a rule that spans keys: `tokens` is the path of the guilty key in `text`."""
    key = ".".join(str(t) for t in tokens) or "(top level)"
    line = _line(_compose(text), list(tokens))
    return ConfigError(f"{source}:{line}: {key}: found {found}; allowed: {allowed}", hint=hint)


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-3` is a number, as in JSON and YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping in which no key comes twice: a limit that is silently replaced does not protect."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"found the key {key.value} twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """A text without half characters such as an escaped `\\ud800`: no page and no file could hold them."""
        text: str = super().construct_scalar(node)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise yaml.constructor.ConstructorError(None, None, "found half a character", node.start_mark) from None
        return text


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _json(text: str) -> Any:
    """The document if it is a JSON object, else None. Profiles are large, and YAML reads them 100 times slower."""
    if not text.startswith("{"):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _yaml(text: str, source: str) -> Any:
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{source}{line}: not YAML: {problem}", hint="check indentation and quotes") from error
    except (ValueError, RecursionError) as error:  # such as the thirteenth month in what looks like a date
        raise ConfigError(f"{source}: not YAML: {error}", hint="quote values that are meant as text") from error
    return {} if raw is None else raw


def _compose(text: str) -> yaml.Node | None:
    """The positions of a text that was read before; None for JSON that is no YAML, as it may hold any character."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError):
        return None


def _decode(kind: type, value: object) -> object:
    if kind is Seconds:
        return Seconds.parse(value)
    raise NotImplementedError(f"no document form for {kind!r}")


def suggestion(unknown: str, allowed: Iterable[str]) -> str:
    """Text that names what is close to an unknown word, with a space before it; nothing where nothing is close."""
    near = difflib.get_close_matches(unknown, list(allowed), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _locate(message: str, document: Any, schema: type) -> tuple[str, list[Token]]:
    """Turn msgspec's message into ours, and its path into keys; `[...]` hides a key that we search for."""
    problem, path = _parted(message, document)
    tokens: list[Token] = []
    for name, index in _STEP.findall(path.removeprefix("key` in `").removesuffix("`").removeprefix("$")):
        if name:
            tokens.append(name)
        elif index == "...":
            tokens.append(_guilty_key(document, tokens, message, schema))
        else:
            tokens.append(int(index))
    if path.startswith("key` in `"):
        return _bad_key(problem, document, tokens, schema)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
        allowed = _field_names(schema, document, tokens)
        meant = suggestion(unknown[1], allowed)
        return f"found an unknown key{meant}; allowed: {', '.join(allowed)}", [*tokens, unknown[1]]
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return "found nothing; allowed: this key is required", [*tokens, missing[1]]
    return (
        f"found {_show(_at(document, tokens))}; allowed: {_allowed(problem, schema, document, tokens)}",
        tokens,
    )


def _parted(message: str, document: Any) -> tuple[str, str]:
    """The problem and the path. A key that nobody knows stands in the problem, and may look like a path itself."""
    problem, _, path = message.rpartition(" - at `")
    where = document
    for name, index in _STEP.findall(path):
        if isinstance(where, dict) and name in where:
            where = where[name]
        elif isinstance(where, list) and index.isdigit() and int(index) < len(where):
            where = where[int(index)]
        elif index != "...":
            return message, ""
        else:
            break
    return problem or message, path if problem else ""


def _bad_key(problem: str, document: Any, tokens: list[Token], schema: type) -> tuple[str, list[Token]]:
    """A mapping with a key of another type, for YAML reads a version `1` or `1.10` as a number, or with a wrong one."""
    mapping = _at(document, tokens)
    for key in mapping:
        if not isinstance(key, str):
            return f"found the key {_show(key)}; allowed: text, in quotes where it looks like a number", tokens
    kind = _type_at(inspect.type_info(schema), document, tokens)
    allowed = problem.removeprefix("Expected ").replace("`str`", "text")
    if isinstance(kind, inspect.DictType) and isinstance(kind.key_type, inspect.EnumType):
        members = [str(member.value) for member in kind.key_type.cls]
        wrong = next(key for key in mapping if key not in members)
        return f"found the key {_show(wrong)}; allowed: {', '.join(members)}", [*tokens, wrong]
    pattern = re.search("matching regex '(.*)'", problem)
    wrong = next((key for key in mapping if pattern is None or not re.search(pattern[1], key)), "")
    return f"found the key {_show(wrong)}; allowed: {allowed}", [*tokens, wrong]


def _guilty_key(document: Any, tokens: list[Token], message: str, schema: type) -> str:
    """The key of a mapping whose value alone still gives the same error."""
    mapping = _at(document, tokens)
    for key in mapping:
        try:
            msgspec.convert(_replaced(document, tokens, {key: mapping[key]}), schema, dec_hook=_decode)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return "..."


def _replaced(document: Any, tokens: list[Token], value: Any) -> Any:
    if not tokens:
        return value
    head, rest = tokens[0], tokens[1:]
    if isinstance(document, list):
        return [_replaced(item, rest, value) if i == head else item for i, item in enumerate(document)]
    return {k: _replaced(item, rest, value) if k == head else item for k, item in document.items()}


def _at(document: Any, tokens: list[Token]) -> Any:
    for token in tokens:
        document = document[int(token)] if isinstance(document, list) else document.get(token)
    return document


def _type_at(kind: inspect.Type, document: Any, tokens: list[Token]) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        kind = _member(kind, document)
    if not tokens:
        return kind
    head, rest = tokens[0], tokens[1:]
    inner = _at(document, [head])
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            if field.encode_name == head:
                return _type_at(field.type, inner, rest)
    if isinstance(kind, inspect.CollectionType):
        return _type_at(kind.item_type, inner, rest)
    if isinstance(kind, inspect.DictType):
        return _type_at(kind.value_type, inner, rest)
    return kind


def _member(union: inspect.UnionType, document: Any) -> inspect.Type:
    """The member of a union that the document chose by its tag, else the first structured one."""
    structs = [t for t in union.types if isinstance(t, inspect.StructType)]
    for kind in structs:
        if isinstance(document, dict) and kind.tag_field and document.get(kind.tag_field) == kind.tag:
            return kind
    return structs[0] if structs else next(t for t in union.types if not isinstance(t, inspect.NoneType))


def _field_names(schema: type, document: Any, tokens: list[Token]) -> list[str]:
    kind = _type_at(inspect.type_info(schema), document, tokens)
    if not isinstance(kind, inspect.StructType):
        return []
    return sorted([f.encode_name for f in kind.fields] + ([kind.tag_field] if kind.tag_field else []))


def _allowed(problem: str, schema: type, document: Any, tokens: list[Token]) -> str:
    if problem.startswith("Invalid enum value") or problem.startswith("Invalid value"):
        kind = _type_at(inspect.type_info(schema), document, tokens)
        if isinstance(kind, inspect.EnumType):
            return ", ".join(str(member.value) for member in kind.cls)
        if isinstance(kind, inspect.LiteralType):
            return ", ".join(str(value) for value in kind.values)
        parent = _type_at(inspect.type_info(schema), document, tokens[:-1])
        if isinstance(parent, inspect.StructType) and parent.tag_field == tokens[-1]:
            return ", ".join(_tags(schema, document, tokens[:-1]))
    kinds = problem.removeprefix("Expected ").split(", got ")[0]
    return re.sub("`([^`]*)`", lambda m: " or ".join(_KINDS.get(kind, kind) for kind in m[1].split(" | ")), kinds)


def _tags(schema: type, document: Any, tokens: list[Token]) -> list[str]:
    """The tags of the union that the place holds: the choices of a `type:` key."""
    owner = _type_at(inspect.type_info(schema), document, tokens[:-1])
    kind = owner
    if isinstance(owner, inspect.CollectionType):
        kind = owner.item_type
    elif isinstance(owner, inspect.DictType):
        kind = owner.value_type
    elif isinstance(owner, inspect.StructType):
        kind = next(f.type for f in owner.fields if f.encode_name == tokens[-1])
    members = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return sorted(str(m.tag) for m in members if isinstance(m, inspect.StructType))


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _line(node: yaml.Node | None, tokens: list[Token]) -> int:
    """The line of the key, or of the nearest enclosing thing that exists."""
    line = node.start_mark.line + 1 if node else 1
    for token in tokens:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(token)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(token, int) and token < len(node.value):
            node = node.value[token]
            line = node.start_mark.line + 1
        else:
            break
    return line
