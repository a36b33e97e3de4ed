"""Queries and panels in the JSON of Grafana. Every query reads the data source that is chosen at the top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PLACE = 'cluster=~"$cluster", namespace=~"$namespace"'
MODEL = f'{PLACE}, model="$model"'
VERSION = f'{MODEL}, version=~"$version"'
BY_MODEL = "cluster, namespace, model"
BY_VERSION = f"{BY_MODEL}, version"
LABELED, SCORE = "model_version:mlcanary_labeled_predictions:", "model_version:mlcanary_labeled_score:"
CLASS, FEATURE = "model_version_class:mlcanary_labeled_predictions:", "model_version_feature:mlcanary_feature:"
PREDICTIONS, ERRORS = "model_version:mlcanary_predictions:", "model_version:mlcanary_prediction_errors:"
LATENCY, LOSS = "model_version:mlcanary_prediction_latency_seconds:", "model_version:mlcanary_log_loss:"
COVERAGE = "model_version:mlcanary_label_joins:coverage"
EVENT = "model_version_event:mlcanary_business_"
LIMITS = "model_objective:mlcanary_objective_threshold:max"
FEATURE_LIMITS = "model_feature_objective:mlcanary_feature_objective_threshold:max"
W = "${window}"
NOTABLE = 20
"""So many lines of exporters are shown where there may be hundreds."""
_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def over_hour(recorded: str, labels: str = VERSION) -> str:
    """A recorded series over an hour, whatever window is chosen: 5 minutes hold too few values, or cost too much."""
    return f"{recorded}1h{{{labels}}}"


def of_version(recorded: str, labels: str = VERSION) -> str:
    """A recorded series of the chosen versions over the chosen window."""
    return f"{recorded}{W}{{{labels}}}"


def limit(objective: str) -> str:
    """A limit of the model."""
    return f'{LIMITS}{{{MODEL}, objective=~"{objective}"}}'


def own_limits(objective: str, labels: str = MODEL) -> str:
    """The limits of the features that have one of their own."""
    return f'{FEATURE_LIMITS}{{{labels}, objective="{objective}"}}'


def limit_of_feature(objective: str, labels: str) -> str:
    """The limit of the feature that `labels` choose: its own, else that of the model."""
    return f"{own_limits(objective, labels)} or on ({BY_MODEL}, objective) {limit(objective)}"


def limit_beside_baseline(recorded: str, sign: str, objective: str) -> str:
    """Where the canary would be too far from the live baseline."""
    role = f'and on ({BY_VERSION}) mlcanary_model_info{{role="baseline"}}'
    live = f"max by ({BY_MODEL}) ({of_version(recorded, MODEL)} {role})"
    return f"{live} {sign} on ({BY_MODEL}) group_right () {limit(objective)}"


def quantile_of(histogram: str, q: float) -> str:
    """A quantile of a histogram that is not recorded."""
    rate = f"sum by (version, le) (rate({histogram}_bucket{{{VERSION}}}[$__rate_interval]))"
    return f"histogram_quantile({q}, {rate}) >= 0"


def per_second(metric: str, by: str, labels: str = PLACE) -> str:
    """How fast a counter grows."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def grown(metric: str, by: str, labels: str = PLACE) -> str:
    """By how much a counter grew, where it did."""
    return f"sum by ({by}) (increase({metric}{{{labels}}}[$__rate_interval])) > 0"


def query(expr: str, legend: str = "{{version}}", **more: Any) -> Json:
    """One query of a panel."""
    return {"datasource": SOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend, "range": True, **more}


def limit_query(expr: str) -> Json:
    """A limit, drawn by the override in `lines`."""
    return query(expr, "limit {{objective}}")


def now(expr: str, **more: Any) -> Json:
    """One query for the present moment, as a table."""
    return query(expr, "__auto", instant=True, range=False, format="table", **more)


def latest(expr: str, legend: str = "{{version}}") -> Json:
    """One query for the present moment, as series."""
    return query(expr, legend, instant=True, range=False)


def top(of: Callable[[str], str], by: str, count: int = 10) -> str:
    """The largest series at the end of the range: ranked once, so that no line comes and goes.

    `of`: the query, with its argument behind every series that it selects.
    """
    return f"{of('')} and on ({by}) topk({count}, max by ({by}) ({of(' @ end()')}))"


def notable(aggregate: str, metric: str, by: str = "instance", *, least: bool = False, rate: bool = False) -> str:
    """Of many exporters the lines that were highest, or lowest, at some time of the range, also if they ended since.

    Ranked once, over the whole range. `rate`: of a counter, how fast it grows.
    """
    chosen = f"{metric}{{{PLACE}}}"
    now = f"rate({chosen}[$__rate_interval])" if rate else chosen
    over = "rate" if rate else "min_over_time" if least else "max_over_time"
    extreme = f"{aggregate} by ({by}) ({over}({chosen}[$__range] @ end()))"
    return f"{aggregate} by ({by}) ({now}) and on ({by}) {'bottomk' if least else 'topk'}({NOTABLE}, {extreme})"


def steps(*pairs: tuple[float | None, str]) -> Json:
    """Colours from these values on; None is the lowest."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in pairs]}


def panel(kind: str, title: str, description: str, width: int, height: int, queries: list[Json], **more: Any) -> Json:
    """A panel without a place; `lay_out` gives it one."""
    targets = [{**target, "refId": chr(ord("A") + i)} for i, target in enumerate(queries)]
    place = {"w": width, "h": height}
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "gridPos": place} | {
        "targets": targets,
        **more,
    }


def lines(
    title: str, description: str, unit: str, *queries: Json, width: int = 8, height: int = 9, **custom: Any
) -> Json:
    """Lines over time. `noValue`: why this panel alone may be empty, where its section cannot tell."""
    limits = {
        "matcher": {"id": "byRegexp", "options": "/^limit/"},
        "properties": [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": "#8e8e8e"}},
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.lineWidth", "value": 1},
        ],
    }
    bounds: dict[str, object] = {key: custom.pop(key) for key in ("min", "max", "decimals", "noValue") if key in custom}
    defaults = {
        "unit": unit,
        "color": {"mode": "palette-classic-by-name"},
        **bounds,
        "custom": {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "showPoints": "never", "spanNulls": False}
        | custom,
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries",
        title,
        description,
        width,
        height,
        list(queries),
        fieldConfig={"defaults": defaults, "overrides": [limits]},
        options=options,
    )


def areas(title: str, description: str, unit: str, *queries: Json, width: int = 8, **bounds: Any) -> Json:
    """Stacked areas over time from zero up: parts of a whole."""
    return lines(
        title,
        description,
        unit,
        *queries,
        width=width,
        fillOpacity=60,
        stacking={"mode": "normal"},
        lineWidth=1,
        min=0,
        **bounds,
    )


def number(title: str, description: str, unit: str, expr: str, *at: tuple[float | None, str]) -> Json:
    """One number of now, coloured by steps."""
    return panel(
        "stat",
        title,
        description,
        4,
        4,
        [latest(expr)],
        fieldConfig={"defaults": {"unit": unit, "thresholds": steps(*at)}, "overrides": []},
        options={
            "reduceOptions": _LAST,
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "textMode": "auto",
            "orientation": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
    )


_WIDE = tuple(
    {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "custom.minWidth", "value": 160}]}
    for name in ("feature", "measure", "model")
)
"""Names that people choose are long."""


def table(
    title: str,
    description: str,
    width: int,
    height: int,
    sort: str,
    by: str,
    *columns: tuple[str, str, str],
    shown: tuple[str, ...] = (),
    descending: bool = True,
    overrides: tuple[Json, ...] = (),
) -> Json:
    """A table of now, one row per value of `by`. A column is (name, unit, query); without a name only its labels show.

    `shown`: which of cluster, namespace and model are columns too, since more than one is chosen.

    The queries are aggregated to `by`: rows are merged over all columns that frames share, and the names of the
    recorded series, which are columns too, would keep them apart.
    """
    values = {f"Value #{chr(ord('A') + i)}": name for i, (name, _, _) in enumerate(columns)}
    names = {value: name for value, name in values.items() if name}
    place = [label for label in ("cluster", "namespace", "model") if label not in shown]
    hidden = ["Time", *place, *(value for value, name in values.items() if not name)]
    units = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit, _ in columns
        if name
    ]
    return panel(
        "table",
        title,
        description,
        width,
        height,
        [now(f"max by ({by}) ({expr})" if name else expr) for name, _, expr in columns],
        fieldConfig={
            "defaults": {"custom": {"align": "auto", "minWidth": 90, "filterable": True, "inspect": False}},
            "overrides": [*units, *_WIDE, *overrides],
        },
        options={
            "showHeader": True,
            "frameIndex": 0,
            "cellHeight": "sm",
            "sortBy": [{"displayName": sort, "desc": descending}],
        },
        transformations=[
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": dict.fromkeys(hidden, True), "renameByName": names}},
        ],
    )


def bars(
    title: str, description: str, unit: str, at: Json, *queries: Json, width: int = 8, height: int = 11, **bounds: Any
) -> Json:
    """Bars of now, coloured by steps."""
    return panel(
        "bargauge",
        title,
        description,
        width,
        height,
        list(queries),
        fieldConfig={
            "defaults": {
                "unit": unit,
                "decimals": 2,
                "min": 0,
                "color": {"mode": "thresholds"},
                "thresholds": at,
                **bounds,
            },
            "overrides": [],
        },
        options={
            "orientation": "horizontal",
            "displayMode": "gradient",
            "reduceOptions": _LAST,
            "showUnfilled": True,
            "valueMode": "color",
            "namePlacement": "auto",
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 300,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        },
    )


def section(title: str, empty: str, *panels: Json) -> list[Json]:
    """A heading and its panels. `empty`: why there may be no data, which a panel over time then says."""
    for each in panels:
        if each["type"] in {"timeseries", "bargauge"}:
            each["fieldConfig"]["defaults"].setdefault("noValue", empty)
    heading = {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}
    return [heading, *panels]


def colored(column: str, at: Json) -> Json:
    """An override that colours the cells of a column."""
    cells = {"type": "color-background", "mode": "gradient"}
    properties = [{"id": "custom.cellOptions", "value": cells}, {"id": "thresholds", "value": at}]
    return {"matcher": {"id": "byName", "options": column}, "properties": properties}


def named(column: str, **colors: str) -> Json:
    """An override that colours the cells of a column by their text."""
    options = {text: {"color": color, "index": i} for i, (text, color) in enumerate(colors.items())}
    properties = [
        {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
        {"id": "mappings", "value": [{"type": "value", "options": options}]},
    ]
    return {"matcher": {"id": "byName", "options": column}, "properties": properties}


def gauged(column: str) -> Json:
    """An override that draws the cells of a column, shares of a whole, as bars."""
    cells = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    properties = [
        {"id": "custom.cellOptions", "value": cells},
        {"id": "min", "value": 0},
        {"id": "max", "value": 1},
    ]
    return {"matcher": {"id": "byName", "options": column}, "properties": properties}


def leading(column: str, board: str, variable: str) -> Json:
    """An override that leads from a cell to another dashboard, about what the cell names."""
    kept = "${datasource:queryparam}&${cluster:queryparam}&${namespace:queryparam}&${__url_time_range}"
    link = {
        "targetBlank": False,
        "title": f"{board}: ${{__value.text}}",
        "url": f"/d/mlcanary-{board}?var-{variable}=${{__value.text}}&{kept}",
    }
    return {"matcher": {"id": "byName", "options": column}, "properties": [{"id": "links", "value": [link]}]}


def lay_out(panels: list[Json]) -> list[Json]:
    """Place panels from left to right, row by row, and number them."""
    x = y = tallest = 0
    for number_, placed in enumerate(panels, 1):
        place = placed["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        placed |= {"id": number_, "gridPos": {"x": x, "y": y, **place}}
        x, tallest = x + place["w"], max(tallest, place["h"])
    return panels
