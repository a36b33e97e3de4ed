"""The page a person opens first: what is measured, what is wrong, where to go on. Pure: page in, HTML out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape

from mlcanary import __version__
from mlcanary.catalog import OTHER
from mlcanary.compiled import way_in_use
from mlcanary.exposition.page import Page
from mlcanary.measures.beyond_chance import FIGURES, times_chance, words
from mlcanary.webserver.html import GOOD_STATE, document, table

_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("window_predictions_per_second", "requests/s", ".1f"),
    ("window_labels", "labels", ".0f"),
    ("window_accuracy_ratio", "accuracy", ".4f"),
    ("window_precision_ratio", "precision", ".4f"),
    ("window_recall_ratio", "recall", ".4f"),
    ("window_f1_ratio", "F1", ".4f"),
    ("window_auc_ratio", "AUC", ".4f"),
    ("window_log_loss_nats", "log loss", ".4f"),
    ("window_auc_macro_ratio", "macro AUC", ".4f"),
    ("window_mean_absolute_error", "MAE", ".4g"),
    ("window_root_mean_squared_error", "RMSE", ".4g"),
    ("window_r2_ratio", "R²", ".4f"),
    ("window_reciprocal_rank_ratio", "MRR", ".4f"),
    ("window_ctr_ratio", "CTR", ".4f"),
    ("window_cvr_ratio", "CVR", ".4f"),
    ("window_estimated_accuracy_ratio", "accuracy, estimated", ".4f"),
)
"""What the table of models shows, as far as there is any: a task has its own figures."""
_BOUND = "window_auc_error_bound_ratio"
_ROW_LABELS = 3
_OF_FEATURE = "mlcanary_window_feature_"
_HAS_REFERENCE = {"psi", "missing_delta_ratio"}
_MOST_FEATURES = 10
_INFO = "mlcanary_model_info"
_LIMITED = "mlcanary_series_limited_total"

SHOWN = frozenset(
    {
        _INFO,
        _LIMITED,
        f"mlcanary_{_BOUND}",
        *(f"mlcanary_{figure}" for figure, _, _ in _FIGURES),
        *(f"{_OF_FEATURE}{figure}" for figure in FIGURES),
    }
)
"""Families that the page is made of."""


def render_landing(page: Page, metrics_path: str) -> str:
    """The HTML of a page. Everything that comes from a log or a file is escaped."""
    when = _time(page.made_at) if page.made_at else "not yet"
    sections = (_refused, _warnings, _dropped, _limited, _models, _drift, _sources, _peers, _rejects)
    body = "".join(part for section in sections for part in section(page))
    links = (("metrics", metrics_path), ("healthy", "/-/healthy"), ("ready", "/-/ready"))
    return document("mlcanary exporter", f"version {__version__} · {way_in_use()} · as of {when}", links, body)


def _time(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _refused(page: Page) -> Iterator[str]:
    if page.refused:
        yield f'<p class="bad">{escape(page.refused)}</p>'


def _warnings(page: Page) -> Iterator[str]:
    if page.warnings:
        items = "".join(f"<li>{escape(warning)}</li>" for warning in page.warnings)
        yield f"<h2>What is left to set up</h2><ul>{items}</ul>"


_LEFT_OUT = {
    "segments": "figures per segment",
    "estimates": "estimates without labels",
    "user_buckets": "user buckets, so intervals treat requests as independent",
    "feature_gauges": "gauges of single features",
    "joint_drift": "the classifier two-sample test",
    "features": "features, from the last one of the profile upwards",
}


def _dropped(page: Page) -> Iterator[str]:
    if page.dropped:
        rows = [(_LEFT_OUT[reason], f"{count:,}") for reason, count in page.dropped.items()]
        yield "<h2>Left out to keep limits.series</h2>"
        yield table(("what", "series"), rows, numbers=("series",))
        yield "<p>Raise limits.series and reload, or measure less. Until then it stays out.</p>"


def _limited(page: Page) -> Iterator[str]:
    """Names above a cap: without this nobody would look for a version among the others."""
    samples = [sample for family in page.families if family.spec.name == _LIMITED for sample in family.samples]
    rows = [(sample.labels[0], f"{sample.value:,.0f}") for sample in samples if sample.value]
    if rows:
        yield "<h2>Names above a cap</h2>"
        yield table(("what", "names"), rows, numbers=("names",))
        yield f"<p>They are counted together as <code>{OTHER}</code>, features and files not at all; see limits.</p>"


def _models(page: Page) -> Iterator[str]:
    """One row per model version and window, one table per task: each has its own figures."""
    values: dict[tuple[str, ...], dict[str, float]] = {}
    info: dict[tuple[str, ...], tuple[str, str]] = {}
    for family in page.families:
        name = family.spec.name.removeprefix("mlcanary_")
        if name == "model_info":
            info = {s.labels[:2]: (s.labels[2], s.labels[3]) for s in family.samples}
        for sample in family.samples if name == _BOUND or any(name == figure for figure, _, _ in _FIGURES) else ():
            values.setdefault(sample.labels[:_ROW_LABELS], {})[name] = sample.value
    if not values:
        yield "<h2>Models</h2><p>No prediction has been read yet. Check the sources below.</p>"
        return
    tasks = {key: info.get(key[:2], ("", ""))[1] for key in values}
    for task in dict.fromkeys(tasks.values()):
        yield f"<h2>Models{f', {escape(task)}' if len(set(tasks.values())) > 1 else ''}</h2>"
        yield _table_of({key: found for key, found in values.items() if tasks[key] == task}, info)


def _table_of(
    values: Mapping[tuple[str, ...], dict[str, float]], info: Mapping[tuple[str, ...], tuple[str, str]]
) -> str:
    figures = [figure for figure in _FIGURES if any(figure[0] in found for found in values.values())]
    rows = [
        (*key[:2], info.get(key[:2], ("", ""))[0], key[2], *(_figure(found, name, spec) for name, _, spec in figures))
        for key, found in values.items()
    ]
    titles = [title for _, title, _ in figures]
    return table(("model", "version", "role", "window", *titles), rows, numbers=titles)


def _figure(found: dict[str, float], name: str, spec: str) -> str:
    if name not in found:
        return "–"
    bound = found.get(_BOUND) if name == "window_auc_ratio" else None
    return format(found[name], spec) + (f" ±{bound:.4f}" if bound is not None else "")


def _drift(page: Page) -> Iterator[str]:
    """The features beyond chance, one row each, in the window in which it is furthest; or that there is none."""
    figures: dict[tuple[str, ...], dict[str, float]] = {}
    for family in page.families:
        if (figure := family.spec.name.removeprefix(_OF_FEATURE)) in FIGURES and figure != family.spec.name:
            for sample in family.samples:
                figures.setdefault(sample.labels, {})[figure] = sample.value
    if not any(_HAS_REFERENCE & found.keys() for found in figures.values()):
        return
    furthest: dict[tuple[str, ...], tuple[float, str]] = {}
    for (model, version, window, feature), found in figures.items():
        key, times = (model, version, feature), times_chance(found)
        if times > furthest.get(key, (1.0, ""))[0]:
            furthest[key] = times, window
    rows = [
        (model, version, feature, window, ", ".join(words(figures[model, version, window, feature])), f"{times:,.1f}")
        for (model, version, feature), (times, window) in sorted(furthest.items(), key=lambda each: -each[1][0])
    ]
    yield "<h2>Features furthest from the reference</h2>"
    if not rows:
        yield "<p>None lies further from the reference than chance takes it.</p>"
        return
    headings = ("model", "version", "feature", "window", "what", "times chance")
    yield table(headings, rows[:_MOST_FEATURES], numbers=("times chance",), long=("what",))
    more = f" {len(rows) - _MOST_FEATURES:,} more are not shown." if len(rows) > _MOST_FEATURES else ""
    listed = "Only what chance does at most once in 100,000 windows is listed, in the window where it is clearest."
    yield f"<p>{listed}{more}</p>"


def _sources(page: Page) -> Iterator[str]:
    yield "<h2>Sources</h2>"
    rows = [(s.source, GOOD_STATE if s.up else s.error, f"{s.lines:,}", f"{s.lag_bytes:,}") for s in page.sources]
    headings = ("source", "state", "lines", "bytes behind")
    yield table(headings, rows, numbers=headings[2:], states=("state",))


def _peers(page: Page) -> Iterator[str]:
    if not page.peers:
        return
    rows = [
        (p.address, GOOD_STATE if p.up else "failed", "never" if p.read_at is None else _time(p.read_at), p.problem)
        for p in page.peers
    ]
    yield "<h2>Peers whose users are merged</h2>"
    yield table(("peer", "state", "last read", "problem"), rows, long=("problem",), states=("state",))


def _rejects(page: Page) -> Iterator[str]:
    if page.rejects:
        yield "<h2>Last rejected lines</h2><ul>"
        for source, reject in reversed(page.rejects):
            yield (
                f"<li><b>{escape(reject.reason)}</b> in {escape(source)}: {escape(reject.detail)}<br>"
                f"<code>{escape(reject.excerpt)}</code></li>"
            )
        yield "</ul>"
