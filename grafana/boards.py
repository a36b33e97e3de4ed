"""The dashboards: which panels, which choices at the top, which links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import business_panels
import drift_panels
import fleet_panels
import handler_panels
import judge_panels
import pipeline_panels
import quality_panels
import release_panels
import resource_panels
from panels import BY_VERSION, CLASS, FEATURE, MODEL, PLACE, SOURCE, VERSION, Json, W, lay_out

RUNBOOKS = "https://github.com/mlcanary/mlcanary/blob/main/docs/runbooks.md"


@dataclass(frozen=True)
class Board:
    """One dashboard. `choices`: variables beside data source, cluster and namespace, in the order of their menus."""

    name: str
    title: str
    description: str
    sections: tuple[Callable[[], list[Json]], ...]
    choices: tuple[Json, ...] = ()


def chosen(name: str, label: str, values: str, *, many: bool, sort: int = 1) -> Json:
    """A variable whose values are asked of Prometheus. Where none exists, `All` matches the missing label too."""
    all_ = {"selected": True, "text": ["All"], "value": ["$__all"]} if many else {"text": "", "value": ""}
    every = {"allValue": ".*"} if many else {}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": values, "refId": name},
        "refresh": 2,
        "sort": sort,
        "multi": many,
        "includeAll": many,
        **every,
        "current": all_,
        "hide": 0,
    }


_WINDOWS = [{"text": text, "value": text, "selected": text == "5m"} for text in ("5m", "1h")]
_WINDOW: Json = {
    "type": "custom",
    "name": "window",
    "label": "Window",
    "query": "5m,1h",
    "options": _WINDOWS,
    "current": _WINDOWS[0],
    "hide": 0,
}
_PLACE: tuple[Json, ...] = (
    {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "hide": 0},
    chosen("cluster", "Cluster", "label_values(mlcanary_model_info, cluster)", many=True),
    chosen("namespace", "Namespace", 'label_values(mlcanary_model_info{cluster=~"$cluster"}, namespace)', many=True),
)
_MODEL = chosen("model", "Model", f"label_values(mlcanary_model_info{{{PLACE}}}, model)", many=False)
_VERSION = chosen("version", "Version", f"label_values(mlcanary_model_info{{{MODEL}}}, version)", many=True)
# Class names are the model's own; of 0 and 1, descending order chooses 1.
_CLASS = chosen("class", "Class", f"label_values({CLASS}recall{W}{{{MODEL}}}, class)", many=False, sort=2)
_FEATURE = chosen("feature", "Feature", f"label_values({FEATURE}psi1h{{{VERSION}}}, feature)", many=False)
_OF_MODEL = (_MODEL, _VERSION, _WINDOW)

BOARDS = (
    Board(
        "overview",
        "Overview",
        "All models at a glance: verdicts, evidence, traffic, drift, alerts.",
        (fleet_panels.glance, fleet_panels.releases, fleet_panels.models, fleet_panels.trends),
        (_WINDOW,),
    ),
    Board(
        "release",
        "Release",
        "Canary beside baseline: traffic, verdicts and the evidence behind them.",
        (release_panels.release, judge_panels.verdicts),
        _OF_MODEL,
    ),
    Board(
        "quality",
        "Quality",
        "How right a model is, from labels and before they come, and whether the labels can be trusted.",
        (
            quality_panels.quality,
            quality_panels.without_labels,
            quality_panels.other_tasks,
            quality_panels.labels,
        ),
        (*_OF_MODEL, _CLASS),
    ),
    Board(
        "drift",
        "Drift",
        "Which features moved, since when, and how one of them is distributed now.",
        (drift_panels.features, drift_panels.one_feature),
        (*_OF_MODEL, _FEATURE),
    ),
    Board(
        "business",
        "Business",
        "Clicks, conversions, money and users by version.",
        (business_panels.earnings, business_panels.mature, business_panels.users, business_panels.segments),
        _OF_MODEL,
    ),
    Board(
        "resources",
        "Resources",
        "Requests, latency, CPU, memory and GPUs of the model servers.",
        (resource_panels.requests, resource_panels.servers, resource_panels.gpus),
        _OF_MODEL,
    ),
    Board(
        "rollbacks",
        "Rollbacks",
        "What the handler decided, changed and proved, and what waits for a person.",
        (handler_panels.rollbacks, handler_panels.steps_up),
        (_MODEL, _VERSION),
    ),
    Board(
        "pipeline",
        "Pipeline",
        "Is the measurement itself sound? Exporters, their logs, labels and the judge.",
        (pipeline_panels.exporters, pipeline_panels.intake, pipeline_panels.judges),
        (_MODEL,),
    ),
)


def annotation(name: str, color: str, expr: str, title: str, text: str) -> Json:
    """Marks on all time panels, wherever the query gives a value."""
    return {"name": name, "datasource": SOURCE, "enable": True, "iconColor": color, "expr": expr, "step": "60s"} | {
        "titleFormat": title,
        "textFormat": text,
        "useValueForTime": False,
    }


def marks(reach: str) -> list[Json]:
    """Rollbacks, alerts and changes of role, in reach of these labels."""
    roles = f"max by ({BY_VERSION}, role) (mlcanary_model_info{{{reach}}}"
    firing = f'ALERTS{{{reach}, alertstate="firing", alertname=~"MLCanary.*"}}'
    ended = f"increase(mlcanary_rollbacks_total{{{reach}}}[$__interval]) > 0"
    return [
        annotation("Rollbacks", "purple", ended, "Rollback: {{outcome}}", "target {{target}}"),
        annotation("Alerts", "red", firing, "{{alertname}}", "{{model}} {{version}} {{window}} {{feature}}"),
        annotation(
            "Roles", "blue", f"{roles}) unless {roles} offset 1m)", "{{version}} is {{role}}", "model {{model}}"
        ),
    ]


def link(title: str, kind: str, tooltip: str, **more: Any) -> Json:
    """A link at the top of a dashboard."""
    none = {"tags": [], "asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": False}
    return {"title": title, "type": kind, "tooltip": tooltip, "icon": "", **none, **more}


def document(board: Board) -> Json:
    """The whole dashboard."""
    runbooks = link(
        "Runbooks", "link", "What each alert means and what to do", icon="doc", targetBlank=True, url=RUNBOOKS
    )
    others = link("mlcanary", "dashboards", "The other dashboards", tags=["mlcanary"], asDropdown=True)
    return {
        "uid": f"mlcanary-{board.name}",
        "title": f"mlcanary / {board.title}",
        "description": board.description,
        "tags": ["mlcanary"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [runbooks, {**others, "keepTime": True, "includeVars": True}],
        "annotations": {"list": marks(MODEL if _MODEL in board.choices else PLACE)},
        "templating": {"list": [*_PLACE, *board.choices]},
        "panels": lay_out([panel for section in board.sections for panel in section()]),
    }
