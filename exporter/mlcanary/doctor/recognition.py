"""Which format a log has: every format reads the sample, and the one that understands most of it, and most in it, wins.

Guarantee: a candidate is never only guessed from words: its share of understood lines is what the format itself made of
them. Words that only one writer uses decide before that share. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlcanary.catalog import Task
from mlcanary.doctor.guess import Guess, guess_mapping
from mlcanary.doctor.reading import Reading, read_as, task_of
from mlcanary.doctor.sample import SampledLog
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import FORMATS

_Words = tuple[bytes, ...]

EVIDENCE: dict[str, tuple[_Words, ...]] = {
    "kserve": ((b"org.kubeflow.serving.inference",),),
    "seldon1": ((b"io.seldon.serving.", b"requestid"),),
    "mlserver": ((b'"mlserver-',), (b'"MLServer-',), (b'"headers"', b'"Ce-Modelid"')),
    "cloudevents": ((b'"specversion"',), (b"io.seldon.serving.",), (b"org.kubeflow.serving.inference",)),
    "oip-v2": ((b'"datatype"', b'"shape"'),),
    "sagemaker": ((b'"captureData"',), (b'"groundTruthData"',)),
    "azureml": ((b"azureml.inference.model_",),),
    "databricks": ((b'"databricks_request_id"',), (b'"served_entity_id"',)),
    "vertex": ((b'"deployed_model_id"', b'"request_payload"'),),
    "bentoml": ((b'"bento_version"',), (b'"request_id"', b'"trace_id"', b'"timestamp"')),
    "native": ((b'"kind"', b'"label"'), (b'"features"', b'"score"'), (b'"features"', b'"prediction"')),
}
"""By format, alternatives of words that a line of it holds together. In this order where formats do equally well."""

_SURE = 0.5
_WORTH_NAMING = 0.3
_CLOSE = 0.7
_NATIVE_BONUS = 0.05
_VERSION_WORDS = "canary|baseline|stable|champion|challenger|blue|green|candidate|control|treatment"
_IN_PATH = re.compile(rf"[/._-](v\d[\w]*|{_VERSION_WORDS})(?=[/._-])", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """A format, what it made of the sample, and the share of lines with words of its writer."""

    name: str
    reading: Reading
    evidence: float
    words: str = ""
    guess: Guess | None = None

    @property
    def score(self) -> float:
        """Share of lines in this form, weighed by how much a row says; 0..1. A score of 77 does not change the form."""
        bonus = _NATIVE_BONUS if self.name == "native" else 0.0
        return self.reading.in_form * (0.4 + 0.6 * richness(self.reading)) + bonus * (self.reading.in_form > 0)

    @property
    def sure(self) -> bool:
        """Whether words of its writer are in most lines. Native and BentoML's words are not theirs alone."""
        shared = self.name in ("native", "bentoml")
        return self.evidence >= _SURE and (not shared or self.reading.in_form > _SURE)

    @property
    def certain(self) -> bool:
        """Whether nobody else writes these words."""
        return self.sure and self.name not in ("native", "bentoml", "oip-v2", "cloudevents")

    @property
    def reason(self) -> str:
        """Why this one, in a few words."""
        parts = [f"understands {self.reading.understood:.0%} of the lines"]
        if self.words:
            parts.append(f"{self.words} in {self.evidence:.0%} of them")
        if self.reading.refused:
            parts.append(f"refuses the score of {len(self.reading.refused):,} rows")
        if self.guess is not None:
            parts.append("fields guessed from names and values")
        if self.reading.waiting:
            parts.append(f"{self.reading.waiting} wait for their other half")
        return "; ".join(parts)


def recognise(
    logs: Sequence[SampledLog], now: float, options: FormatOptions | None = None, *, forced: str | None = None
) -> list[Candidate]:
    """Every format that makes something of the sample, best first. `options`: what is known of model and version.

    `forced`: only this format, whatever it understands. `now`: Unix seconds.
    """
    known = options or FormatOptions()
    lines = [line for log in logs for line in log.lines]
    found: list[Candidate] = []
    for name in FORMATS if forced is None else (forced,):
        guess = guess_mapping(lines) if name == "mapping" and known.mapping is None else None
        if name == "mapping" and guess is None and known.mapping is None:
            continue
        mapping = guess.mapping if guess is not None else known.mapping
        reading = best_reading(replace(known, name=name, mapping=mapping), logs, now)
        share, words = evidence(name, lines)
        found.append(Candidate(name, reading, share, words, guess))
    order = list(EVIDENCE)
    found.sort(key=lambda c: (-c.sure, -round(c.score, 2), order.index(c.name) if c.name in order else len(order)))
    return [each for each in found if each.reading.in_form or each.sure or forced]


def best_reading(options: FormatOptions, logs: Sequence[SampledLog], now: float, task: Task | None = None) -> Reading:
    """The sample in this format, for the task that its answers look like; with what the paths say of versions."""
    reading = read_as(options, logs, now, task or Task.BINARY)
    seems = task or task_of(reading)
    if seems is not reading.task:
        reading = read_as(options, logs, now, seems)
    nameless = options.version == FormatOptions().version and not any(each.version for each in reading.predictions)
    if options.path is None and reading.predictions and nameless:
        pattern = version_pattern([log.path for log in logs])
        if pattern is not None:
            return read_as(replace(options, path=pattern), logs, now, seems)
    return reading


def richness(reading: Reading) -> float:
    """How much its rows say, 0..1: features, answer, id, time, version of predictions; id and outcome of labels.

    Rows whose score is refused say what they say.
    """
    rows = [(each.row, each.version) for each in reading.predictions]
    rows += [(each.row, each.version) for each in reading.refused]
    if not rows:
        return 0.6 if reading.labels else 0.0
    said = 0.0
    for row, version in rows:
        answer = (
            row.score is not None or row.prediction is not None or row.scores or row.items or row.status is not None
        )
        parts = (
            bool(row.features),
            bool(answer),
            row.id is not None or row.request_id is not None,
            row.ts is not None or row.timestamp is not None,
            version is not None,
            row.score is not None or bool(row.scores) or reading.task not in (Task.BINARY, Task.MULTICLASS),
        )
        said += sum(parts) / len(parts)
    return said / len(rows)


def evidence(name: str, lines: Sequence[bytes]) -> tuple[float, str]:
    """The share of lines with words of this writer, and those that were most often there."""
    best, told = 0, ""
    matched: set[int] = set()
    for words in EVIDENCE.get(name, ()):
        having = [i for i, line in enumerate(lines) if all(word in line for word in words)]
        matched.update(having)
        if len(having) > best:
            best, told = len(having), " and ".join(word.decode().strip('"') for word in words)
    return (len(matched) / len(lines) if lines else 0.0), told


def contenders(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those after the first that a person should know of: they do about as well, but make other records of it."""
    if not candidates:
        return []
    first = candidates[0]
    records = [seen.record for seen in first.reading.seen]
    return [
        each
        for each in candidates[1:]
        if each.reading.understood > _WORTH_NAMING
        and each.score > _CLOSE * first.score
        and (each.sure or not first.sure)
        and (each.certain or not first.certain)
        and [seen.record for seen in each.reading.seen] != records
    ]


def version_pattern(paths: Sequence[str]) -> re.Pattern[str] | None:
    r"""A pattern over the paths whose group `version` is what looks like a version in each of them.

    >>> version_pattern(["/log/v1/a.jsonl", "/log/v2/a.jsonl"]).pattern
    '[/._-](?P<version>[vV]\\d\\w*)(?=[/._-])'
    """
    found = [match[1] for path in paths if (match := _IN_PATH.search(path))]
    if not found or len(found) < len(paths):
        return None
    if all(re.fullmatch(r"[vV]\d\w*", name) for name in found):
        return re.compile(r"[/._-](?P<version>[vV]\d\w*)(?=[/._-])")
    if not all(name.lower() in _VERSION_WORDS.split("|") for name in found):
        return None
    return re.compile(rf"[/._-](?P<version>{'|'.join(sorted(set(found)))})(?=[/._-])")
