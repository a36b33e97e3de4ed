"""The page a person opens first: what is measured, what is wrong, where to go on. Pure: page in, HTML out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape

from mlcanary import __version__
from mlcanary.exposition.page import Page

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--bad:#c0392b;--good:#2e8b57}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.sub{margin:.2rem 0 1rem;opacity:.75}
nav a{margin-right:1.2rem}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid var(--line);white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:var(--bad)}.good{color:var(--good)}
code{background:var(--soft);padding:.1rem .3rem;border-radius:3px;white-space:pre-wrap;word-break:break-all}
li{margin:.3rem 0}
"""

_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("window_predictions_per_second", "requests/s", ".1f"),
    ("window_labels", "labels", ".0f"),
    ("window_accuracy_ratio", "accuracy", ".4f"),
    ("window_precision_ratio", "precision", ".4f"),
    ("window_recall_ratio", "recall", ".4f"),
    ("window_f1_ratio", "F1", ".4f"),
    ("window_auc_ratio", "AUC", ".4f"),
    ("window_log_loss_nats", "log loss", ".4f"),
)
_ROW_LABELS = 3


def render_landing(page: Page, metrics_path: str) -> str:
    """The HTML of a page. Everything that comes from a log or a file is escaped."""
    when = datetime.fromtimestamp(page.made_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if page.made_at else "not yet"
    body = "".join([*_warnings(page), *_models(page), *_drift(page), *_sources(page), *_rejects(page)])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mlcanary exporter</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f'<h1>mlcanary exporter</h1><p class="sub">version {escape(__version__)} · as of {when}</p>'
        f'<nav><a href="{escape(metrics_path)}">metrics</a><a href="/-/healthy">healthy</a>'
        f'<a href="/-/ready">ready</a></nav>{body}</body></html>'
    )


def _warnings(page: Page) -> Iterator[str]:
    if page.warnings:
        items = "".join(f"<li>{escape(warning)}</li>" for warning in page.warnings)
        yield f"<h2>What is left to set up</h2><ul>{items}</ul>"


def _models(page: Page) -> Iterator[str]:
    """One row per model version and window."""
    values: dict[tuple[str, ...], dict[str, float]] = {}
    roles: dict[tuple[str, ...], str] = {}
    for family in page.families:
        name = family.spec.name.removeprefix("mlcanary_")
        if name == "model_info":
            roles = {s.labels[:2]: s.labels[2] for s in family.samples}
        for sample in family.samples if any(name == figure for figure, _, _ in _FIGURES) else ():
            values.setdefault(sample.labels[:_ROW_LABELS], {})[name] = sample.value
    yield "<h2>Models</h2>"
    if not values:
        yield "<p>No prediction has been read yet. Check the sources below.</p>"
        return
    titles = "".join(f'<th class="n">{title}</th>' for _, title, _ in _FIGURES)
    yield f'<div class="scroll"><table><tr><th>model</th><th>version</th><th>role</th><th>window</th>{titles}</tr>'
    for (model, version, window), found in values.items():
        cells = "".join(
            f'<td class="n">{format(found[name], spec) if name in found else "–"}</td>' for name, _, spec in _FIGURES
        )
        role = roles.get((model, version), "")
        yield (
            f"<tr><td>{escape(model)}</td><td>{escape(version)}</td><td>{escape(role)}</td>"
            f"<td>{escape(window)}</td>{cells}</tr>"
        )
    yield "</table></div>"


def _drift(page: Page) -> Iterator[str]:
    """The features that moved most, over the first window."""
    ks = next((f.samples for f in page.families if f.spec.name == "mlcanary_window_feature_ks_ratio"), [])
    if not ks:
        return
    shown = sorted(ks, key=lambda s: -s.value)[:10]
    yield "<h2>Features furthest from the reference</h2><table>"
    yield '<tr><th>model</th><th>version</th><th>window</th><th>feature</th><th class="n">KS distance</th></tr>'
    for sample in shown:
        cells = "".join(f"<td>{escape(label)}</td>" for label in sample.labels)
        yield f'<tr>{cells}<td class="n">{sample.value:.4f}</td></tr>'
    yield "</table>"


def _sources(page: Page) -> Iterator[str]:
    yield '<h2>Sources</h2><div class="scroll"><table><tr><th>source</th><th>state</th>'
    yield '<th class="n">lines</th><th class="n">bytes behind</th></tr>'
    for source in page.sources:
        state = '<span class="good">reading</span>' if source.up else f'<span class="bad">{escape(source.error)}</span>'
        yield (
            f'<tr><td>{escape(source.source)}</td><td>{state}</td><td class="n">{source.lines:,}</td>'
            f'<td class="n">{source.lag_bytes:,}</td></tr>'
        )
    yield "</table></div>"


def _rejects(page: Page) -> Iterator[str]:
    if page.rejects:
        yield "<h2>Last rejected lines</h2><ul>"
        for source, reject in reversed(page.rejects):
            yield (
                f"<li><b>{escape(reject.reason)}</b> in {escape(source)}: {escape(reject.detail)}<br>"
                f"<code>{escape(reject.excerpt)}</code></li>"
            )
        yield "</ul>"
