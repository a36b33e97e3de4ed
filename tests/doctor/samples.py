"""Samples for the doctor's tests: lines into files, a diagnosis of them, and a replay of what it proposes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from formats.same_traffic import NOW
from mlcanary.doctor.diagnosis import Diagnosis, diagnose
from mlcanary.doctor.sample import Sample, SampleLimits, take_sample
from mlcanary.replay import replay
from mlcanary.settings import Flags, load_settings

Lines = Sequence[bytes] | Mapping[str, Sequence[bytes]]


def write(folder: Path, lines: Lines, name: str = "log.jsonl") -> Path:
    """The lines as a file, or as files below a folder; gives what to name to the doctor."""
    if isinstance(lines, Mapping):
        for path, each in lines.items():
            write(folder, each, path.lstrip("/"))
        return folder
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines))
    return folder / name


def records(documents: Iterable[Any]) -> list[bytes]:
    """One JSON line each."""
    return [json.dumps(each).encode() for each in documents]


def sample_of(path: Path, lines: int = 1000) -> Sample:
    """A sample of a path."""
    return take_sample(str(path), SampleLimits(lines), io.BytesIO())


def diagnosed(folder: Path, *logs: Lines, now: float = NOW, **known: Any) -> Diagnosis:
    """What the doctor says of these logs, each in a place of its own."""
    paths = [write(folder / f"log{i}", lines) for i, lines in enumerate(logs)]
    return diagnose([sample_of(path) for path in paths], now, **known)


def keys(found: Diagnosis, level: str) -> set[str]:
    """What the findings of a level are about."""
    return {each.key for each in found.findings if each.level == level}


def replayed(found: Diagnosis, folder: Path) -> tuple[float, float, int]:
    """Predictions, matched labels and rejects that the proposed configuration makes of the whole files."""
    path = folder / "mlcanary.yml"
    path.write_text(found.yaml)
    result = replay(load_settings(Flags(config_file=path)), found.now)
    return (
        _total(result.text, r"mlcanary_predictions_total\{"),
        _total(result.text, r'mlcanary_label_joins_total\{.*result="matched"'),
        result.rejected.total(),
    )


def _total(text: str, series: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.split("\n") if re.match(series, line))
