"""The texts for users: README.md and docs/*.md, and the blocks of code in them that are held against the program."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"


def pages() -> list[Path]:
    """README in every language, and the guides."""
    return [*sorted(ROOT.glob("README*.md")), *sorted(DOCS.glob("*.md"))]


def guide(name: str) -> str:
    """Text of docs/NAME.md."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading of the second level, up to the next one. Raises AssertionError if there is none."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"no heading: {heading}"
    return rest.partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Where links into a page may lead: what GitHub makes of its headings, the second of a name with `-1` and so on."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found
