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
    drops,
    estimated,
    facts,
    joint_drift,
    labels,
    multiclass,
    objectives,
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
"""Windows of every figure and their seconds."""

LONG: Mapping[str, int] = {"6h": 21_600, "1d": 86_400}
"""Windows of traffic, failures, quality by class and business: what has few series per sidecar."""

BURN: Mapping[str, int] = {"30m": 1800, "2h": 7200}
"""The windows of burn rates that are not among the others."""

SLOW = "2m"
"""Interval of groups over long windows: under 150 s, so that a single evaluation may fail before a series ends."""

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


Group = tuple[str, str, Mapping[str, int], str]
"""First part of the group's name, text, windows, interval."""

OTHER_FILES: Mapping[str, tuple[Group, ...]] = {
    "objectives": (
        ("objectives", objectives.SLOW, WINDOWS, ""),
        ("objectives", objectives.RATES + objectives.SLOW.lstrip(), BURN, ""),
        ("objectives", objectives.SLOW, LONG, SLOW),
    ),
    "business": (("business", drops.TEXT, {"1h": WINDOWS["1h"]}, ""),),
    "long": (("long", "".join(module.TEXT for module in (traffic, quality)) + business.ARRIVED, LONG, SLOW),),
}
"""Files with windows of their own."""


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
    for name, parts in OTHER_FILES.items():
        files[f"{name}.recording.yml"] = HEADER + "".join(
            group(f"mlcanary-{stem}-{window}", text, {"<W>": window, "<S>": str(seconds)}, interval)
            for stem, text, windows, interval in parts
            for window, seconds in windows.items()
        )
    return files


def group(name: str, text: str, words: Mapping[str, str], interval: str = "") -> str:
    """One rule group in YAML, comments kept."""
    head = f"  - name: {name}\n" + (f"    interval: {interval}\n" if interval else "")
    return f"{head}    rules:\n" + "".join(rules(expand(text, {**WORDS, **words})))


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
