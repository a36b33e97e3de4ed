"""README.zh-CN.md says what README.md says: the same code, names, figures, links, tables and headings, part by part."""

from __future__ import annotations

import re

from guides import README, ROOT

CHINESE = ROOT / "README.zh-CN.md"
CODE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def parts(text: str) -> list[str]:
    """A page cut before each of its headings; no block of code is cut."""
    kept = CODE.sub(lambda block: block[0].replace("\n#", "\n\0#"), text)
    return [part.replace("\0", "") for part in re.split(r"^(?=#+ )", kept, flags=re.MULTILINE)]


def content(part: str) -> dict[str, object]:
    """What translation leaves alone. A link inside the page counts, but its target is a heading, and so translated."""
    prose = CODE.sub("", part)
    targets = ["#" if target.startswith("#") else target for target in LINK.findall(prose)]
    words = re.sub(r"\d+ 月", "", LINK.sub("]", prose))  # a month is a word in English
    return {
        "heading": len(prose) - len(prose.lstrip("#")),
        "code": CODE.findall(part),
        "comments": re.findall(r"<!--.*?-->", prose),
        "links": sorted(target for target in targets if not re.fullmatch(r"README[\w.-]*", target)),
        "names": sorted(set(re.findall(r"`[^`]+`", words))),
        "figures": sorted(re.findall(r"\d[\d,.]*(?<=\d)", words)),
        "cells": [line.count("|") for line in words.splitlines() if line.startswith("|")],
    }


def test_the_chinese_readme_holds_what_the_english_one_holds() -> None:
    english, chinese = (parts(page.read_text(encoding="utf-8")) for page in (README, CHINESE))
    assert len(english) > 1
    for told, translated in zip(english, chinese, strict=True):
        assert content(translated) == content(told), f"{CHINESE.name}: {translated.splitlines()[:1]}"


def test_each_language_leads_to_the_other_at_its_top() -> None:
    for page, other in ((README, CHINESE), (CHINESE, README)):
        assert f"]({other.name})" in page.read_text(encoding="utf-8").partition("\n\n")[2].partition("\n\n")[0]
