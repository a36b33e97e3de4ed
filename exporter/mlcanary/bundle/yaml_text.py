"""YAML as every reader of it understands it the same way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]+")
_LINE = 1 << 16


class _Dumper(yaml.SafeDumper):
    """No aliases; texts of several lines as blocks; texts quoted unless they are plain names."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Readers in Go take `1e-4`, `y` and the like for what is no text; readers in Python do not.
    style = "|" if "\n" in value else None if _PLAIN.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dumped(documents: Iterable[object], comment: str = "") -> bytes:
    """The documents as one file, always the same bytes for the same values; lines of `comment` stand above it."""
    above = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    body = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=_LINE, allow_unicode=True)
    return (above + body).encode()


def loaded(text: str) -> list[Any]:
    """The documents of a shipped YAML file. Cost: 25 ms for all rules with the parser in C, 0.4 s without."""
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def comment_of(text: str) -> str:
    """The comment at the top of a YAML file, without its marks."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
