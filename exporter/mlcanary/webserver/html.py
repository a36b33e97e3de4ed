"""The look of every page of ours: one style, one document, one table. Cells are escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import NamedTuple

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--bad:#c0392b;--good:#2e8b57}
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.sub{margin:.2rem 0 1rem;opacity:.75}
nav a{margin-right:1.2rem}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem;border-bottom:1px solid var(--line);white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
td.long{white-space:normal;overflow-wrap:anywhere}.bad{color:var(--bad)}.good{color:var(--good)}
code{background:var(--soft);padding:.1rem .3rem;border-radius:3px;white-space:pre-wrap;overflow-wrap:anywhere}
li{margin:.3rem 0}
"""


class Link(NamedTuple):
    """A cell that leads to another page."""

    text: str
    path: str


class Mark(NamedTuple):
    """A cell in colour. `kind`: good or bad."""

    text: str
    kind: str


Cell = str | Link | Mark


def document(title: str, subtitle: str, links: Sequence[tuple[str, str]], body: str, style: str = "") -> str:
    """A whole page. `links` are (text, path); `body` is HTML, the rest is text. `style`: CSS beside the one of all."""
    anchors = "".join(f'<a href="{escape(path)}">{escape(text)}</a>' for text, path in links)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{style}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="sub">{escape(subtitle)}</p><nav>{anchors}</nav>{body}</body></html>'
    )


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numbers: Collection[str] = (),
    long: Collection[str] = (),
    states: Collection[str] = (),
) -> str:
    """A table of texts. By heading: `numbers` stand right, `long` may wrap, `states` are green if `reading` or red."""
    kinds = ["number" if h in numbers else "long" if h in long else "" for h in headings]
    classes = [f' class="{kind}"' if kind else "" for kind in kinds]
    head = "".join(f"<th{c}>{escape(h)}</th>" for h, c in zip(headings, classes, strict=True))
    lines = []
    for row in rows:
        cells = zip(headings, classes, row, strict=True)
        lines.append("<tr>" + "".join(f"<td{c}>{_cell(h, text, states)}</td>" for h, c, text in cells) + "</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _cell(heading: str, text: Cell, states: Collection[str]) -> str:
    if isinstance(text, Link):
        return f'<a href="{escape(text.path)}">{escape(text.text)}</a>'
    if isinstance(text, Mark):
        return f'<span class="{escape(text.kind)}">{escape(text.text)}</span>'
    if heading not in states:
        return escape(text)
    return f'<span class="{"good" if text == GOOD_STATE else "bad"}">{escape(text)}</span>'


GOOD_STATE = "reading"
"""The one state that is drawn green."""
