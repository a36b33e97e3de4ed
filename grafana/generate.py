"""Writes `dashboards/overview.json`: `python grafana/generate.py [FOLDER]`. A test demands an empty diff.

Conventions
- Every figure of a version comes from a recorded series of the window chosen in the variable `window`.
- Colours go by name, so that a version has one colour in all panels; limits are grey and dashed.
- A table or a bar shows the top ten of now; a line never uses `topk` of its own moment, which would flicker.
- What belongs to one sidecar or to the handler is matched by `cluster` and `namespace` alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from judge_panels import verdicts
from model_panels import features, labels, latency_and_business, quality, release
from panels import BY_VERSION, CLASS, MODEL, PLACE, SOURCE, Json, W, lay_out
from system_panels import exporters, rollbacks


def chosen(name: str, label: str, values: str, *, many: bool, sort: int = 1) -> Json:
    """A variable whose values are asked of Prometheus. Where none exists, `All` matches the missing label too."""
    all_ = {"selected": True, "text": ["All"], "value": ["$__all"]} if many else {}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": values, "refId": name},
        "definition": values,
        "refresh": 2,
        "sort": sort,
        "multi": many,
        "includeAll": many,
        "allValue": ".*" if many else None,
        "current": all_,
        "hide": 0,
    }


def variables() -> list[Json]:
    """What can be chosen at the top."""
    windows = [{"text": text, "value": text, "selected": text == "5m"} for text in ("5m", "1h")]
    return [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "hide": 0},
        chosen("cluster", "Cluster", "label_values(mlcanary_model_info, cluster)", many=True),
        chosen(
            "namespace", "Namespace", 'label_values(mlcanary_model_info{cluster=~"$cluster"}, namespace)', many=True
        ),
        chosen("model", "Model", f"label_values(mlcanary_model_info{{{PLACE}}}, model)", many=False),
        chosen("version", "Version", f"label_values(mlcanary_model_info{{{MODEL}}}, version)", many=True),
        {
            "type": "custom",
            "name": "window",
            "label": "Window",
            "query": "5m,1h",
            "options": windows,
            "current": windows[0],
            "hide": 0,
        },
        # Class names are the model's own; of 0 and 1, descending order chooses 1.
        chosen("class", "Class", f"label_values({CLASS}recall{W}{{{MODEL}}}, class)", many=False, sort=2),
    ]


def annotation(name: str, color: str, expr: str, title: str, text: str) -> Json:
    """Marks on all time panels, wherever the query gives a value."""
    return {"name": name, "datasource": SOURCE, "enable": True, "iconColor": color, "expr": expr, "step": "60s"} | {
        "titleFormat": title,
        "textFormat": text,
        "useValueForTime": False,
    }


def marks() -> list[Json]:
    """Rollbacks, alerts and changes of role."""
    roles = f"max by ({BY_VERSION}, role) (mlcanary_model_info{{{MODEL}}}"
    firing = f'ALERTS{{{MODEL}, alertstate="firing", alertname=~"MLCanary.*"}}'
    ended = f"increase(mlcanary_rollbacks_total{{{MODEL}}}[$__interval]) > 0"
    return [
        annotation("Rollbacks", "purple", ended, "Rollback: {{outcome}}", "target {{target}}"),
        annotation("Alerts", "red", firing, "{{alertname}}", "{{version}} {{window}} {{feature}}"),
        annotation(
            "Roles", "blue", f"{roles}) unless {roles} offset 1m)", "{{version}} is {{role}}", "model {{model}}"
        ),
    ]


def dashboard() -> Json:
    """The whole document."""
    sections = (
        release(),
        verdicts(),
        quality(),
        labels(),
        features(),
        latency_and_business(),
        rollbacks(),
        exporters(),
    )
    readme = {"title": "Runbooks", "type": "link", "icon": "doc", "targetBlank": True}
    related = {"title": "mlcanary", "type": "dashboards", "tags": ["mlcanary"], "asDropdown": True, "keepTime": True}
    return {
        "uid": "mlcanary-overview",
        "title": "mlcanary / Overview",
        "description": "Canary beside baseline: traffic, verdicts, quality, labels, features, rollbacks, exporters.",
        "tags": ["mlcanary"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [{**readme, "url": "https://github.com/mlcanary/mlcanary/blob/main/README.md#runbooks"}, related],
        "annotations": {"list": marks()},
        "templating": {"list": variables()},
        "panels": lay_out([panel_ for section in sections for panel_ in section]),
    }


def render() -> str:
    """The text of `dashboards/overview.json`."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("dashboards")
    folder.joinpath("overview.json").write_text(render(), encoding="utf-8")
