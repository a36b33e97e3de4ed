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

BRISK, SLOW, SLOWEST = "1m", "2m", "4m"
"""Intervals of groups; without one, the evaluation interval of Prometheus. An evaluation that fails ends series that
are made every 4 minutes for 3: features, users, estimates, an hour of scores by bin and windows of 6 hours, which
alerts wait on for 10 minutes and more."""

OF_THE_HANDLER = tuple(
    f"model_version:mlcanary_{figure}{suffix}{window}"
    for figure in (
        "labeled_predictions:accuracy",
        "labeled_score:auc",
        "log_loss:mean",
        "prediction_errors:ratio",
        "predictions:rate",
    )
    for suffix in ("", "_delta", "_zscore", "_stderr")
    for window in WINDOWS
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


OTHER_FILES: Mapping[str, tuple[tuple[str, Mapping[str, int]], ...]] = {
    "objectives": (
        (objectives.SLOW, WINDOWS),
        (objectives.RATES + objectives.SLOW.lstrip(), BURN),
        (objectives.SLOW, LONG),
    ),
    "canary": ((drift.FURTHEST, {"1h": WINDOWS["1h"]}),),
    "business": ((drops.TEXT, {"1h": WINDOWS["1h"]}),),
    "long": (("".join(module.TEXT for module in (traffic, quality)) + business.ARRIVED, LONG),),
}
"""Files with windows of their own."""

DIVIDED = ("canary", "estimated", "users", "values")
"""Files of which only what alerts, the handler or a dashboard read is loaded by `rules/*.yml`; see `FURTHER`."""

PARTS: Mapping[str, str] = {
    "estimated": "scores",
    "objectives": "figures",
    "users": "buckets",
    "values": "features",
}
"""What the rules of a file are about, where that is dear or urgent; those of `canary` are told apart by their names."""

FURTHER = "further/"
"""Folder of what nothing that is shipped reads: for people, and dear for a fleet."""


@dataclass(frozen=True)
class Place:
    """Where a rule goes: its file, its group and how often that is evaluated."""

    file: str
    group: str
    interval: str


def render() -> dict[str, str]:
    """Texts of the recording files by their paths.

    The rules of a group are evaluated in order, so a rule sees what those above it have recorded a moment ago; what
    another group records is at most one evaluation old. Group names are unique among all shipped files.
    """
    asked, drawn = read_by_alerts(), read_by_dashboards()
    bodies: dict[Place, str] = {}
    for name, window, text in texts():
        for row in blocks(text):
            place = placed(name, window, row.name, row.name in asked, row.name in drawn)
            bodies[place] = bodies.get(place, "") + row.text
    files: dict[str, str] = {}
    for place, body in bodies.items():
        files[place.file] = files.get(place.file, HEADER) + group(place.group, body, place.interval)
    return files


def texts() -> Iterator[tuple[str, str, str]]:
    """Name of the file, window and expanded text of all that is recorded. Facts have no window."""
    yield "canary", "", expand(facts.TEXT, WORDS)
    windowed = [(name, text, WINDOWS) for name, text in FILES.items()]
    windowed += [(name, *part) for name, parts in OTHER_FILES.items() for part in parts]
    for name, text, windows in windowed:
        for window, seconds in windows.items():
            yield name, window, expand(text, {**WORDS, "<W>": window, "<S>": str(seconds)})


def placed(file: str, window: str, name: str, asked: bool, drawn: bool) -> Place:
    """Where the rule of this name goes: `asked` by alerts or the handler, `drawn` by dashboards.

    Features, and scores by bin, have by far the most series: they have groups of their own, which are evaluated more
    slowly, and beside the others. So no rule that is loaded sets counters of now against what another group has
    recorded: while an hour fills, both may be a quarter apart.
    """
    part = PARTS.get(file, "")
    if file == "canary":
        part = "features" if "_feature" in name else "scores" if "_labeled_score" in name else "figures"
    if file in DIVIDED and not (asked or drawn):
        stem = f"{part}-{window or 'facts'}" if file == "canary" else f"{file}-{window}"
        return Place(
            f"{FURTHER}further-{file}.recording.yml", f"mlcanary-further-{stem}", _interval(window, part, urgent=False)
        )
    interval = _interval(window, part, urgent=file in {"canary", "objectives"})
    group = f"recording-{part}-{window or 'facts'}" if file == "canary" else f"{file}-{window}"
    return Place(f"{file}.recording.yml", f"mlcanary-{group}", interval)


def _interval(window: str, part: str, urgent: bool) -> str:
    if part == "features" or window in LONG:
        return SLOWEST
    if part in {"scores", "buckets"}:
        return SLOW if window == "5m" else SLOWEST
    if urgent and part == "figures":
        return {"": "", "5m": "", "30m": BRISK, "1h": BRISK}.get(window, SLOW)
    return BRISK if window == "5m" else SLOW


def read_by_alerts() -> set[str]:
    """Recorded names that alerts read, in expressions or texts, or the handler; and what these are made of."""
    alerts = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.alerts.yml")))
    return _closed(_recorded(alerts) | set(OF_THE_HANDLER))


def read_by_dashboards() -> set[str]:
    """Recorded names in the queries of the dashboards, for each window there; and what these are made of."""
    boards = sorted(Path(__file__).parents[1].glob("grafana/dashboards/*.json"))
    queries = "".join(path.read_text(encoding="utf-8") for path in boards)
    return _closed(set().union(*(_recorded(queries.replace("${window}", window)) for window in WINDOWS)))


def _closed(found: set[str]) -> set[str]:
    reads: dict[str, set[str]] = {}
    for _, _, text in texts():
        for row in blocks(text):
            reads.setdefault(row.name, set()).update(_recorded(row.text))
    while more := {name for known in found for name in reads.get(known, ())} - found:
        found = found | more
    return found


def _recorded(text: str) -> set[str]:
    return set(re.findall(r"\b[a-z_]+(?::[a-z0-9_]+)+", text))


@dataclass(frozen=True)
class Block:
    """One `NAME := EXPRESSION`, with the comments above it."""

    name: str
    text: str

    @property
    def expression(self) -> str:
        """The expression in one line."""
        return " ".join(self.text.partition(f"{self.name} :=")[2].split())


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
    files = render()
    for path in Path(__file__).parent.rglob("*.recording.yml"):
        if str(path.relative_to(Path(__file__).parent)) not in files:
            path.unlink()
    for file, content in files.items():
        path = Path(__file__).parent / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
