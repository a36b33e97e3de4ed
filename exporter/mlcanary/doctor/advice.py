"""The configuration to paste: sources with their format, models with task, classes, roles and maturity.

Guarantee: it loads with `load_settings` and reads the sampled files as they were shown; what a person must decide
stands in a comment behind it. Paths are absolute, because those of a configuration are relative to its file. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mlcanary.catalog import UNKNOWN, Task
from mlcanary.doctor.findings import label_delays, span
from mlcanary.doctor.reading import Reading
from mlcanary.doctor.recognition import Candidate
from mlcanary.doctor.sample import Sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, Prediction
from mlcanary.sources.patterns import pattern_key

_PLAIN = re.compile(r"[A-Za-z_/$.][\w./$*?\[\]-]*")
_SIMPLE = re.compile(r"[\w./-]+", re.ASCII)
_MOST_MODELS = 5
_TWO = 2
_LONGEST_COMMENT = 300
_ENOUGH_DELAYS = 20
_NEARLY_ALL, _DELAYS_COVERED = 0.9, 4.0
_ROUND = (60, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400)
_BASELINE = frozenset({"baseline", "stable", "champion", "blue", "control", "prod", "default"})
_CANARY = frozenset({"canary", "challenger", "candidate", "green", "treatment"})


@dataclass(frozen=True)
class Source:
    """One source as it will be configured."""

    sample: Sample
    chosen: Candidate


def configuration(sources: Sequence[Source]) -> str:
    """YAML of the whole."""
    lines = ["sources:"]
    for source in sources:
        lines += _source(source)
    readings = [source.chosen.reading for source in sources]
    models = list(_models(readings))
    if models:
        lines += ["models:", *models]
    return "\n".join(lines) + "\n"


def _source(source: Source) -> Iterator[str]:
    sample, chosen = source.sample, source.chosen
    options = chosen.reading.options
    yield "  - stdin: true" if sample.stdin else f"  - path: {scalar(pattern_key(sample.pattern))}"
    yield f"    format: {scalar(options.name)}"
    if options.model != "default":
        yield f"    model: {scalar(options.model)}"
    elif any(isinstance(s.record, Prediction) and s.record.key.model == "default" for s in chosen.reading.seen):
        yield "    # model: churn   # no record names its model: without this it is called default"
    if options.path is not None:
        yield f"    path_pattern: {scalar(options.path.pattern)}   # which version writes where"
    if options.version != UNKNOWN:
        yield f"    version: {scalar(options.version)}"
    elif chosen.reading.predictions and not any(each.version for each in chosen.reading.predictions):
        yield "    version: v1   # decide: nothing in the records or the path tells which version answered"
    if options.mapping:
        yield "    mapping:"
        why = chosen.guess.why if chosen.guess is not None else {}
        for key, entry in options.mapping.items():
            yield from _entry(key, entry, why.get(key, ""))
    elif options.name == "bentoml":
        yield "    mapping: {timezone: UTC}   # decide: the server's zone, such as Europe/Berlin; its times name none"
    elif _nameless(chosen.reading):
        names = ", ".join(f"name{i}" for i in range(1, len(_feature_names(chosen.reading)) + 1))
        yield f"    # mapping: {{feature_names: [{names}]}}   # decide: the features have no names in the log"
    if chosen.guess is not None:
        yield from (f"    # {comment(note)}" for note in chosen.guess.notes)


def _entry(key: str, entry: Any, why: str) -> Iterator[str]:
    said = f"   # {comment(why)}" if why else ""
    if isinstance(entry, Mapping) and key == "features":
        yield f"      {key}:{said}"
        yield from (f"        {_inside(str(name))}: {flow(path)}" for name, path in entry.items())
    else:
        yield f"      {key}: {flow(entry)}{said}"


def _models(readings: Sequence[Reading]) -> Iterator[str]:
    """A section for each model of the sample. A label line has no model, so its delays count for all."""
    delays = label_delays(readings)
    times = [each.record.ts for reading in readings for each in reading.predictions]
    covered = max(times, default=0.0) - min(times, default=0.0)
    by_model: dict[str, tuple[Task, dict[str, None], set[str]]] = {}
    for reading in readings:
        for each in reading.predictions:
            if isinstance(each.record, Prediction):
                _, versions, classes = by_model.setdefault(each.record.key.model, (reading.task, {}, set()))
                if each.version is not None:
                    versions[each.version] = None
                answered = each.record.predicted if each.row.prediction is not None else None
                classes.update(name for name in (answered, each.record.label) if name is not None)
    told = {each.record.label for reading in readings for each in reading.labels if isinstance(each.record, Label)}
    for model, (task, versions, classes) in list(by_model.items())[:_MOST_MODELS]:
        yield f"  - name: {scalar(model)}"
        if task is not Task.BINARY:
            yield f"    task: {task.value}   # by the look of the answers"
        else:
            yield from _classes(classes | {label for label in told if label is not None})
        yield from _roles(list(versions))
        if len(delays) >= _ENOUGH_DELAYS:
            yield from _maturity(delays, covered, len(delays) / len(times))
        yield "    # reference: model.profile.json   # mlcanary profile validation.csv --output model.profile.json"


def _classes(names: set[str]) -> Iterator[str]:
    """How the classes are called where they are not 1 and 0: a score alone would be called by these."""
    if len(names) != _TWO or names == {"0", "1"}:
        return
    negative, positive = sorted(names, key=lambda name: (ModelPlan().is_positive(name) or False, name))
    why = "which class is the event; an answer that is a score alone is called by these names"
    yield f"    positive_class: {scalar(positive)}   # decide: {why}"
    yield f"    negative_class: {scalar(negative)}"


def _maturity(delays: Sequence[float], covered: float, labeled: float) -> Iterator[str]:
    """How long to wait for labels.

    `covered`: seconds from the first prediction of the sample to its last; `labeled`: share that has its label in it.
    In a sample that is not much longer than its delays, the long ones are missing, and with them the labels.
    """
    late = delays[math.ceil(0.95 * len(delays)) - 1]
    wait = next((size for size in _ROUND if size >= late), None)
    if wait is None or late <= 0:
        return
    told = f"95 % of the labels here came within {span(late)}"
    if labeled < _NEARLY_ALL and covered < _DELAYS_COVERED * late:
        doubt = f"but the sample covers only {span(covered)}: read more, --log.lines 100000"
        yield f"    # maturity: 1h   # decide: {told}, {doubt}"
    else:
        yield f"    maturity: {wait // 60}m   # {told}; later ones may be cut off"


def _roles(versions: Sequence[str]) -> Iterator[str]:
    if len(versions) != _TWO:
        yield "    # roles: {v1: baseline, v2: canary}   # decide: with both, the two are compared"
        return
    first, second = sorted(versions)
    if second.lower() in _BASELINE or first.lower() in _CANARY:
        first, second = second, first
    yield f"    roles: {{{_inside(first)}: baseline, {_inside(second)}: canary}}   # decide: which is the new one"


def _nameless(reading: Reading) -> bool:
    names = _feature_names(reading)
    return bool(names) and all(re.fullmatch(r"f\d+", name) for name in names) and reading.options.name != "native"


def _feature_names(reading: Reading) -> list[str]:
    """Those of the first prediction that has any."""
    records = (each.record for each in reading.predictions)
    return next(([*r.features] for r in records if isinstance(r, Prediction) and r.features), [])


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_inside(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inside(each) if isinstance(each, str) else flow(each) for each in value) + "]"
    return scalar(value) if isinstance(value, str) else json.dumps(value)


def _inside(text: str) -> str:
    """A text inside brackets, where those of its own would end it."""
    return scalar(text) if _SIMPLE.fullmatch(text) else quoted(text)


def scalar(text: str) -> str:
    """A text as YAML, in quotes where it would be read as something else.

    >>> print(scalar("meta.id"), scalar("1.10"), scalar("no"), scalar("p[-1]"), scalar('a["b"]'))
    meta.id "1.10" "no" p[-1] 'a["b"]'
    """
    if _PLAIN.fullmatch(text) and isinstance(yaml.safe_load(text), str):
        return text
    if text.isprintable() and ('"' in text or "\\" in text):
        return "'" + text.replace("'", "''") + "'"
    return quoted(text)


def quoted(text: str) -> str:
    """A text in double quotes, whatever is in it."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text) + '"'


def comment(text: str) -> str:
    """What may stand behind a `#`: one line of printable characters, whatever the log holds."""
    shown = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return shown if len(shown) <= _LONGEST_COMMENT else shown[: _LONGEST_COMMENT - 1] + "…"


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else f"\\U{ord(character):08X}"
