"""Markup of the handler's pages: forms, bars, steps, facts. Everything that is text is escaped here. No script.

Every control is a native one with a label, so the keyboard reaches all of it, in the order of the page.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from mlcanary.handler.web.answers import REASON_LIMIT, ReleaseAnswer, Share
from mlcanary.handler.web.csrf import FIELD
from mlcanary.webserver.html import document
from mlcanary.webserver.identity import Scope

NOTHING = "–"
_COLOURS = 6
STYLE = """
:root{--a:#2563eb;--b:#d97706;--focus:#2563eb}
a{color:LinkText}main{margin-top:1rem}
section.card{border:1px solid var(--line);border-radius:8px;padding:.9rem 1.1rem;margin:1rem 0}
section.card>h3{margin:0 0 .5rem;font-size:1.05rem}
.bar{display:flex;height:.85rem;border-radius:4px;overflow:hidden;background:var(--soft);margin:.3rem 0}
.bar span{display:block;min-width:2px}.c0{background:#2563eb}.c1{background:#d97706}.c2{background:#7c3aed}
.c3{background:#0d9488}.c4{background:#be185d}.c5{background:#65a30d}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:0;padding:0;list-style:none}
.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.4rem}
ol.steps{display:flex;flex-wrap:wrap;gap:.35rem;margin:.3rem 0;padding:0;list-style:none}
ol.steps li{margin:0;padding:.05rem .6rem;border:1px solid var(--line);border-radius:1rem;font-size:.9rem}
ol.steps li.done{background:var(--soft)}
ol.steps li.now{border-color:var(--a);box-shadow:inset 0 0 0 1px var(--a);font-weight:600}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.2rem;margin:.6rem 0}
dl.facts dt{opacity:.75}dl.facts dd{margin:0;overflow-wrap:anywhere}
.tag{display:inline-block;padding:0 .55rem;border-radius:1rem;border:1px solid var(--line);font-size:.85rem}
.tag.bad{border-color:var(--bad)}.tag.good{border-color:var(--good)}
.notice{border-left:.35rem solid #8888;background:var(--soft);border-radius:3px;padding:.6rem 1rem;margin:1rem 0}
.notice.bad{border-color:var(--bad);color:inherit}.notice.wait{border-color:var(--b)}
.notice p{margin:.2rem 0}
.deeds{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:.8rem}
fieldset{border:1px solid var(--line);border-radius:6px;margin:0;padding:.5rem .9rem .9rem;min-width:0}
legend{font-weight:600;padding:0 .3rem}label{display:block;margin:.4rem 0 .1rem;font-size:.9rem}
input[type=text],select{font:inherit;width:100%;box-sizing:border-box;padding:.35rem .5rem;border:1px solid #8889;
border-radius:4px;background:Field;color:FieldText}
label.check{display:flex;gap:.5rem;align-items:center}
button,a.button{font:inherit;display:inline-block;margin-top:.7rem;padding:.4rem .9rem;border:1px solid #8889;
border-radius:5px;background:ButtonFace;color:ButtonText;cursor:pointer;text-decoration:none}
button.danger{background:#b3261e;border-color:#b3261e;color:#fff}
button.go{background:#1f7a4d;border-color:#1f7a4d;color:#fff}
:is(a,button,input,select,summary):focus-visible{outline:3px solid var(--focus);outline-offset:2px}
.scroll:focus-visible{outline:3px solid var(--focus)}
code.hash{font-size:1.1rem;letter-spacing:.03em}
p.note{opacity:.75;font-size:.9rem;margin:.4rem 0}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--good:#6fcf97;--focus:#8ab4f8;--a:#8ab4f8}a{color:#8ab4f8}}
"""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page: what they may do, and the token of their forms. `now` in Unix seconds."""

    name: str
    scopes: frozenset[Scope]
    token: str
    now: float

    def may(self, scope: Scope) -> bool:
        """Whether the viewer has a scope."""
        return scope in self.scopes


def whole(title: str, subtitle: str, viewer: Viewer, body: Iterable[str]) -> str:
    """A page with the links of every page."""
    links = (("targets", "/"), ("metrics", "/metrics"), ("configuration", "/config"), ("ready", "/-/ready"))
    return document(title, f"{subtitle} · you are {viewer.name}", links, f"<main>{''.join(body)}</main>", STYLE)


def path(*parts: str) -> str:
    """A path of ours; every part is quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def link(text: str, to: str) -> str:
    """A link to a page of ours."""
    return f'<a href="{escape(to)}">{escape(text)}</a>'


def tag(text: str, kind: str = "") -> str:
    """A word in a frame. `kind`: good, bad or nothing."""
    return f'<span class="tag {escape(kind)}">{escape(text)}</span>'


def notice(kind: str, *paragraphs: str) -> str:
    """A box that stands out. Paragraphs are HTML."""
    return f'<div class="notice {kind}">' + "".join(f"<p>{text}</p>" for text in paragraphs) + "</div>"


def facts(rows: Mapping[str, str]) -> str:
    """Names and values; values are HTML, empty ones are left out."""
    told = "".join(f"<dt>{escape(k)}</dt><dd>{v}</dd>" for k, v in rows.items() if v)
    return f'<dl class="facts">{told}</dl>' if told else ""


def weights(shares: Sequence[Share]) -> str:
    """The split of the traffic as a bar, and in words."""
    if all(share.share is None for share in shares):
        return f"<p>weights unknown: {escape(', '.join(s.version for s in shares))}</p>"
    parts, words, told = [], [], []
    for i, share in enumerate(shares):
        part = share.share or 0.0
        colour = f"c{i % _COLOURS}"
        if part > 0:
            parts.append(f'<span class="{colour}" style="width:{100 * part:.2f}%"></span>')
        text = f"{share.version} {percent(share.share)}" + (f" ({share.status})" if share.status else "")
        told.append(text)
        words.append(f'<li><i class="{colour}"></i>{escape(text)}</li>')
    name = escape("weights: " + ", ".join(told))
    bar = f'<div class="bar" role="img" aria-label="{name}">{"".join(parts)}</div>'
    return f'{bar}<ul class="legend">{"".join(words)}</ul>'


def steps(release: ReleaseAnswer) -> str:
    """Where a release stands among its steps."""
    items = []
    for i, share in enumerate(release.steps):
        here = i == release.step and release.open
        kind = ' class="now" aria-current="step"' if here else ' class="done"' if i <= release.step else ""
        items.append(f"<li{kind}>{share} %</li>")
    return f'<ol class="steps" aria-label="steps of the release">{"".join(items)}</ol>'


def form(action: str, viewer: Viewer, legend: str, fields: Iterable[str], button: str, kind: str = "") -> str:
    """A form that posts to a path of ours. `fields` are HTML; `kind` is the look of the button."""
    return (
        f'<form method="post" action="{escape(action)}"><fieldset><legend>{escape(legend)}</legend>'
        f"{hidden(FIELD, viewer.token)}{''.join(fields)}"
        f'<button class="{kind}">{escape(button)}</button></fieldset></form>'
    )


def ask(action: str, legend: str, fields: Iterable[str], button: str) -> str:
    """A form that only leads to a page."""
    return (
        f'<form method="get" action="{escape(action)}"><fieldset><legend>{escape(legend)}</legend>'
        f"{''.join(fields)}<button>{escape(button)}</button></fieldset></form>"
    )


def hidden(name: str, value: str) -> str:
    """A field that is not shown."""
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def text_field(key: str, name: str, label: str, *, required: bool = False) -> str:
    """A line of text. `key` is its id, once on a page."""
    must = " required" if required else ""
    return (
        f'<label for="{escape(key)}">{escape(label)}</label>'
        f'<input type="text" id="{escape(key)}" name="{escape(name)}" maxlength="{REASON_LIMIT}"{must}'
        ' autocomplete="off">'
    )


def check(key: str, name: str, label: str) -> str:
    """Something that may be said as well."""
    box = f'<input type="checkbox" id="{escape(key)}" name="{escape(name)}" value="true">'
    return f'<label class="check" for="{escape(key)}">{box}{escape(label)}</label>'


def choice(key: str, name: str, label: str, options: Sequence[tuple[str, str]], chosen: str = "") -> str:
    """One of several, as (value, text), that must be chosen: `chosen` is, if it is among them."""
    known = chosen in [value for value, _ in options]
    listed = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in (options if known else [("", "choose ..."), *options])
    )
    return (
        f'<label for="{escape(key)}">{escape(label)}</label>'
        f'<select id="{escape(key)}" name="{escape(name)}" required>{listed}</select>'
    )


def percent(share: float | None) -> str:
    """A share.

    >>> percent(0.1), percent(0.004), percent(None)
    ('10 %', '0.4 %', 'unknown')
    """
    if share is None:
        return "unknown"
    return f"{100 * share:.3g} %"


def when(at: float) -> str:
    """Unix seconds as a date; a dash for 0."""
    if not at:
        return NOTHING
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """A time in words.

    >>> span(0.43), span(15), span(150), span(7300), span(200000)
    ('0.4 s', '15 s', '2 min', '2 h', '2 d')
    """
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.{int(seconds < 10)}f} s"
