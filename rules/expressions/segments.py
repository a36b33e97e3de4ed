"""Figures per segment: the rules of the whole, over the counters of the segments.

Written by changing the names and the labels of the other modules' text, so that a figure is defined once. Kept are the
figures of `WANTED` and what they need. Quality of a segment is recorded only where it has enough labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rules.expressions import business, quality, ranking, regression, score, traffic

_LABELS = "model_version:mlcanary_labeled_predictions:count<W>"
_RESIDUALS = "model_version:mlcanary_residual_observations:rate<W> * <S>"
_RANKINGS = "max without (k) (model_version_k:mlcanary_ranking_requests:rate<W>) * <S>"

WANTED: Mapping[str, str] = {
    "model_version:mlcanary_predictions:rate<W>": "",
    "model_version:mlcanary_prediction_errors:ratio<W>": "",
    "model_version:mlcanary_clicks:ctr<W>": "",
    "model_version:mlcanary_conversions:cvr<W>": "",
    "model_version:mlcanary_conversions:per_prediction<W>": "",
    "model_version:mlcanary_conversion_value:per_prediction<W>": "",
    _LABELS: "",
    "model_version:mlcanary_labeled_predictions:accuracy<W>": _LABELS,
    "model_version_class:mlcanary_labeled_predictions:precision<W>": _LABELS,
    "model_version_class:mlcanary_labeled_predictions:recall<W>": _LABELS,
    "model_version_class:mlcanary_labeled_predictions:f1_<W>": _LABELS,
    "model_version:mlcanary_labeled_predictions:f1_macro<W>": _LABELS,
    "model_version:mlcanary_labeled_predictions:balanced_accuracy<W>": _LABELS,
    "model_version:mlcanary_log_loss:mean<W>": _LABELS,
    "model_version:mlcanary_brier_score:mean<W>": _LABELS,
    "model_version:mlcanary_labeled_score:auc<W>": _LABELS,
    "model_version:mlcanary_labeled_score:auc_error_bound<W>": _LABELS,
    "model_version:mlcanary_residual:mae<W>": _RESIDUALS,
    "model_version:mlcanary_residual:rmse<W>": _RESIDUALS,
    "model_version:mlcanary_residual:bias<W>": _RESIDUALS,
    "model_version_figure_k:mlcanary_ranking_figure:mean<W>": _RANKINGS,
}
"""Figures that segments have, each with what counts the labels that it needs."""

_WHOLE_ONLY = "mlcanary_label_joins_total"
"""Joins are not told apart by segment; a line that reads them is an alternative that segments do not have."""

_HEAD = """
# The rules of the whole once more, per segment and value. Quality needs `segment_min_labels` labels in the window.
"""


def _rules() -> dict[str, str]:
    """Expressions of the whole by name, in order."""
    found: dict[str, str] = {}
    name = ""
    for line in "".join(m.TEXT for m in (traffic, quality, score, regression, ranking, business)).splitlines():
        if line.endswith(" :="):
            name = line.removesuffix(" :=")
            found[name] = ""
        elif line.strip() and not line.startswith("#") and _WHOLE_ONLY not in line:
            found[name] += f"{line}\n"
    return found


def _reads(expression: str) -> set[str]:
    return set(re.findall(r"\bmodel_version[a-z_]*:mlcanary_\w+:\w+<W>", expression))


def _needed(rules: Mapping[str, str]) -> set[str]:
    """The wanted figures and everything that they read, however far down."""
    needed = set(WANTED)
    while more := {name for known in needed for name in _reads(rules[known])} - needed:
        needed |= more
    return needed


def _segmented(text: str) -> str:
    text = re.sub(r"\bmodel_version([a-z_]*):mlcanary_", r"model_version_segment_value\1:mlcanary_segment_", text)
    text = re.sub(r"(?<!:)\bmlcanary_(?!business_event_info|segment_)(\w+)", r"mlcanary_segment_\1", text)
    return text.replace("<version>", "<version>, segment, value")


def _text() -> Iterator[str]:
    rules = _rules()
    needed = _needed(rules)
    for name, expression in rules.items():
        if name not in needed:
            continue
        yield _segmented(f"{name} :=\n{_gated(expression, WANTED.get(name, ''))}")


def _gated(expression: str, gate: str) -> str:
    """Only where there are enough labels, if they matter."""
    if not gate:
        return expression
    inner = expression.replace("\n    ", "\n      ")
    enough = f'({gate} >= <limit>{{objective="segment_min_labels"}})'
    return f"    (\n  {inner}    )\n    and on (<version>)\n      {enough}\n"


TEXT = _HEAD + "".join(_text())
