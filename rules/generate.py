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

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
"""Interval of groups over long windows or with many series: under 150 s, or one that fails would end its series."""

BRISK = "1m"
"""Interval of groups over 5m that no alert reads."""

OF_THE_HANDLER = tuple(
    f"model_version:mlcanary_{figure}{suffix}"
    for figure in (
        "labeled_predictions:accuracy",
        "labeled_score:auc",
        "log_loss:mean",
        "prediction_errors:ratio",
        "predictions:rate",
    )
    for suffix in ("", "_delta", "_zscore", "_stderr")
)
"""What the handler reads for its own evidence, as far as it exists."""

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
        fast, slow = ("", "") if name == "canary" else (BRISK, SLOW)
        windows = {"5m": fast, "1h": slow}
        if name == "canary":
            files.update(_divided(text))
            continue
        groups = (group(f"mlcanary-{name}-{w}", expanded(text, w, WINDOWS[w]), windows[w]) for w in WINDOWS)
        files[f"{name}.recording.yml"] = HEADER + "".join(groups)
    for name, parts in OTHER_FILES.items():
        files[f"{name}.recording.yml"] = HEADER + "".join(
            group(f"mlcanary-{stem}-{window}", expanded(text, window, seconds), interval)
            for stem, text, windows, interval in parts
            for window, seconds in windows.items()
        )
    return files


def _divided(text: str) -> dict[str, str]:
    """`canary`, what alerts and the handler read, directly or not, and `details`, what only dashboards show.

    Features have groups of their own, since they have by far the most series: they are evaluated more slowly, and
    beside the others.
    """
    asked = needed()
    parts = [("facts", expand(facts.TEXT, WORDS), "")]
    parts += [(window, expanded(text, window, seconds), window) for window, seconds in WINDOWS.items()]
    core: list[str] = []
    details: list[str] = []
    for part, whole, window in parts:
        for of_features in (False, True):
            rows = [row for row in blocks(whole) if ("_feature" in row.name) == of_features]
            for wanted, into in ((True, core), (False, details)):
                body = "".join(row.text for row in rows if (row.name in asked) == wanted)
                if not body:
                    continue
                stem = "drift" if of_features else "recording"
                stem = {("facts", False): "facts", ("facts", True): "reference"}.get(
                    (part, of_features), f"{stem}-{window}"
                )
                interval = SLOW if of_features else ""
                if not wanted:
                    stem, interval = f"details-{stem}", BRISK if window == "5m" else SLOW
                into.append(group(f"mlcanary-{stem}", body, interval))
    return {"canary.recording.yml": HEADER + "".join(core), "details.recording.yml": HEADER + "".join(details)}


def needed() -> set[str]:
    """Recorded names that alerts read, in expressions or texts, or the handler; and what these are made of."""
    reads: dict[str, set[str]] = {}
    texts = [text for text in FILES.values() if text] + [part[1] for of in OTHER_FILES.values() for part in of]
    for window, seconds in {**WINDOWS, **LONG, **BURN}.items():
        for text in (*texts, facts.TEXT):
            for row in blocks(expanded(text, window, seconds)):
                reads.setdefault(row.name, set()).update(_recorded(row.text))
    alerts = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.alerts.yml")))
    found = _recorded(alerts) | {f"{name}{window}" for name in OF_THE_HANDLER for window in WINDOWS}
    while more := {name for known in found for name in reads.get(known, ())} - found:
        found |= more
    return found


def _recorded(text: str) -> set[str]:
    return set(re.findall(r"\b[a-z_]+(?::[a-z0-9_]+)+", text))


@dataclass(frozen=True)
class Block:
    """One `NAME := EXPRESSION`, with the comments above it."""

    name: str
    text: str


def blocks(text: str) -> list[Block]:
    """The rules of a text, in order."""
    found: list[Block] = []
    comments: list[str] = []
    lines: list[str] = []
    name = ""
    for line in text.strip().splitlines():
        if line.startswith("#") or line.endswith(" :="):
            if name and lines:
                found.append(Block(name, "".join(lines)))
                name, lines = "", []
            if line.startswith("#"):
                comments.append(f"{line}\n")
                continue
            name, lines, comments = line.removesuffix(" :="), [*comments, f"{line}\n"], []
        else:
            lines.append(f"{line}\n")
    return [*found, Block(name, "".join(lines))] if name else found


def group(name: str, text: str, interval: str = "") -> str:
    """One rule group in YAML, comments kept."""
    head = f"  - name: {name}\n" + (f"    interval: {interval}\n" if interval else "")
    return f"{head}    rules:\n" + "".join(rules(text))


def expanded(text: str, window: str, seconds: int) -> str:
    """A text for one window."""
    return expand(text, {**WORDS, "<W>": window, "<S>": str(seconds)})


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
