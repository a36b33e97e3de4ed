"""The first lines of a log: of a file, a glob, a directory or standard input.

Guarantee: nothing is changed, and no more than `SampleLimits` allows is read; what was left out is told. Of several
files the newest are read, so that what is seen is what the server writes today.
"""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mlcanary.errors import InputError
from mlcanary.source_settings import DASH, STDIN
from mlcanary.sources.patterns import configured
from mlcanary.sources.rotation import rotated_names

_MAGIC = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"PK\x03\x04": "a zip archive",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "an SQLite database",
}
_MAGIC_BYTES = max(map(len, _MAGIC))
_NO_LOGS = (
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
    ".lz4",
    ".zip",
    ".parquet",
    ".db",
    ".sqlite",
    ".pkl",
    ".onnx",
    ".yml",
    ".yaml",
)


@dataclass(frozen=True)
class SampleLimits:
    """How much is looked at: lines in all, files, bytes of one line and of one file."""

    lines: int = 1000
    files: int = 50
    line_bytes: int = 1 << 20
    file_bytes: int = 1 << 24


@dataclass(frozen=True)
class SampledLog:
    """The first lines of one log. `complete`: these are all its lines. `open_ended`: the last one has no line feed."""

    path: str
    lines: tuple[bytes, ...]
    size: int | None
    complete: bool
    open_ended: bool = False
    too_long: int = 0


@dataclass(frozen=True)
class Sample:
    """What was found under one path. `pattern`: how the configuration names it. `files`: how many there are.

    `rotated`: finished files of a rotation among them; `left_out`: files that cannot be logs, by their ending.
    """

    pattern: str
    logs: tuple[SampledLog, ...]
    files: int
    rotated: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()

    @property
    def stdin(self) -> bool:
        """Whether this was piped in."""
        return self.pattern == DASH

    @property
    def lines(self) -> int:
        """Lines that were read."""
        return sum(len(log.lines) for log in self.logs)


def take_sample(spelling: str, limits: SampleLimits, stdin: BinaryIO) -> Sample:
    """Lines of what `spelling` names. Raises InputError if there is nothing to read."""
    if spelling == DASH:
        log = _first_lines(stdin, STDIN, None, limits.lines, limits)
        if not log.lines:
            raise InputError("standard input: empty", hint="pipe the log in: kubectl logs ... | mlcanary doctor ...")
        return Sample(DASH, (log,), 1)
    pattern, notes = _pattern(spelling)
    names = _named(pattern)
    kept = [name for name in names if not name.endswith(_NO_LOGS)] or names
    left_out = Counter(os.path.splitext(name)[1] for name in names if name not in kept)
    if not kept:
        raise InputError(f"{spelling}: no file of this name", hint="check the path, and quote a glob")
    chosen = sorted(sorted(kept, key=_age)[: limits.files])
    each = max(1, limits.lines // len(chosen))
    logs = tuple(_read(name, each, limits) for name in chosen)
    if not any(log.lines for log in logs):
        raise InputError(
            f"{spelling}: {len(kept)} file(s), all of them empty", hint="wait until the server has answered"
        )
    return Sample(pattern, logs, len(kept), len(_rotated(kept)), left_out, tuple(notes))


def _pattern(spelling: str) -> tuple[str, list[str]]:
    """How a configuration names it: a directory by a glob, BentoML's data file with its schema folder."""
    path = Path(spelling)
    if path.is_dir():
        return _glob_of(path), []
    schema = path.parent.parent / "schema"
    if not glob.has_magic(spelling) and path.parent.name == "data" and schema.is_dir():
        pattern = os.path.join(glob.escape(str(path.parent.parent)), "*", "*" + path.suffix)
        return pattern, [f"{schema} lies beside it: BentoML writes the roles of the columns there, so both are read"]
    return spelling, []


def _glob_of(directory: Path) -> str:
    """A glob over the most frequent ending of files below a directory."""
    base = glob.escape(str(directory))
    names = _named(os.path.join(base, "**", "*"))
    endings = Counter(os.path.splitext(name)[1] for name in names if not name.endswith(_NO_LOGS))
    ending = endings.most_common(1)[0][0] if endings else ""
    deep = any(os.path.dirname(name) != str(directory.absolute()) for name in names)
    old = _rotated(names)
    if old:
        ending = Counter(os.path.splitext(name)[1] for name in names if name not in old).most_common(1)[0][0]
    return os.path.join(base, *(["**"] if deep else []), f"*{ending}*" if old else f"*{ending}")


def _rotated(names: Sequence[str]) -> set[str]:
    """Those whose name says that they were rotated from another one of these."""
    there = set(names)
    return {
        name
        for name in names
        if any(os.path.join(os.path.dirname(name), r.base) in there for r in rotated_names(os.path.basename(name)))
    }


def _named(pattern: str) -> list[str]:
    """The files of a path or glob, as the exporter finds them; a name that does not exist gives none."""
    (found,) = configured([pattern], {}, 0)
    names = sorted(found.files())
    return names or ([pattern] if not glob.has_magic(pattern) and os.path.exists(pattern) else [])


def _age(name: str) -> tuple[float, str]:
    try:
        return (-os.stat(name).st_mtime, name)
    except OSError:
        return (0.0, name)


def _read(name: str, lines: int, limits: SampleLimits) -> SampledLog:
    try:
        with open(name, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name}: no regular file", hint="pipe it in: mlcanary doctor --log.path - < ...")
            head = file.read(_MAGIC_BYTES)
            file.seek(0)
            if kind := next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None):
                raise InputError(f"{name}: {kind}, no lines of text", hint="give the log as JSON lines or CSV")
            return _first_lines(file, name, status.st_size, lines, limits)
    except OSError as error:
        hint = "the exporter runs as a user who must be able to read it" if isinstance(error, PermissionError) else ""
        raise InputError(f"{name}: cannot be read: {error.strerror}", hint=hint) from error


def _first_lines(file: BinaryIO, name: str, size: int | None, wanted: int, limits: SampleLimits) -> SampledLog:
    found: list[bytes] = []
    read, too_long, last = 0, 0, b"\n"
    while len(found) < wanted and read < limits.file_bytes:
        line = file.readline(limits.line_bytes + 1)
        if not line:
            break
        read += len(line)
        last = line
        if len(line) > limits.line_bytes and not line.endswith(b"\n"):
            too_long += 1
            read += _skip_line(file, limits)
            continue
        if line.strip():
            found.append(line.rstrip(b"\r\n"))
    complete = read >= size if size is not None else not file.readline(1)
    return SampledLog(name, tuple(found), size, complete, complete and not last.endswith(b"\n"), too_long)


def _skip_line(file: BinaryIO, limits: SampleLimits) -> int:
    skipped = 0
    while skipped < limits.file_bytes and (part := file.readline(limits.line_bytes)):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def spread(samples: Sequence[Sample]) -> list[SampledLog]:
    """The logs of all samples."""
    return [log for sample in samples for log in sample.logs]
