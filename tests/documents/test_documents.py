"""Documents against schemas: every kind of mistake is told with line, key, what was found and what is allowed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.documents import Schema, Seconds, error_at, load_document
from mlcanary.errors import ConfigError


class Colour(StrEnum):
    """A closed list."""

    RED = "red"
    GREEN = "green"


class File(Schema, frozen=True, tag_field="type", tag="file"):
    """One kind of target."""

    path: str


class Call(Schema, frozen=True, tag_field="type", tag="http"):
    """Another kind of target."""

    url: str
    timeout: Seconds = Seconds(5)


class Document(Schema, frozen=True):
    """One field of every kind."""

    name: str = "x"
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    share: float = 0.5
    loud: bool = True
    wait: Seconds = Seconds(0)
    colour: Colour = Colour.RED
    level: Literal["low", "high"] = "low"
    tags: tuple[str, ...] = ()
    colours: dict[str, Colour] = msgspec.field(default_factory=dict)
    nested: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    target: File | Call | None = None
    targets: tuple[File | Call, ...] = ()
    maybe: int | None = None


def refusal(text: str) -> str:
    """The words with which a text is refused."""
    with pytest.raises(ConfigError) as caught:
        load_document(text, "f.yml", Document)
    return str(caught.value)


MISTAKES = {
    "nam: x": "f.yml:1: nam: found an unknown key (did you mean name?); allowed: colour, colours, count, level, loud, "
    "maybe, name, nested, share, tags, target, targets, wait",
    "name: 5": "f.yml:1: name: found 5; allowed: text",
    "name: [a]": "f.yml:1: name: found a list; allowed: text",
    "count: many": "f.yml:1: count: found 'many'; allowed: a whole number",
    "count: 0": "f.yml:1: count: found 0; allowed: a whole number >= 1",
    "count: 10": "f.yml:1: count: found 10; allowed: a whole number <= 9",
    "count:": "f.yml:1: count: found nothing; allowed: a whole number",
    "share: true": "f.yml:1: share: found true; allowed: a number",
    "loud: 1": "f.yml:1: loud: found 1; allowed: true or false",
    "on: 1": "f.yml:1: (top level): found the key true; allowed: text, in quotes where it looks like a number",
    "maybe: x": "f.yml:1: maybe: found 'x'; allowed: a whole number or nothing",
    "\n\nwait: 5": "f.yml:3: wait: found 5; allowed: duration such as 30s, 5m, 1h30m or 7d",
    "wait: off": "f.yml:1: wait: found false; allowed: duration such as 30s, 5m, 1h30m or 7d",
    "colour: blue": "f.yml:1: colour: found 'blue'; allowed: red, green",
    "level: mid": "f.yml:1: level: found 'mid'; allowed: high, low",
    "tags: a": "f.yml:1: tags: found 'a'; allowed: a list",
    "tags:\n  - a\n  - 5": "f.yml:3: tags.1: found 5; allowed: text",
    "colours:\n  a: red\n  b: blue": "f.yml:3: colours.b: found 'blue'; allowed: red, green",
    "colours:\n  1: red": "f.yml:1: colours: found the key 1; allowed: text, in quotes where it looks like a number",
    "nested:\n  a: {b: 1}\n  c:\n    d: 2\n    e: x": "f.yml:5: nested.c.e: found 'x'; allowed: a whole number",
    "target: {type: file}": "f.yml:1: target.path: found nothing; allowed: this key is required",
    "target: {path: a}": "f.yml:1: target.type: found nothing; allowed: this key is required",
    "target:\n  type: fil\n  path: a": "f.yml:2: target.type: found 'fil'; allowed: file, http",
    "target:\n  type: http\n  url: a\n  path: b": "f.yml:4: target.path: found an unknown key; "
    "allowed: timeout, type, url",
    "targets:\n  - type: file\n    path: a\n  - type: x": "f.yml:4: targets.1.type: found 'x'; allowed: file, http",
    "targets:\n  - type: http\n    url: a\n    timeout: 3": "f.yml:4: targets.0.timeout: found 3; "
    "allowed: duration such as 30s, 5m, 1h30m or 7d",
    "- a": "f.yml:1: (top level): found a list; allowed: a mapping",
    "5: a": "f.yml:1: (top level): found the key 5; allowed: text, in quotes where it looks like a number",
    "a: [": "f.yml:1: not YAML: expected the node content, but found '<stream end>'",
    "name: a\nname: b": "f.yml:2: not YAML: found the key name twice",
    "name: a\n---\nname: b": "f.yml:2: not YAML: but found another document",
    "? [a]\n: b": "f.yml:1: not YAML: found unhashable key",
    "name: !!python/object:os.system x": "f.yml:1: not YAML: could not determine a constructor for the tag "
    "'tag:yaml.org,2002:python/object:os.system'",
    "name: 2026-13-01": "f.yml: not YAML: month must be in 1..12",
    "name: \x00": "f.yml: not YAML: unacceptable character #x0000: special characters are not allowed",
    '{"name": 5,\n"count": 0}': "f.yml:1: name: found 5; allowed: text",
    '{"name": "a",\n"count": 0}': "f.yml:2: count: found 0; allowed: a whole number >= 1",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: repr(text)[:40])
def test_a_mistake_is_told_in_exactly_these_words(text: str) -> None:
    assert refusal(text) == MISTAKES[text]


def test_a_value_of_any_length_is_cut_in_the_message() -> None:
    found = refusal(f"count: {'x' * 500}")
    assert found == f"f.yml:1: count: found '{'x' * 56}...; allowed: a whole number"


@pytest.mark.parametrize("text", ["tags: " + "[" * 3000 + "]" * 3000, "{" * 3000])
def test_deep_nesting_is_refused_and_no_crash(text: str) -> None:
    assert refusal(text).startswith("f.yml")


def test_an_empty_document_is_all_defaults() -> None:
    for text in ("", "\n", "# nothing\n", "---\n", "{}"):
        assert load_document(text, "f.yml", Document) == Document()


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1.0e-3", "0.001", ".001", "1.e-3"])
def test_a_number_in_exponent_form_is_a_number(text: str) -> None:
    assert load_document(f"share: {text}", "f.yml", Document).share == 0.001


@pytest.mark.parametrize("text", ["1e-", "e5", "1e5x", "v1e5"])
def test_what_only_resembles_a_number_stays_text(text: str) -> None:
    assert load_document(f"name: {text}", "f.yml", Document).name == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("7d", 604800.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("1d2h3m4s5ms", 93784.005),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert load_document(f"wait: {text}", "f.yml", Document).wait == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "5", "m", "5 m", "1m1h", "-5m", "1.5m", "5M", True, False, 5, 1.0, None, [], {}])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="duration such as"):
        Seconds.parse(value)


def test_a_rule_that_spans_keys_can_point_at_any_of_them() -> None:
    text = "tags:\n  - a\ncolours:\n  x: red\n"
    assert str(error_at(text, "f.yml", ["colours", "x"], "y", "z")) == "f.yml:4: colours.x: found y; allowed: z"
    assert str(error_at(text, "f.yml", ["tags", 0], "y", "z")) == "f.yml:2: tags.0: found y; allowed: z"
    assert str(error_at(text, "f.yml", ["tags", 9, "q"], "y", "z")) == "f.yml:1: tags.9.q: found y; allowed: z"
    assert error_at(text, "f.yml", [], "y", "z", hint="h").hint == "h"


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from("nametagscount:[]{}-#&*!|>'\"%@`? \n\t0e.5"), max_size=30).map("".join)
)
def test_any_text_is_a_document_or_a_configuration_error(text: str) -> None:
    try:
        load_document(text, "f.yml", Document)
        words = "f.yml"
    except ConfigError as error:
        words = str(error)
    assert words.startswith("f.yml")
    assert len(words.splitlines()) == 1


@pytest.mark.parametrize("text", ['{"x\x7f": 1}', '{"x": "' + "\x7f" * 9 + '"}', 'x: "\\ud800"', "x: '\\ud800'"])
def test_characters_that_yaml_or_no_file_can_hold_are_told(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_document(text, "f.yml", Document)
    assert str(caught.value).encode().startswith(b"f.yml:1: ")


class Keyed(Schema, frozen=True):
    """Mappings whose keys are checked."""

    labels: dict[Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], str] = msgspec.field(default_factory=dict)
    colours: dict[str, dict[Colour, float]] = msgspec.field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: {ok: x, a-b: y}", "f:1: labels.a-b: found the key 'a-b'; allowed: text matching regex '^[a-z]+$'"),
        ("colours:\n  a: {red: 1}\n  b: {rod: 1}", "f:3: colours.b.rod: found the key 'rod'; allowed: red, green"),
        ("labels: {1: x}", "f:1: labels: found the key 1; allowed: text, in quotes where it looks like a number"),
    ],
)
def test_a_key_that_its_mapping_does_not_allow_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_document(text, "f", Keyed)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "key", ["na` - at `$.labels`me", "x - at `$.name", "x - at `$[...]", "x - at `key` in `$.name"]
)
@pytest.mark.parametrize("place", ["{}: 1", "target:\n  type: http\n  url: a\n  {}: 1"])
def test_a_key_that_looks_like_a_path_is_an_unknown_key_like_any_other(key: str, place: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_document(place.format(f"'{key}'"), "f.yml", Document)
    assert str(error.value).startswith("f.yml:")
    assert key in str(error.value)
