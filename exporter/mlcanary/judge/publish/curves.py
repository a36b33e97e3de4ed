"""Curves of evidence against time as inline SVG: no script, readable in light and dark, told in words as well. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from mlcanary.judge.publish.figures import log_evidence, when

STYLE = """
:root{--axis:#8886;--bad:#c0392b;--good:#237a4b;--c0:#0b66b2;--c1:#b35900;--c2:#12805c;--c3:#9c3587;--c4:#6b6100}
@media(prefers-color-scheme:dark){:root{--bad:#ff7b6b;--good:#5fce96;--c0:#63b3f3;--c1:#f5a04b;--c2:#4cc79a;--c3:#e68ad3;--c4:#d3c44a}}
.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,29rem),1fr));gap:1rem 2rem}
figure{margin:0}figcaption{font-weight:600}figure svg.chart{width:100%;height:auto;display:block}
.chart text{font:12.5px system-ui,sans-serif;fill:currentColor}.chart .axis{stroke:var(--axis);stroke-width:1}
.chart .limit{stroke-width:1.5;stroke-dasharray:7 4}
.chart line.bad{stroke:var(--bad)}.chart line.good{stroke:var(--good)}
.chart text{paint-order:stroke;stroke:Canvas;stroke-width:4px;stroke-linejoin:round}
.chart text.bad{fill:var(--bad)}.chart text.good{fill:var(--good)}
.chart .since{stroke:currentColor;stroke-width:1;stroke-dasharray:2 3;opacity:.7}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1);stroke-dasharray:9 3}.c2{stroke:var(--c2);stroke-dasharray:5 3}
.c3{stroke:var(--c3);stroke-dasharray:10 3 2 3}.c4{stroke:var(--c4);stroke-dasharray:2 3}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;margin:.3rem 0 0;padding:0}
.legend li{margin:0;white-space:nowrap}.legend svg{width:2rem;height:.6rem;margin-right:.4rem}
"""
"""For the page that holds the charts."""

COLOURS = 5
_WIDTH, _HEIGHT = 480.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 10.0, 20.0, 24.0
_COLUMNS = 200
_LABEL_WIDTH = 150.0
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Line:
    """Log evidence by time: (Unix seconds, value) in order of time. The first line of a chart has the first colour."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold, drawn across the chart; `good`: it is good to be over it."""

    name: str
    value: float
    good: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where times and values lie in the drawing."""

    first: float
    last: float
    low: float
    high: float

    def x(self, at: float) -> float:
        """Horizontal place."""
        return _LEFT + (at - self.first) / (self.last - self.first) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Vertical place; what lies outside is drawn on the edge."""
        inside = min(max(value, self.low), self.high)
        return _TOP + (self.high - inside) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)


def chart(title: str, lines: Sequence[Line], limits: Sequence[Limit], since: tuple[float, str] | None = None) -> str:
    """A figure with its legend. `since`: a moment worth a mark, and its name.

    Values far above the thresholds are drawn on the upper edge: what matters is when a line crossed. The legend has the
    newest values. At most 5 lines differ in colour and dashes.
    """
    caption = f"<figcaption>{escape(title)}</figcaption>"
    if not any(len(line.points) > 1 for line in lines):
        return f"<figure>{caption}<p>Too little has been judged for a curve.</p></figure>"
    frame = _frame(lines, limits)
    drawing = [*_values(frame), *_times(frame)]
    for number, line in enumerate(lines):
        path = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in _thinned(line.points))
        drawing.append(f'<polyline class="line c{number % COLOURS}" points="{path}"/>')
    drawing += [*_limits(frame, limits), *_since(frame, since)]
    words = escape(_words(title, lines, limits, since))
    svg = (
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{words}">'
        f"<title>{words}</title>{''.join(drawing)}</svg>"
    )
    return f"<figure>{caption}{svg}{_legend(lines)}</figure>"


def _frame(lines: Sequence[Line], limits: Sequence[Limit]) -> _Frame:
    times = [at for line in lines for at, _ in line.points]
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    top = max([limit.value for limit in limits] or [5.0])
    high = min(max([top, *values]) + 0.12 * top, 3.0 * top)
    low = max(min([0.0, *values]), -top) - 0.05 * top
    first, last = min(times), max(times)
    return _Frame(first, max(last, first + 1.0), low, high)


def _values(frame: _Frame) -> Iterator[str]:
    span = frame.high - frame.low
    size = 10.0 ** math.floor(math.log10(span / 5))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= 6)
    for index in range(math.ceil(frame.low / step), math.floor(frame.high / step) + 1):
        y = frame.y(index * step)
        text = f"{index * step:g}".replace("-", "\u2212")
        yield f'<line class="axis" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6:g}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'


def _times(frame: _Frame) -> Iterator[str]:
    span = frame.last - frame.first
    step = next((s for s in _SECONDS if span / s <= 5), _SECONDS[-1] * math.ceil(span / _SECONDS[-1] / 5))
    for index in range(math.ceil(frame.first / step), math.floor(frame.last / step) + 1):
        at = index * step
        x = min(max(frame.x(at), _LEFT + 14), _WIDTH - _RIGHT - 16)
        form = "%-d %b" if at % _DAY == 0 else "%H:%M" if step >= 60 else "%H:%M:%S"
        text = datetime.fromtimestamp(at, UTC).strftime(form)
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 6:g}" text-anchor="middle">{text}</text>'


def _limits(frame: _Frame, limits: Sequence[Limit]) -> Iterator[str]:
    for number, limit in enumerate(sorted(limits, key=lambda limit: limit.value)):
        y, x = frame.y(limit.value), _LEFT + 4 + number % 3 * _LABEL_WIDTH
        kind = "good" if limit.good else "bad"
        yield f'<line class="limit {kind}" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="{kind}" x="{x:g}" y="{y - 5:.1f}">{escape(limit.name)} {limit.value:.2f}</text>'


def _since(frame: _Frame, since: tuple[float, str] | None) -> Iterator[str]:
    if since is not None and frame.first <= since[0] <= frame.last:
        x = frame.x(since[0])
        anchor = "end" if x > _WIDTH / 2 else "start"
        shift = -4 if anchor == "end" else 4
        yield f'<line class="since" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8:g}" y2="{_HEIGHT - _BOTTOM:g}"/>'
        yield f'<text x="{x + shift:.1f}" y="{_TOP - 6:g}" text-anchor="{anchor}">{escape(since[1])}</text>'


def _legend(lines: Sequence[Line]) -> str:
    items = []
    for number, line in enumerate(lines):
        swatch = (
            f'<svg viewBox="0 0 32 10" aria-hidden="true"><path class="line c{number % COLOURS}" d="M0 5H32"/></svg>'
        )
        items.append(f"<li>{swatch}{escape(line.name)} <b>{log_evidence(_newest(line))}</b></li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def _newest(line: Line) -> float | None:
    return line.points[-1][1] if line.points else None


def _words(title: str, lines: Sequence[Line], limits: Sequence[Limit], since: tuple[float, str] | None) -> str:
    times = [at for line in lines for at, _ in line.points]
    newest = ", ".join(f"{line.name} {log_evidence(_newest(line))}" for line in lines)
    over = "".join(f"; {limit.name} {limit.value:.2f}" for limit in limits)
    mark = f" {since[1]} {when(since[0])}." if since else ""
    return f"{title}, {when(min(times))} to {when(max(times))}. Now: {newest}{over}.{mark}"


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most two points for a column of the drawing: its least and its greatest value, so that no crossing is lost."""
    known = [point for point in points if math.isfinite(point[1])]
    if len(known) <= 2 * _COLUMNS:
        return known
    size = len(known) / _COLUMNS
    kept = [known[0]]
    for column in range(_COLUMNS):
        part = known[int(column * size) : int((column + 1) * size)]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return [*kept, known[-1]]
