"""The whole of what `doctor` says of logs: what was found, understood, missing, and the configuration.

Guarantee: pure but for the sample that it is given; `now` comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlcanary.catalog import Task
from mlcanary.doctor.advice import Source, configuration
from mlcanary.doctor.findings import Coverage, Finding, Level, coverage, findings
from mlcanary.doctor.reading import Reading
from mlcanary.doctor.recognition import Candidate, best_reading, contenders, recognise
from mlcanary.doctor.sample import Sample
from mlcanary.doctor.tables import broken_table
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import FORMATS

FINE, IMPOSSIBLE = 0, 1
_PRETTY = (b"{", b"[", b"[{")


@dataclass(frozen=True)
class Part:
    """One path: its sample, the formats that read it, the best first; none if nothing does."""

    sample: Sample
    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate | None:
        """The format that is proposed."""
        return self.candidates[0] if self.candidates else None

    @property
    def others(self) -> list[Candidate]:
        """Formats that do about as well."""
        return contenders(self.candidates)


@dataclass(frozen=True)
class Diagnosis:
    """Everything that is shown. `yaml` is empty where no format was recognised."""

    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...]
    yaml: str
    now: float

    @property
    def readings(self) -> list[Reading]:
        """What the proposed formats made of the samples."""
        return [part.chosen.reading for part in self.parts if part.chosen is not None]

    @property
    def exit_code(self) -> int:
        """0, or 1 if something is missing that makes figures impossible."""
        return IMPOSSIBLE if any(each.level is Level.IMPOSSIBLE for each in self.findings) else FINE


def diagnose(
    samples: Sequence[Sample],
    now: float,
    options: FormatOptions | None = None,
    *,
    forced: str | None = None,
    task: Task | None = None,
) -> Diagnosis:
    """What these samples hold. `options`: model and version that are known; `forced`: the format to read them in."""
    parts = [Part(sample, tuple(recognise(sample.logs, now, options, forced=forced))) for sample in samples]
    if task is not None:
        parts = [_with_task(part, now, task) for part in parts]
    chosen = [Source(part.sample, part.chosen) for part in parts if part.chosen is not None]
    return _told(parts, configuration(chosen) if chosen else "", now)


def diagnose_configured(sources: Sequence[tuple[Sample, FormatOptions]], now: float, task: Task | None) -> Diagnosis:
    """What these samples hold, each read as its source is configured; nothing is proposed."""
    parts = [
        Part(sample, tuple(recognise(sample.logs, now, options, forced=options.name))) for sample, options in sources
    ]
    return _told(parts if task is None else [_with_task(part, now, task) for part in parts], "", now)


def _told(parts: Sequence[Part], yaml: str, now: float) -> Diagnosis:
    readings = [part.chosen.reading for part in parts if part.chosen is not None]
    told = [finding for part in parts for finding in _sample_findings(part)]
    told += [_unsure(part) for part in parts if part.others]
    told += findings(readings, now)
    order = list(Level)
    return Diagnosis(
        tuple(parts),
        tuple(sorted(told, key=lambda each: order.index(each.level))),
        tuple(coverage(readings)) if readings else (),
        yaml,
        now,
    )


def _with_task(part: Part, now: float, task: Task) -> Part:
    """The first candidate, read for the task that the person named."""
    if part.chosen is None:
        return part
    reading = best_reading(part.chosen.reading.options, part.sample.logs, now, task)
    return Part(part.sample, (replace(part.chosen, reading=reading), *part.candidates[1:]))


def _unsure(part: Part) -> Finding:
    names = ", ".join(f"{each.name} ({each.reading.understood:.0%})" for each in part.others)
    first = part.candidates[0].name
    what = f"{part.sample.pattern}: {first} is proposed, but others read it too: {names}"
    return Finding(Level.NOTE, "format", what, "", f"compare with --log.record-format {part.others[0].name}")


def _sample_findings(part: Part) -> list[Finding]:
    sample, found = part.sample, []
    lines = [line for log in sample.logs for line in log.lines]
    if part.chosen is None:
        what = f"{sample.pattern}: no format understands these lines"
        if (broken := broken_table(lines)) is not None:
            what, remedy = f"{what}: {broken.what}", broken.remedy
        elif lines and lines[0].strip() in _PRETTY:
            remedy = (
                "this is JSON over several lines: the exporter needs one record a line, such as `jq -c . FILE` writes"
            )
        else:
            remedy = f"log one JSON object a line, or CSV; formats: {', '.join(FORMATS)}"
        found.append(Finding(Level.IMPOSSIBLE, "format", what, "nothing can be measured", remedy))
    too_long = sum(log.too_long for log in sample.logs)
    if too_long:
        found.append(Finding(Level.NOTE, "lines", f"{too_long} lines are longer than 1 MB and were not looked at"))
    open_ended = [log.path for log in sample.logs if log.open_ended]
    if open_ended and not sample.stdin:
        what = f"the last line of {open_ended[0]} has no line feed"
        costs = "the exporter waits for it: the line may still be being written"
        found.append(Finding(Level.NOTE, "lines", what, costs))
    found += [Finding(Level.NOTE, "files", note) for note in sample.notes]
    guess = part.chosen.guess if part.chosen is not None else None
    for odd in guess.oddities if guess is not None else ():
        found.append(Finding(Level.TRAP if odd.doubt else Level.NOTE, "export", odd.what, odd.costs, odd.remedy))
    if guess is not None and "timezone" in guess.mapping:
        what = "the times name no zone, and are read as UTC here"
        costs = "a wrong zone moves every record by the offset"
        found.append(Finding(Level.TRAP, "time", what, costs, "set `timezone`, or log UTC with a Z"))
    return found
