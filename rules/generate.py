"""Writes the `*.recording.yml` next to itself: `python rules/generate.py`. A test demands an empty diff.

The rules are written once, in `expressions/`, and expanded for each window. In the text, `NAME := EXPRESSION` is one
recorded series; `<W>` is the window, `<S>` its seconds; the other `<...>` are the words of `WORDS`.

Laws that every expression keeps
- Counters of all sidecars are summed before anything is divided: a ratio is never averaged.
- A divisor passes `> 0` first: without data there is no series, never NaN and never 0.
- A variance is clamped at 0: rounding takes it a little below where all values are alike, and its root would be NaN.
- A z-score may be infinite, a difference without any noise. `>= -Inf` drops NaN, which is 0/0: nothing differs.
- Both sides of a comparison are aggregated to the labels that are matched, so that two sidecars which
  disagree on a role cannot abort the rule for every model.
- Only what Prometheus 2.42 knows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from rules.expressions import (
    business,
    comparison,
    drift,
    estimated,
    facts,
    joint_drift,
    labels,
    multiclass,
    quality,
    ranking,
    regression,
    score,
    segments,
    traffic,
    users,
    values,
)

WINDOWS: Mapping[str, int] = {"5m": 300, "1h": 3600}
"""Windows and their seconds. A window more is one entry more here."""

WORDS: Mapping[str, str] = {
    "<version>": "cluster, namespace, model, version",
    "<model>": "cluster, namespace, model",
    "<canary>": 'and on (cluster, namespace, model, version) mlcanary_model_info{role="canary"}',
    "<baseline>": 'and on (cluster, namespace, model, version) mlcanary_model_info{role="baseline"}',
    "<reference>": "on (cluster, namespace, model, feature, bin) group_left ()",
    "<limit>": "on (cluster, namespace, model) group_left () model_objective:mlcanary_objective_threshold:max",
}

FILES: Mapping[str, str] = {
    "canary": "".join(module.TEXT for module in (traffic, quality, score, drift, business, comparison)),
    "multiclass": multiclass.TEXT,
    "regression": regression.TEXT,
    "ranking": ranking.TEXT,
    "estimated": estimated.TEXT,
    "labels": labels.TEXT,
    "users": users.TEXT,
    "values": values.TEXT,
    "joint-drift": joint_drift.TEXT,
    "segments": segments.TEXT,
}
"""Rule files by the first word of their name, and what each records per window."""

HEADER = "# Made by generate.py; change it there.\ngroups:\n"


def render() -> dict[str, str]:
    """Texts of the recording files by file name.

    One group per file and window: the rules of a group are evaluated in order, so a rule sees what those above it
    have recorded a moment ago; what another group records is at most one evaluation old. Group names are unique among
    all shipped files.
    """
    files = {}
    for name, text in FILES.items():
        if not text:
            continue
        groups = [group("mlcanary-facts", facts.TEXT, {})] if name == "canary" else []
        stem = "recording" if name == "canary" else name
        for window, seconds in WINDOWS.items():
            groups.append(group(f"mlcanary-{stem}-{window}", text, {"<W>": window, "<S>": str(seconds)}))
        files[f"{name}.recording.yml"] = HEADER + "".join(groups)
    return files


def group(name: str, text: str, words: Mapping[str, str]) -> str:
    """One rule group in YAML, comments kept."""
    return f"  - name: {name}\n    rules:\n" + "".join(rules(expand(text, {**WORDS, **words})))


def expand(text: str, words: Mapping[str, str]) -> str:
    """Replace the words."""
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def rules(text: str) -> Iterator[str]:
    """YAML of each `NAME := EXPRESSION` and of each comment line."""
    for line in text.strip().splitlines():
        if line.startswith("#"):
            yield f"      {line}\n"
        elif line.endswith(" :="):
            yield f"      - record: {line.removesuffix(' :=')}\n        expr: |\n"
        else:
            yield f"      {line}\n"


if __name__ == "__main__":
    for file, content in render().items():
        Path(__file__).with_name(file).write_text(content, encoding="utf-8")
