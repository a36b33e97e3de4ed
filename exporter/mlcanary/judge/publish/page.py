"""The pages for people: all canaries, and the evidence on one of them. Pure: a view in, HTML out; no script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from urllib.parse import quote, urlencode

from mlcanary import __version__
from mlcanary.catalog import Family, Verdict
from mlcanary.judge.contract import Assessment, CanaryKey, CurvePoint, FeatureAssessment
from mlcanary.judge.publish import curves
from mlcanary.judge.publish.figures import (
    NOTHING,
    count,
    duration,
    eta,
    figure,
    interval,
    leading,
    log_evidence,
    named,
    nearest,
    signed,
    when,
)
from mlcanary.judge.publish.lookup import current
from mlcanary.judge.publish.view import JudgedCanary, View
from mlcanary.webserver.html import Cell, Link, Mark, document, table

_STYLE = """
.verdict{margin:1.2rem 0;padding:.7rem 1rem;border-left:.35rem solid #8888;background:var(--soft);border-radius:3px}
.verdict.rollback{border-color:var(--bad)}.verdict.promote{border-color:var(--good)}
.verdict b{font-size:1.25rem}.verdict p{margin:.3rem 0 0}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.4rem 1.5rem;margin:1rem 0}
dt{opacity:.75;font-size:.85rem}dd{margin:0}p.note{max-width:46rem;opacity:.8;font-size:.9rem}
.small table{width:auto}.lines td{white-space:pre;color:color-mix(in srgb,CanvasText 72%,Canvas)}
.lines td::first-line{color:CanvasText}
@media(prefers-color-scheme:dark){a{color:#8ab4f8}}
"""
_KINDS = {Verdict.ROLLBACK: "bad", Verdict.PROMOTE: "good", Verdict.HOLD: "", Verdict.NO_DATA: ""}
_WORDS = {Verdict.ROLLBACK: "roll back", Verdict.PROMOTE: "promote", Verdict.HOLD: "hold", Verdict.NO_DATA: "no data"}
_MANY_FEATURES = 50
_NOTE = (
    "log E is the natural logarithm of an e-value: evidence that may be looked at as often as you like. Over its "
    "threshold a healthy canary gets with at most the chance that the plan allows, ever. Intervals hold at every look "
    "at once. Worse by: above 0 the canary is worse, also where more is better. Recall, precision and Jaccard index J "
    "are of the class with most evidence, which is named; F1 is 2J/(1+J)."
)


def index(view: View) -> str:
    """All canaries, the worst first."""
    order = list(_KINDS)
    canaries = sorted(current(view), key=lambda shown: order.index(shown[1].assessment.verdict))
    links = (("verdicts as JSON", "/v1/verdicts"), ("metrics", "/metrics"), ("ready", "/-/ready"))
    return _page("mlcanary judge", _subtitle(view), links, [*_state(view), *_canaries(view, canaries)])


def canary(key: CanaryKey, judged: JudgedCanary, view: View) -> str:
    """The evidence on one canary."""
    found = judged.assessment
    links = (
        ("all canaries", "/"),
        ("verdict as JSON", path(key, "/v1/verdict")),
        ("decision record", path(key, "/v1/record")),
    )
    place = " / ".join(filter(None, (key.cluster, key.namespace)))
    parts = (_state(view), _verdict(key, found), _gates(found), _charts(judged), _families(found), _measures(found))
    body = [text for part in (*parts, _features(found.features), _skipped(judged)) for text in part]
    subtitle = f"{f'{place} · ' if place else ''}judged up to {when(found.judged)} · mlcanary {__version__}"
    return _page(
        f"{key.model}: {key.version} against {key.baseline}", subtitle, links, [*body, f'<p class="note">{_NOTE}</p>']
    )


def nothing(error: str, known: Iterable[dict[str, str]]) -> str:
    """The page for a canary that is not there."""
    rows = [
        (
            Link(f"{k['model']} {k['version']}", path(_key(k))),
            k["baseline"],
            k.get("cluster", ""),
            k.get("namespace", ""),
        )
        for k in known
    ]
    body = [f'<p class="bad">{escape(error)}</p>']
    if rows:
        body.append(table(("canary", "baseline", "cluster", "namespace"), rows))
    return _page("mlcanary judge", f"version {__version__}", (("all canaries", "/"),), body)


def path(key: CanaryKey, before: str = "/canary") -> str:
    """Where a canary is found; cluster and namespace as far as it has them."""
    place = {name: value for name in ("cluster", "namespace") if (value := getattr(key, name))}
    query = f"?{urlencode(place)}" if place else ""
    return f"{before}/{quote(key.model, safe='')}/{quote(key.version, safe='')}{query}"


def _key(named: dict[str, str]) -> CanaryKey:
    place = named.get("cluster", ""), named.get("namespace", "")
    return CanaryKey(*place, named["model"], named["version"], named["baseline"], 0.0)


def _page(title: str, subtitle: str, links: Sequence[tuple[str, str]], body: Iterable[str]) -> str:
    return document(title, subtitle, links, "".join(body), _STYLE + curves.STYLE)


def _subtitle(view: View) -> str:
    read = f"read up to {when(view.read_at)}" if view.read_at is not None else "nothing read yet"
    return f"version {__version__} · {read}"


def _state(view: View) -> Iterator[str]:
    if not view.leader:
        yield "<p>This judge is a standby: another one holds the state and has the verdicts.</p>"
    if view.problem:
        yield f'<p class="bad">{escape(view.problem)}</p>'


def _canaries(view: View, shown: Sequence[tuple[CanaryKey, JudgedCanary]]) -> Iterator[str]:
    if not shown:
        if view.leader:
            yield "<h2>Canaries</h2><p>No model has a canary beside a baseline now.</p>"
        return
    headings = (
        "canary",
        "verdict",
        "leads, interval",
        "canary n, baseline n",
        "log E, family",
        "held by",
        "decision in",
    )
    rows = [_row(key, judged.assessment) for key, judged in shown]
    yield "<h2>Canaries</h2>"
    yield _lines(table(headings, rows, numbers=(headings[3], "decision in")))
    yield f'<p class="note">{_NOTE}</p>'


def _row(key: CanaryKey, found: Assessment) -> list[Cell]:
    measure, family = leading(found), nearest(found)
    place = " / ".join(filter(None, (key.cluster, key.namespace)))
    name = Link(f"{key.model} {key.version}", path(key))
    return [
        name._replace(text=f"{name.text}\n{place}") if place else name,
        Mark(f"{_WORDS[found.verdict]}\n{when(found.since)}", _KINDS[found.verdict]),
        f"{named(measure)} {signed(measure, measure.difference)}\n{interval(measure)}"
        if measure
        else found.leading or NOTHING,
        "\n".join(count(trials) for trials in found.trials),
        f"{log_evidence(family.log_e)} of {log_evidence(family.threshold)}\n{family.name}" if family else NOTHING,
        "\n".join(gate.gate for gate in found.gates) or NOTHING,
        eta(found),
    ]


def _verdict(key: CanaryKey, found: Assessment) -> Iterator[str]:
    word = f'<b class="{_KINDS[found.verdict]}">{_WORDS[found.verdict]}</b>'
    yield f'<div class="verdict {found.verdict}">{word}<p>{escape(found.text)}</p></div>'
    canary_trials, baseline_trials = found.trials
    facts = (
        ("reason", found.reason),
        ("since", when(found.since)),
        ("judging began", when(key.start)),
        ("age", duration(found.judged - key.start)),
        ("canary n", count(canary_trials)),
        ("baseline n", count(baseline_trials)),
        ("decision in about", eta(found)),
        ("more traffic", "nothing speaks against it" if found.may_expand else "not now"),
    )
    yield "<dl>" + "".join(f"<div><dt>{escape(t)}</dt><dd>{escape(d)}</dd></div>" for t, d in facts) + "</dl>"


def _gates(found: Assessment) -> Iterator[str]:
    if found.gates:
        yield "<h2>Decisions are suspended</h2>"
        yield table(("gate", "why"), [(gate.gate, gate.why) for gate in found.gates], long=("why",))


def _charts(judged: JudgedCanary) -> Iterator[str]:
    found = judged.assessment
    decided = found.verdict in {Verdict.ROLLBACK, Verdict.PROMOTE}
    since = (found.since, f"{_WORDS[found.verdict]} since") if decided else None
    thresholds: dict[float, list[str]] = {}
    for family in found.families:
        if family.threshold is not None:
            thresholds.setdefault(family.threshold, []).append(family.name)
    limits = [
        curves.Limit("roll back at" if len(thresholds) == 1 else " ".join(names), value)
        for value, names in thresholds.items()
    ]
    lines = [_line(family, judged.curve) for family in Family if any(family in p.families for p in judged.curve)]
    points = [(p.at, p.noninferior) for p in judged.curve if p.noninferior is not None]
    weakest = [curves.Line("the measure that lags", points)]
    yield '<h2>Evidence over time</h2><div class="curves">'
    worse_mark = since if found.verdict is Verdict.ROLLBACK else None
    yield curves.chart("log E that the canary is worse", lines, limits, worse_mark)
    if points:
        needed = [curves.Limit("promote at", found.promote_threshold, good=True)]
        mark = since if found.verdict is Verdict.PROMOTE else None
        yield curves.chart("log E that it is not worse by a margin", weakest, needed, mark)
    yield "</div>"


def _line(family: Family, points: Sequence[CurvePoint]) -> curves.Line:
    return curves.Line(family, [(p.at, p.families[family]) for p in points if family in p.families])


def _families(found: Assessment) -> Iterator[str]:
    rows: list[list[Cell]] = []
    for family in found.families:
        over = family.threshold is not None and family.log_e >= family.threshold
        value = log_evidence(family.log_e)
        limit = log_evidence(family.threshold) if family.threshold is not None else "informs only"
        rows.append([family.name, Mark(value, "bad") if over else value, limit])
    if rows:
        yield "<h2>Families</h2>"
        yield _small(table(("family", "log E", "rolls back at"), rows, numbers=("log E", "rolls back at")))


def _measures(found: Assessment) -> Iterator[str]:
    if not found.measures:
        return
    headings = ["measure", "canary", "baseline", "worse by", "margin", "log E worse"]
    headings += [f"log E not worse, {log_evidence(found.promote_threshold)} needed", "φ"]
    rows: list[list[Cell]] = []
    for m in sorted(found.measures, key=lambda m: -m.log_e):
        safe = m.log_e_noninferior is not None and m.log_e_noninferior >= found.promote_threshold
        shown = log_evidence(m.log_e_noninferior)
        arms = [
            f"{figure(m, m.canary)}\nn {count(m.trials_canary)}",
            f"{figure(m, m.baseline)}\nn {count(m.trials_baseline)}",
            f"{signed(m, m.difference)}\n{interval(m)}",
        ]
        evidence = [signed(m, m.margin), log_evidence(m.log_e), Mark(shown, "good") if safe else shown]
        rows.append([f"{named(m)}\n{m.family}", *arms, *evidence, f"{m.design_effect:.2f}"])
    yield "<h2>Measures</h2>"
    yield _lines(table(headings, rows, numbers=headings[1:]))
    if tolerances := ", ".join(f"{m.name} {signed(m, m.tolerance)}" for m in found.measures if m.tolerance):
        yield f'<p class="note">Not held against the canary: {escape(tolerances)}.</p>'


def _features(features: Sequence[FeatureAssessment]) -> Iterator[str]:
    if not features:
        return
    ordered = sorted(features, key=lambda f: -f.log_e)
    headings = ("feature", "log E", "differs most in", "canary", "baseline", "log E of drift from the reference")
    rows: list[list[Cell]] = [
        [
            Mark(f"{f.name} (guilty)", "bad") if f.guilty else f.name,
            log_evidence(f.log_e),
            f.cell or NOTHING,
            f"{100 * f.canary:.1f} %",
            f"{100 * f.baseline:.1f} %",
            log_evidence(f.reference_log_e),
        ]
        for f in ordered[:_MANY_FEATURES]
    ]
    yield "<h2>Features, canary against baseline</h2>"
    yield _small(table(headings, rows, numbers=("log E", "canary", "baseline", headings[-1])))
    if len(ordered) > _MANY_FEATURES:
        yield f"<p>{len(ordered) - _MANY_FEATURES} more with less evidence are in the JSON.</p>"


def _small(html: str) -> str:
    """A table as wide as its cells: one with few columns is hard to read across a screen."""
    return f'<div class="small">{html}</div>'


def _lines(html: str) -> str:
    """A table whose cells may have a second line."""
    return f'<div class="lines">{html}</div>'


def _skipped(judged: JudgedCanary) -> Iterator[str]:
    if judged.skipped:
        yield "<h2>Left out</h2>"
        rows = [(reason, f"{steps:,}") for reason, steps in judged.skipped.items()]
        yield _small(table(("reason", "steps"), rows, numbers=("steps",)))
